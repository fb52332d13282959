"""The simulator's cast: where each bee, hornet and leaf is, as a pure function of the seed and the time.

Actors live in episodes that begin and end out of sight, so an episode follows from the seed and its number
alone, and any moment can be asked for. Lengths are in frame widths.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hivewatch.camera.simulator.animals import Look
from hivewatch.camera.simulator.tracks import Place, Pose, Script, Site, Track, sample

BEE_LENGTH = 0.033
HORNET_LENGTHS = (0.052, 0.068)


class Bee:
    """One worker: it comes, goes, walks, fans, or only passes by, one episode after the other."""

    def __init__(self, seed: int, number: int, site: Site) -> None:
        rng = np.random.RandomState([seed, 11, number])
        self._key = (seed, 12, number)
        self._site = site
        self._period_s = float(rng.uniform(12.5, 16))  # longer than any episode
        self._ahead_s = float(rng.uniform(0, self._period_s))
        self._length = BEE_LENGTH * float(rng.uniform(0.9, 1.1))
        self._episode = -1
        self._track: Track | None = None

    def pose(self, t: float) -> Pose | None:
        """Return the bee at time ``t``, None while it is in the hive or away."""
        episode, since = divmod(t + self._ahead_s, self._period_s)
        if self._track is None or episode != self._episode:
            self._episode = int(episode)
            self._track = self._write(np.random.RandomState([*self._key, self._episode]))
        return self._track.pose(since)

    def _write(self, rng: np.random.RandomState) -> Track:
        script = Script()
        deed = rng.choice(
            ["arrive", "leave", "wander", "fan", "pass", "orient"], p=[0.27, 0.25, 0.2, 0.1, 0.06, 0.12]
        )
        door = self._site.in_entrance(float(rng.uniform(0.05, 0.95)))
        look = Look.BEE_TOP if rng.uniform() < 0.6 else Look.BEE_SIDE
        if deed == "pass":
            script.go(0, _outside(rng, self._site), look)
            middle = (float(rng.uniform(0.1, 0.9)), float(rng.uniform(0.1, 0.9)) * self._site.height)
            script.go(rng.uniform(0.4, 0.9), middle, look)
            script.go(rng.uniform(0.4, 0.9), _outside(rng, self._site), look)
            return sample(script, rng, smooth_s=0.3, wobble=0.006, length=self._length)
        if deed == "arrive":
            self._fly_in(script, rng, look)
        else:
            script.go(0, door, Look.BEE_REST)
        if deed in ("wander", "fan"):
            self._walk(script, rng, fanning=deed == "fan")
        if deed in ("leave", "orient"):
            self._fly_out(script, rng, look, turning=deed == "orient")
        else:
            script.go(rng.uniform(0.8, 2.2), door, Look.BEE_REST)
        return sample(script, rng, smooth_s=0.15, wobble=0.0035, length=self._length)

    def _fly_in(self, script: Script, rng: np.random.RandomState, look: Look) -> None:
        landing = self._site.on_board(rng.uniform(0.1, 0.9), rng.uniform(0.3, 0.95))
        script.go(0, _outside(rng, self._site), look)
        near = (landing[0] + rng.uniform(-0.08, 0.08), landing[1] - rng.uniform(0.02, 0.10))
        script.go(rng.uniform(0.4, 0.9), near, look)
        above = (near[0] + rng.uniform(-0.03, 0.03), (near[1] + landing[1]) / 2)
        script.go(rng.uniform(0.3, 0.7), above, look)
        script.go(rng.uniform(0.15, 0.35), landing, look)
        script.go(rng.uniform(0.3, 1.2), landing, Look.BEE_REST)

    def _fly_out(self, script: Script, rng: np.random.RandomState, look: Look, *, turning: bool) -> None:
        edge = self._site.on_board(rng.uniform(0.1, 0.9), rng.uniform(0.5, 0.98))
        script.go(rng.uniform(0.8, 2.5), edge, Look.BEE_REST)
        script.go(rng.uniform(0.2, 0.8), edge, Look.BEE_REST)
        if turning:  # young bees learn the place: back and forth before the entrance, facing it
            for _ in range(rng.randint(2, 5)):
                spot = (edge[0] + rng.uniform(-0.12, 0.12), edge[1] - rng.uniform(0.0, 0.16))
                script.go(rng.uniform(0.4, 0.9), spot, look)
        script.go(rng.uniform(0.4, 0.9), _outside(rng, self._site), look)

    def _walk(self, script: Script, rng: np.random.RandomState, *, fanning: bool) -> None:
        spot = self._site.on_board(rng.uniform(0.05, 0.95), rng.uniform(0.15, 0.95))
        script.go(rng.uniform(0.8, 2.0), spot, Look.BEE_REST)
        if fanning:
            script.go(rng.uniform(3.0, 6.0), spot, Look.BEE_FAN, -np.pi / 2 + rng.uniform(-0.5, 0.5))
            return
        for _ in range(rng.randint(1, 4)):
            spot = self._site.on_board(rng.uniform(0.05, 0.95), rng.uniform(0.1, 0.95))
            script.go(rng.uniform(0.7, 1.8), spot, Look.BEE_REST)
            script.go(rng.uniform(0.1, 0.8), spot, Look.BEE_REST)


class Hornets:
    """The visits: one in each ``every_s``, early in it, for ``stay_s``; one in five is by two."""

    def __init__(self, seed: int, site: Site, every_s: float, stay_s: float) -> None:
        self._seed = seed
        self._site = site
        self._every_s = every_s
        self._stay_s = stay_s
        self._visits: dict[int, list[tuple[float, Track]]] = {}

    def poses(self, t: float) -> Iterator[Pose]:
        """Yield every hornet that is about at time ``t``."""
        last = int(t // self._every_s)
        first = max(0, int((t - 2 * self._stay_s) // self._every_s) - 1)
        self._visits = {k: self._visits.get(k) or self._visit(k) for k in range(first, last + 1)}
        for visit in self._visits.values():
            for start_s, track in visit:
                pose = track.pose(t - start_s)
                if pose is not None:
                    yield pose

    def _visit(self, number: int) -> list[tuple[float, Track]]:
        rng = np.random.RandomState([self._seed, 21, number])
        start_s = self._every_s * (number + rng.uniform(0.15, 0.35))
        visit = [(start_s, self._write(rng, self._stay_s))]
        if rng.uniform() < 0.2:
            visit.append((start_s + 0.2 * self._stay_s, self._write(rng, 0.6 * self._stay_s)))
        return visit

    def _write(self, rng: np.random.RandomState, stay_s: float) -> Track:
        script = Script()
        views = (Look.HORNET_TOP, Look.HORNET_SIDE, Look.HORNET_FACE)
        look = views[rng.choice(3, p=[0.5, 0.35, 0.15])]
        squash = float(rng.uniform(0.62, 1.0)) if look is Look.HORNET_TOP else float(rng.uniform(0.9, 1.0))
        target = self._site.in_entrance(float(rng.uniform(0.2, 0.8)))
        script.go(0, _outside(rng, self._site), look)
        script.go(rng.uniform(0.5, 0.9), self._spot(rng, target), look)
        end_s = max(0.5, stay_s - 0.7)
        while script.times[-1] < end_s:
            seconds = min(float(rng.uniform(0.7, 2.2)), end_s - script.times[-1] + 0.05)
            self._hover(script, rng, look, target, seconds)
            if script.times[-1] < end_s - 3.0 and rng.uniform() < 0.35:
                self._strike(script, rng, look)
        script.go(rng.uniform(0.35, 0.7), _outside(rng, self._site), look)
        length = float(rng.uniform(*HORNET_LENGTHS))
        return sample(script, rng, smooth_s=0.1, wobble=0.0030, length=length, squash=squash)

    def _spot(self, rng: np.random.RandomState, target: Place) -> Place:
        """Return a place to hover at, a hand's breadth before the entrance, in view."""
        angle, gap = rng.uniform(0, 2 * np.pi), rng.uniform(0.08, 0.36)
        x, y = target[0] + gap * np.cos(angle), target[1] + 0.7 * gap * np.sin(angle)
        return float(np.clip(x, 0.06, 0.94)), float(np.clip(y, 0.08, self._site.height - 0.06))

    def _hover(
        self, script: Script, rng: np.random.RandomState, look: Look, target: Place, seconds: float
    ) -> None:
        """Stay nearly in place, head to the entrance or, in wait for bees coming home, away; then dart on."""
        x, y = script.places[-1]
        heading = float(np.arctan2(target[1] - y, target[0] - x) + rng.uniform(-0.35, 0.35))
        if rng.uniform() < 0.2:
            heading += np.pi
        if look is Look.HORNET_FACE:
            heading = -np.pi / 2 + rng.uniform(-0.3, 0.3)
        drift = (x + rng.uniform(-0.012, 0.012), y + rng.uniform(-0.010, 0.010))
        script.go(seconds, drift, look, heading)
        script.go(rng.uniform(0.12, 0.3), self._spot(rng, target), look, heading)

    def _strike(self, script: Script, rng: np.random.RandomState, look: Look) -> None:
        """Lunge at the board and come back, or land there and look round."""
        prey = self._site.on_board(rng.uniform(0.15, 0.85), rng.uniform(0.3, 0.9))
        back = script.places[-1]
        script.go(rng.uniform(0.15, 0.25), prey, look)
        if rng.uniform() < 0.5:
            aside = self._site.on_board(rng.uniform(0.15, 0.85), rng.uniform(0.4, 0.9))
            share = min(1.0, 0.10 / (1e-6 + float(np.hypot(aside[0] - prey[0], aside[1] - prey[1]))))
            walk = (prey[0] + (aside[0] - prey[0]) * share, prey[1] + (aside[1] - prey[1]) * share)
            script.go(rng.uniform(0.4, 0.9), prey, Look.HORNET_REST)
            script.go(rng.uniform(0.6, 1.4), walk, Look.HORNET_REST)
            script.go(rng.uniform(0.2, 0.6), walk, Look.HORNET_REST)
        script.go(rng.uniform(0.2, 0.3), back, look)


