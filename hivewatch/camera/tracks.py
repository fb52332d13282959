"""Where the simulator's actors are at any moment: a pure function of the seed and the time.

Each actor lives in episodes that begin and end out of sight, so an episode can be drawn up from the seed and
its number alone; any moment can be asked for, in any order. Places are in frame widths, y down.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from hivewatch.camera.anatomy import Look

Numbers = npt.NDArray[np.float64]
Place = tuple[float, float]

STEP_S = 0.02  # tracks are sampled this finely; between samples they are straight
BEE_LENGTH = 0.033
HORNET_LENGTHS = (0.052, 0.068)


@dataclass(frozen=True, slots=True)
class Site:
    """The hive as the camera sees it: the entrance's ends, the board's corners (back left, clockwise)."""

    entrance: tuple[Place, Place]
    board: tuple[Place, Place, Place, Place]
    height: float  # of the frame, in widths

    def in_entrance(self, share: float) -> Place:
        """Return the place that far along the entrance, 0..1."""
        (x0, y0), (x1, y1) = self.entrance
        return x0 + (x1 - x0) * share, y0 + (y1 - y0) * share

    def on_board(self, across: float, forward: float) -> Place:
        """Return a place on the board: 0..1 from left to right, 0..1 from the hive to the front edge."""
        back_left, back_right, front_right, front_left = (np.array(corner) for corner in self.board)
        back = back_left + (back_right - back_left) * across
        front = front_left + (front_right - front_left) * across
        x, y = back + (front - back) * forward
        return float(x), float(y)


@dataclass(frozen=True, slots=True)
class Pose:
    """One actor at one moment. ``length`` and speeds are in frame widths (per second); ``seen`` is 0..1."""

    look: Look
    phase: int
    x: float
    y: float
    heading: float
    mirrored: bool
    squash: float
    length: float
    speed_x: float
    speed_y: float
    seen: float


@dataclass(slots=True)
class _Script:
    """An episode being written: where to be when, in which look."""

    times: list[float] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    headings: list[float | None] = field(default_factory=list)

    def go(self, seconds: float, place: Place, look: Look, heading: float | None = None) -> None:
        """Be at ``place`` after so many more seconds; without ``heading`` the animal looks where it goes."""
        self.times.append((self.times[-1] if self.times else 0.0) + seconds)
        self.places.append(place)
        self.looks.append(look)
        self.headings.append(heading)


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One episode, sampled: t is counted from its beginning."""

    times: Numbers
    places: Numbers
    headings: Numbers
    looks: list[Look]
    look_until: Numbers
    length: float
    squash: float
    phase: int

    def pose(self, t: float) -> Pose | None:
        """Return the actor at ``t``, None before its beginning and after its end."""
        if not 0 <= t < self.times[-1]:
            return None
        i = min(int(t / STEP_S), len(self.times) - 2)
        share = t / STEP_S - i
        x, y = self.places[i] + (self.places[i + 1] - self.places[i]) * share
        speed_x, speed_y = (self.places[i + 1] - self.places[i]) / STEP_S
        look = self.looks[int(np.searchsorted(self.look_until, t, side="right"))]
        heading, mirrored = float(self.headings[i]), False
        if look in (Look.HORNET_SIDE, Look.BEE_SIDE):  # never upside down: it turns round instead
            mirrored = np.cos(heading) < 0
            heading = 0.45 * np.arcsin(np.sin(heading)) * (-1 if mirrored else 1)
        phase = (self.phase + int(t * (9 if look in (Look.BEE_REST, Look.HORNET_REST) else 31))) % 3
        if look is Look.LEAF:
            phase = self.phase
        seen = min(1.0, t / 0.15, (self.times[-1] - t) / 0.15)
        return Pose(
            look,
            phase,
            float(x),
            float(y),
            heading,
            bool(mirrored),
            self.squash,
            self.length,
            speed_x,
            speed_y,
            seen,
        )


