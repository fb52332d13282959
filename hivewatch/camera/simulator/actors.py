"""The simulator's actors: the pose of each bee, hornet and leaf as a pure function of seed and time.

An actor lives in episodes that start and end out of sight. Each episode depends only on the seed and its own
number, so the scene can be rendered at any time, in any order. Lengths are in frame widths.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hivewatch.camera.simulator.animals import SpriteKind
from hivewatch.camera.simulator.tracks import Pose, Position, Script, Site, Track, sample

BEE_LENGTH = 0.033
HORNET_LENGTHS = (0.052, 0.068)


class Bee:
    """One worker bee: in each episode it arrives, leaves, walks, fans, orients itself or passes by."""

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
        """Return the bee's pose at ``t`` seconds; None while it is inside the hive or away."""
        episode, since = divmod(t + self._ahead_s, self._period_s)
        if self._track is None or episode != self._episode:
            self._episode = int(episode)
            self._track = self._new_track(np.random.RandomState([*self._key, self._episode]))
        return self._track.pose(since)

    def _new_track(self, rng: np.random.RandomState) -> Track:
        script = Script()
        activity = rng.choice(
            ["arrive", "leave", "wander", "fan", "pass", "orient"], p=[0.27, 0.25, 0.2, 0.1, 0.06, 0.12]
        )
        door = self._site.in_entrance(float(rng.uniform(0.05, 0.95)))
        kind = SpriteKind.BEE_TOP if rng.uniform() < 0.6 else SpriteKind.BEE_SIDE
        if activity == "pass":
            script.go(0, _outside(rng, self._site), kind)
            middle = (float(rng.uniform(0.1, 0.9)), float(rng.uniform(0.1, 0.9)) * self._site.height)
            script.go(rng.uniform(0.4, 0.9), middle, kind)
            script.go(rng.uniform(0.4, 0.9), _outside(rng, self._site), kind)
            return sample(script, rng, smooth_s=0.3, wobble=0.006, length=self._length)
        if activity == "arrive":
            self._fly_in(script, rng, kind)
        else:
            script.go(0, door, SpriteKind.BEE_REST)
        if activity in ("wander", "fan"):
            self._walk(script, rng, fanning=activity == "fan")
        if activity in ("leave", "orient"):
            self._fly_out(script, rng, kind, turning=activity == "orient")
        else:
            script.go(rng.uniform(0.8, 2.2), door, SpriteKind.BEE_REST)
        return sample(script, rng, smooth_s=0.15, wobble=0.0035, length=self._length)

    def _fly_in(self, script: Script, rng: np.random.RandomState, kind: SpriteKind) -> None:
        landing = self._site.on_board(rng.uniform(0.1, 0.9), rng.uniform(0.3, 0.95))
        script.go(0, _outside(rng, self._site), kind)
        near = (landing[0] + rng.uniform(-0.08, 0.08), landing[1] - rng.uniform(0.02, 0.10))
        script.go(rng.uniform(0.4, 0.9), near, kind)
        above = (near[0] + rng.uniform(-0.03, 0.03), (near[1] + landing[1]) / 2)
        script.go(rng.uniform(0.3, 0.7), above, kind)
        script.go(rng.uniform(0.15, 0.35), landing, kind)
        script.go(rng.uniform(0.3, 1.2), landing, SpriteKind.BEE_REST)

    def _fly_out(
        self, script: Script, rng: np.random.RandomState, kind: SpriteKind, *, turning: bool
    ) -> None:
        edge = self._site.on_board(rng.uniform(0.1, 0.9), rng.uniform(0.5, 0.98))
        script.go(rng.uniform(0.8, 2.5), edge, SpriteKind.BEE_REST)
        script.go(rng.uniform(0.2, 0.8), edge, SpriteKind.BEE_REST)
        if turning:  # orientation flight of a young bee: back and forth in front of the entrance, facing it
            for _ in range(rng.randint(2, 5)):
                spot = (edge[0] + rng.uniform(-0.12, 0.12), edge[1] - rng.uniform(0.0, 0.16))
                script.go(rng.uniform(0.4, 0.9), spot, kind)
        script.go(rng.uniform(0.4, 0.9), _outside(rng, self._site), kind)

    def _walk(self, script: Script, rng: np.random.RandomState, *, fanning: bool) -> None:
        spot = self._site.on_board(rng.uniform(0.05, 0.95), rng.uniform(0.15, 0.95))
        script.go(rng.uniform(0.8, 2.0), spot, SpriteKind.BEE_REST)
        if fanning:
            script.go(rng.uniform(3.0, 6.0), spot, SpriteKind.BEE_FAN, -np.pi / 2 + rng.uniform(-0.5, 0.5))
            return
        for _ in range(rng.randint(1, 4)):
            spot = self._site.on_board(rng.uniform(0.05, 0.95), rng.uniform(0.1, 0.95))
            script.go(rng.uniform(0.7, 1.8), spot, SpriteKind.BEE_REST)
            script.go(rng.uniform(0.1, 0.8), spot, SpriteKind.BEE_REST)