class Leaves:
    """Leaves that fall through the picture now and then."""

    EVERY_S = 9.0

    def __init__(self, seed: int, height: float) -> None:
        self._seed = seed
        self._height = height
        self._falling: dict[int, tuple[float, Track]] = {}

    def poses(self, t: float) -> Iterator[Pose]:
        """Yield every leaf that is falling at time ``t``."""
        last = int(t // self.EVERY_S)
        self._falling = {k: self._falling.get(k) or self._fall(k) for k in range(max(0, last - 1), last + 1)}
        for start_s, track in self._falling.values():
            pose = track.pose(t - start_s)
            if pose is not None:
                yield pose

    def _fall(self, number: int) -> tuple[float, Track]:
        rng = np.random.RandomState([self._seed, 31, number])
        script = Script()
        x, turn = rng.uniform(0, 1), rng.uniform(0, 2 * np.pi)
        script.go(0, (x, -0.08), Look.LEAF, turn)
        for step in range(1, 6):
            turn += rng.uniform(-1.2, 1.2)
            place = (x + rng.uniform(-0.05, 0.05), step / 5 * (self._height + 0.16) - 0.08)
            script.go(rng.uniform(0.35, 0.8), place, Look.LEAF, turn)
        length, squash = float(rng.uniform(0.02, 0.045)), float(rng.uniform(0.5, 1.0))
        track = sample(script, rng, smooth_s=0.3, wobble=0.004, length=length, squash=squash)
        return self.EVERY_S * number + rng.uniform(0, 0.9) * self.EVERY_S, track


def _outside(rng: np.random.RandomState, site: Site) -> Place:
    """Return a place just out of the frame: left, right, above or at a lower corner."""
    side = rng.randint(5)
    if side < 2:
        return (-0.12 if side == 0 else 1.12), float(rng.uniform(0, 0.9) * site.height)
    if side < 4:
        return float(rng.uniform(0, 1)), -0.12
    return float(rng.choice((0.1, 0.9)) + rng.uniform(-0.1, 0.1)), site.height + 0.12