def _sample(
    script: _Script,
    rng: np.random.RandomState,
    *,
    smooth_s: float,
    wobble: float,
    length: float,
    squash: float = 1.0,
) -> Track:
    """Turn a script into a smooth track; ``wobble`` is the sway of flight, in frame widths."""
    knots = np.array(script.times)
    times = np.arange(0.0, knots[-1] + 2 * STEP_S, STEP_S)
    places = np.stack(
        [np.interp(times, knots, [place[axis] for place in script.places]) for axis in (0, 1)], axis=1
    )
    flies = np.interp(
        times, knots, [look not in (Look.BEE_REST, Look.BEE_FAN, Look.HORNET_REST) for look in script.looks]
    )
    for rate_hz in (0.7, 1.9, 4.3):
        turn = rng.uniform(0, 2 * np.pi, 2)
        places += (wobble * flies / rate_hz**0.7)[:, None] * np.sin(
            2 * np.pi * rate_hz * times[:, None] + turn
        )
    reach = max(1, round(smooth_s / STEP_S))
    kernel = np.hanning(2 * reach + 1)
    kernel /= kernel.sum()
    for axis in (0, 1):
        places[:, axis] = np.convolve(np.pad(places[:, axis], reach, mode="edge"), kernel, mode="valid")
    headings = _headings(script, knots, times, places)
    return Track(
        times,
        places,
        headings,
        [*script.looks[1:], script.looks[-1]],
        knots[1:],
        length,
        squash,
        int(rng.randint(3)),
    )


def _headings(script: _Script, knots: Numbers, times: Numbers, places: Numbers) -> Numbers:
    """Return the direction of the head per sample: the one asked for, or that of the movement."""
    moves = np.gradient(places, axis=0)
    moving = np.arctan2(moves[:, 1], moves[:, 0])
    still = np.hypot(moves[:, 0], moves[:, 1]) < 2e-5
    if not still.all():
        last = np.maximum.accumulate(np.where(still, -1, np.arange(len(times))))
        moving = moving[np.where(last < 0, int(np.argmin(still)), last)]
    segment = np.minimum(np.searchsorted(knots, times, side="right"), len(knots) - 1)
    asked = [np.nan if heading is None else heading for heading in script.headings]
    wanted = np.array(asked)[segment]
    wanted = np.unwrap(np.where(np.isnan(wanted), moving, wanted))
    kernel = np.hanning(13) / np.hanning(13).sum()
    return np.convolve(np.pad(wanted, 6, mode="edge"), kernel, mode="valid")


def _outside(rng: np.random.RandomState, site: Site) -> Place:
    """Return a place just out of the frame: left, right, above or at a lower corner."""
    side = rng.randint(5)
    if side < 2:
        return (-0.12 if side == 0 else 1.12), float(rng.uniform(0, 0.9) * site.height)
    if side < 4:
        return float(rng.uniform(0, 1)), -0.12
    return float(rng.choice((0.1, 0.9)) + rng.uniform(-0.1, 0.1)), site.height + 0.12