class Hornets:
    """Hornet visits: one early in each period of ``every_s``, for ``stay_s``; one in five is a pair."""

    def __init__(self, seed: int, site: Site, every_s: float, stay_s: float) -> None:
        self._seed = seed
        self._site = site
        self._every_s = every_s
        self._stay_s = stay_s
        self._visits: dict[int, list[tuple[float, Track]]] = {}

    def poses(self, t: float) -> Iterator[Pose]:
        """Yield the pose of every hornet present at ``t`` seconds."""
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
        visit = [(start_s, self._new_track(rng, self._stay_s))]
        if rng.uniform() < 0.2:
            visit.append((start_s + 0.2 * self._stay_s, self._new_track(rng, 0.6 * self._stay_s)))
        return visit

    def _new_track(self, rng: np.random.RandomState, stay_s: float) -> Track:
        script = Script()
        views = (SpriteKind.HORNET_TOP, SpriteKind.HORNET_SIDE, SpriteKind.HORNET_FACE)
        kind = views[rng.choice(3, p=[0.5, 0.35, 0.15])]
        squash = (
            float(rng.uniform(0.62, 1.0)) if kind is SpriteKind.HORNET_TOP else float(rng.uniform(0.9, 1.0))
        )
        target = self._site.in_entrance(float(rng.uniform(0.2, 0.8)))
        script.go(0, _outside(rng, self._site), kind)
        script.go(rng.uniform(0.5, 0.9), self._spot(rng, target), kind)
        end_s = max(0.5, stay_s - 0.7)
        while script.times[-1] < end_s:
            seconds = min(float(rng.uniform(0.7, 2.2)), end_s - script.times[-1] + 0.05)
            self._hover(script, rng, kind, target, seconds)
            if script.times[-1] < end_s - 3.0 and rng.uniform() < 0.35:
                self._strike(script, rng, kind)
        script.go(rng.uniform(0.35, 0.7), _outside(rng, self._site), kind)
        length = float(rng.uniform(*HORNET_LENGTHS))
        return sample(script, rng, smooth_s=0.1, wobble=0.0030, length=length, squash=squash)

    def _spot(self, rng: np.random.RandomState, target: Position) -> Position:
        """Return a random position in view to hover at, close to ``target``."""
        angle, gap = rng.uniform(0, 2 * np.pi), rng.uniform(0.08, 0.36)
        x, y = target[0] + gap * np.cos(angle), target[1] + 0.7 * gap * np.sin(angle)
        return float(np.clip(x, 0.06, 0.94)), float(np.clip(y, 0.08, self._site.height - 0.06))

    def _hover(
        self, script: Script, rng: np.random.RandomState, kind: SpriteKind, target: Position, seconds: float
    ) -> None:
        """Hover facing the entrance, or away from it to wait for returning bees; then dart elsewhere."""
        x, y = script.positions[-1]
        heading = float(np.arctan2(target[1] - y, target[0] - x) + rng.uniform(-0.35, 0.35))
        if rng.uniform() < 0.2:
            heading += np.pi
        if kind is SpriteKind.HORNET_FACE:
            heading = -np.pi / 2 + rng.uniform(-0.3, 0.3)
        drift = (x + rng.uniform(-0.012, 0.012), y + rng.uniform(-0.010, 0.010))
        script.go(seconds, drift, kind, heading)
        script.go(rng.uniform(0.12, 0.3), self._spot(rng, target), kind, heading)

    def _strike(self, script: Script, rng: np.random.RandomState, kind: SpriteKind) -> None:
        """Lunge at the landing board and return; half of the time, land and walk about first."""
        prey = self._site.on_board(rng.uniform(0.15, 0.85), rng.uniform(0.3, 0.9))
        back = script.positions[-1]
        script.go(rng.uniform(0.15, 0.25), prey, kind)
        if rng.uniform() < 0.5:
            aside = self._site.on_board(rng.uniform(0.15, 0.85), rng.uniform(0.4, 0.9))
            share = min(1.0, 0.10 / (1e-6 + float(np.hypot(aside[0] - prey[0], aside[1] - prey[1]))))
            walk = (prey[0] + (aside[0] - prey[0]) * share, prey[1] + (aside[1] - prey[1]) * share)
            script.go(rng.uniform(0.4, 0.9), prey, SpriteKind.HORNET_REST)
            script.go(rng.uniform(0.6, 1.4), walk, SpriteKind.HORNET_REST)
            script.go(rng.uniform(0.2, 0.6), walk, SpriteKind.HORNET_REST)
        script.go(rng.uniform(0.2, 0.3), back, kind)


class Leaves:
    """Leaves that fall through the picture."""

    EVERY_S = 9.0

    def __init__(self, seed: int, height: float) -> None:
        self._seed = seed
        self._height = height
        self._falling: dict[int, tuple[float, Track]] = {}

    def poses(self, t: float) -> Iterator[Pose]:
        """Yield the pose of every leaf falling at ``t`` seconds."""
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
        script.go(0, (x, -0.08), SpriteKind.LEAF, turn)
        for step in range(1, 6):
            turn += rng.uniform(-1.2, 1.2)
            position = (x + rng.uniform(-0.05, 0.05), step / 5 * (self._height + 0.16) - 0.08)
            script.go(rng.uniform(0.35, 0.8), position, SpriteKind.LEAF, turn)
        length, squash = float(rng.uniform(0.02, 0.045)), float(rng.uniform(0.5, 1.0))
        track = sample(script, rng, smooth_s=0.3, wobble=0.004, length=length, squash=squash)
        return self.EVERY_S * number + rng.uniform(0, 0.9) * self.EVERY_S, track


def _outside(rng: np.random.RandomState, site: Site) -> Position:
    """Return a random position just outside the frame: left, right, above or below a corner."""
    side = rng.randint(5)
    if side < 2:
        return (-0.12 if side == 0 else 1.12), float(rng.uniform(0, 0.9) * site.height)
    if side < 4:
        return float(rng.uniform(0, 1)), -0.12
    return float(rng.choice((0.1, 0.9)) + rng.uniform(-0.1, 0.1)), site.height + 0.12
