"""Tracks of the simulator's actors: scripts of places and times, made smooth. Places are in frame widths."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from hivewatch.camera.simulator.animals import PHASES, STANDING, Look

Numbers = npt.NDArray[np.float64]
Place = tuple[float, float]

STEP_S = 0.02  # tracks are sampled this finely; between samples they are straight
FADE_S = 0.15  # an actor comes into sight and out of it in this time
PHASES_PER_S = {Look.BEE_REST: 9, Look.HORNET_REST: 9, Look.LEAF: 0}  # else as a beating wing


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
        """Return a place on the board, in view: 0..1 from left to right, 0..1 from the hive forward."""
        back_left, back_right, front_right, front_left = (np.array(corner) for corner in self.board)
        back = back_left + (back_right - back_left) * across
        front = front_left + (front_right - front_left) * across
        x, y = back + (front - back) * forward
        return float(np.clip(x, 0.03, 0.97)), float(np.clip(y, 0.03, self.height - 0.03))


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
class Script:
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
        heading, mirrored = _upright(float(self.headings[i]), look)
        return Pose(
            look=look,
            phase=(self.phase + int(t * PHASES_PER_S.get(look, 31))) % PHASES,
            x=float(x),
            y=float(y),
            heading=heading,
            mirrored=mirrored,
            squash=self.squash,
            length=self.length,
            speed_x=float(speed_x),
            speed_y=float(speed_y),
            seen=float(min(1.0, t / FADE_S, (self.times[-1] - t) / FADE_S)),
        )


def _upright(heading: float, look: Look) -> tuple[float, bool]:
    """Return the drawing's turn and whether it is mirrored: nobody seen from the side flies on its back."""
    if look not in (Look.HORNET_SIDE, Look.BEE_SIDE):
        return heading, False
    mirrored = bool(np.cos(heading) < 0)
    climb = 0.45 * float(np.arcsin(np.sin(heading)))  # an insect's body tilts less than its path
    return (-climb if mirrored else climb), mirrored


def sample(
    script: Script,
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
    flies = np.interp(times, knots, [look not in STANDING for look in script.looks])
    for rate_hz in (0.7, 1.9, 4.3):
        turn = rng.uniform(0, 2 * np.pi, 2)
        places += (wobble * flies / rate_hz**0.7)[:, None] * np.sin(
            2 * np.pi * rate_hz * times[:, None] + turn
        )
    for axis in (0, 1):
        places[:, axis] = _smooth(places[:, axis], smooth_s)
    headings = _headings(script, knots, times, places)
    return Track(
        times=times,
        places=places,
        headings=headings,
        looks=[*script.looks[1:], script.looks[-1]],
        look_until=knots[1:],
        length=length,
        squash=squash,
        phase=int(rng.randint(PHASES)),
    )


def _headings(script: Script, knots: Numbers, times: Numbers, places: Numbers) -> Numbers:
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
    return _smooth(wanted, 0.12)


def _smooth(values: Numbers, within_s: float) -> Numbers:
    reach = max(1, round(within_s / STEP_S))
    kernel = np.hanning(2 * reach + 1)
    return np.convolve(np.pad(values, reach, mode="edge"), kernel / kernel.sum(), mode="valid")