class Bee:
    """One worker: it comes, goes, walks, fans, or only passes by, one episode after the other."""

    def __init__(self, seed: int, number: int, site: Site) -> None:
        rng = np.random.RandomState([seed, 11, number])
        self._key = (seed, 12, number)
        self._site = site
        self._period_s = float(rng.uniform(7, 13))
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
        script = _Script()
        deed = rng.choice(
            ["arrive", "leave", "wander", "fan", "pass", "orient"], p=[0.27, 0.25, 0.2, 0.1, 0.06, 0.12]
        )
        door = self._site.in_entrance(float(rng.uniform(0.05, 0.95)))
        look = Look.BEE_TOP if rng.uniform() < 0.6 else Look.BEE_SIDE
        if deed == "pass":
            script.go(0, _outside(rng, self._site), look)
            script.go(
                rng.uniform(0.4, 0.9),
                (rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.9) * self._site.height),
                look,
            )
            script.go(rng.uniform(0.4, 0.9), _outside(rng, self._site), look)
            return _sample(script, rng, smooth_s=0.3, wobble=0.006, length=self._length)
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
        return _sample(script, rng, smooth_s=0.15, wobble=0.0035, length=self._length)

    def _fly_in(self, script: _Script, rng: np.random.RandomState, look: Look) -> None:
        landing = self._site.on_board(rng.uniform(0.1, 0.9), rng.uniform(0.3, 0.95))
        script.go(0, _outside(rng, self._site), look)
        near = (landing[0] + rng.uniform(-0.08, 0.08), landing[1] - rng.uniform(0.02, 0.10))
        script.go(rng.uniform(0.4, 0.9), near, look)
        script.go(
            rng.uniform(0.3, 0.7), (near[0] + rng.uniform(-0.03, 0.03), (near[1] + landing[1]) / 2), look
        )
        script.go(rng.uniform(0.15, 0.35), landing, look)
        script.go(rng.uniform(0.3, 1.2), landing, Look.BEE_REST)

    def _fly_out(self, script: _Script, rng: np.random.RandomState, look: Look, *, turning: bool) -> None:
        edge = self._site.on_board(rng.uniform(0.1, 0.9), rng.uniform(0.5, 0.98))
        script.go(rng.uniform(0.8, 2.5), edge, Look.BEE_REST)
        script.go(rng.uniform(0.2, 0.8), edge, Look.BEE_REST)
        if turning:  # young bees learn the place: back and forth before the entrance, facing it
            for _ in range(rng.randint(2, 5)):
                spot = (edge[0] + rng.uniform(-0.12, 0.12), edge[1] - rng.uniform(0.0, 0.16))
                script.go(rng.uniform(0.4, 0.9), spot, look)
        script.go(rng.uniform(0.4, 0.9), _outside(rng, self._site), look)

    def _walk(self, script: _Script, rng: np.random.RandomState, *, fanning: bool) -> None:
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
        script = _Script()
        look = (Look.HORNET_TOP, Look.HORNET_SIDE, Look.HORNET_TOP, Look.HORNET_FACE)[
            rng.choice(4, p=[0.3, 0.35, 0.25, 0.1])
        ]
        squash = float(rng.uniform(0.62, 1.0)) if look is Look.HORNET_TOP else float(rng.uniform(0.9, 1.0))
        target = self._site.in_entrance(float(rng.uniform(0.2, 0.8)))
        script.go(0, _outside(rng, self._site), look)
        script.go(rng.uniform(0.5, 0.9), self._spot(rng, target), look)
        end_s = max(0.5, stay_s - 0.7)
        while script.times[-1] < end_s:
            self._hover(
                script, rng, look, target, min(rng.uniform(0.7, 2.2), end_s - script.times[-1] + 0.05)
            )
            if script.times[-1] < end_s - 3.0 and rng.uniform() < 0.35:
                self._strike(script, rng, look)
        script.go(rng.uniform(0.35, 0.7), _outside(rng, self._site), look)
        length = float(rng.uniform(*HORNET_LENGTHS))
        return _sample(script, rng, smooth_s=0.1, wobble=0.0030, length=length, squash=squash)

    def _spot(self, rng: np.random.RandomState, target: Place) -> Place:
        """Return a place to hover at, a hand's breadth before the entrance, in view."""
        angle, gap = rng.uniform(0, 2 * np.pi), rng.uniform(0.08, 0.26)
        x, y = target[0] + gap * np.cos(angle), target[1] + 0.7 * gap * np.sin(angle)
        return float(np.clip(x, 0.06, 0.94)), float(np.clip(y, 0.08, self._site.height - 0.06))

    def _hover(
        self, script: _Script, rng: np.random.RandomState, look: Look, target: Place, seconds: float
    ) -> None:
        """Stay nearly in place, head to the entrance; then dart to the next place."""
        x, y = script.places[-1]
        heading = float(np.arctan2(target[1] - y, target[0] - x) + rng.uniform(-0.35, 0.35))
        if look is Look.HORNET_FACE:
            heading = -np.pi / 2 + rng.uniform(-0.3, 0.3)
        drift = (x + rng.uniform(-0.012, 0.012), y + rng.uniform(-0.010, 0.010))
        script.go(seconds, drift, look, heading)
        script.go(rng.uniform(0.12, 0.3), self._spot(rng, target), look, heading)

    def _strike(self, script: _Script, rng: np.random.RandomState, look: Look) -> None:
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
        script = _Script()
        x, turn = rng.uniform(0, 1), rng.uniform(0, 2 * np.pi)
        script.go(0, (x, -0.08), Look.LEAF, turn)
        for step in range(1, 6):
            turn += rng.uniform(-1.2, 1.2)
            place = (x + rng.uniform(-0.05, 0.05), step / 5 * (self._height + 0.16) - 0.08)
            script.go(rng.uniform(0.35, 0.8), place, Look.LEAF, turn)
        length, squash = float(rng.uniform(0.02, 0.045)), float(rng.uniform(0.5, 1.0))
        track = _sample(script, rng, smooth_s=0.3, wobble=0.004, length=length, squash=squash)
        return self.EVERY_S * number + rng.uniform(0, 0.9) * self.EVERY_S, track
