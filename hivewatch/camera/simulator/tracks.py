"""Smooth tracks of the simulator's actors, made from scripts. Positions and lengths are in frame widths."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from hivewatch.camera.simulator.animals import PHASES, STANDING, SpriteKind

Numbers = npt.NDArray[np.float64]
Position = tuple[float, float]

STEP_S = 0.02  # between two samples of a track; in between, movement is linear
FADE_S = 0.15  # to fade an actor in at the start of its track and out at the end
PHASES_PER_S = {SpriteKind.BEE_REST: 9, SpriteKind.HORNET_REST: 9, SpriteKind.LEAF: 0}
WING_PHASES_PER_S = 31  # of all other kinds


@dataclass(frozen=True, slots=True)
class Site:
    """The hive in the frame: the ends of the entrance, the board's corners clockwise from the back left."""

    entrance: tuple[Position, Position]
    board: tuple[Position, Position, Position, Position]
    height: float  # of the frame

    def in_entrance(self, share: float) -> Position:
        """Return the position at ``share`` (0..1) of the entrance's width."""
        (x0, y0), (x1, y1) = self.entrance
        return x0 + (x1 - x0) * share, y0 + (y1 - y0) * share

    def on_board(self, across: float, forward: float) -> Position:
        """Return a position on the board, clipped to the view; both shares are 0..1, from the back left."""
        back_left, back_right, front_right, front_left = (np.array(corner) for corner in self.board)
        back = back_left + (back_right - back_left) * across
        front = front_left + (front_right - front_left) * across
        x, y = back + (front - back) * forward
        return float(np.clip(x, 0.03, 0.97)), float(np.clip(y, 0.03, self.height - 0.03))


@dataclass(frozen=True, slots=True)
class Pose:
    """An actor at one moment. Speeds are in frame widths per second, ``opacity`` is 0..1."""

    kind: SpriteKind
    phase: int
    x: float
    y: float
    heading: float
    mirrored: bool
    squash: float
    length: float
    speed_x: float
    speed_y: float
    opacity: float


@dataclass(slots=True)
class Script:
    """The keyframes of an episode: times, positions, sprite kinds and headings."""

    times: list[float] = field(default_factory=list)
    positions: list[Position] = field(default_factory=list)
    kinds: list[SpriteKind] = field(default_factory=list)
    headings: list[float | None] = field(default_factory=list)

    def go(self, seconds: float, position: Position, kind: SpriteKind, heading: float | None = None) -> None:
        """Move to ``position`` in ``seconds``; without ``heading`` the actor faces where it moves."""
        self.times.append((self.times[-1] if self.times else 0.0) + seconds)
        self.positions.append(position)
        self.kinds.append(kind)
        self.headings.append(heading)


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One episode, sampled every STEP_S from its start."""

    times: Numbers
    positions: Numbers
    headings: Numbers
    kinds: list[SpriteKind]
    kind_until: Numbers
    length: float
    squash: float
    phase: int

    def pose(self, t: float) -> Pose | None:
        """Return the pose at ``t`` seconds of the episode; None before its start and after its end."""
        if not 0 <= t < self.times[-1]:
            return None
        i = min(int(t / STEP_S), len(self.times) - 2)
        share = t / STEP_S - i
        x, y = self.positions[i] + (self.positions[i + 1] - self.positions[i]) * share
        speed_x, speed_y = (self.positions[i + 1] - self.positions[i]) / STEP_S
        kind = self.kinds[int(np.searchsorted(self.kind_until, t, side="right"))]
        heading, mirrored = _upright(float(self.headings[i]), kind)
        return Pose(
            kind=kind,
            phase=(self.phase + int(t * PHASES_PER_S.get(kind, WING_PHASES_PER_S))) % PHASES,
            x=float(x),
            y=float(y),
            heading=heading,
            mirrored=mirrored,
            squash=self.squash,
            length=self.length,
            speed_x=float(speed_x),
            speed_y=float(speed_y),
            opacity=float(min(1.0, t / FADE_S, (self.times[-1] - t) / FADE_S)),
        )


def _upright(heading: float, kind: SpriteKind) -> tuple[float, bool]:
    """Return rotation and mirroring of the sprite: seen from the side, no insect flies upside down."""
    if kind not in (SpriteKind.HORNET_SIDE, SpriteKind.BEE_SIDE):
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
    """Return a smooth track through the script's keyframes; ``wobble`` is the amplitude of sway in flight."""
    knots = np.array(script.times)
    times = np.arange(0.0, knots[-1] + 2 * STEP_S, STEP_S)
    positions = np.stack(
        [np.interp(times, knots, [position[axis] for position in script.positions]) for axis in (0, 1)],
        axis=1,
    )
    flies = np.interp(times, knots, [kind not in STANDING for kind in script.kinds])
    for rate_hz in (0.7, 1.9, 4.3):
        offsets = rng.uniform(0, 2 * np.pi, 2)
        positions += (wobble * flies / rate_hz**0.7)[:, None] * np.sin(
            2 * np.pi * rate_hz * times[:, None] + offsets
        )
    for axis in (0, 1):
        positions[:, axis] = _smooth(positions[:, axis], smooth_s)
    headings = _headings(script, knots, times, positions)
    return Track(
        times=times,
        positions=positions,
        headings=headings,
        kinds=[*script.kinds[1:], script.kinds[-1]],
        kind_until=knots[1:],
        length=length,
        squash=squash,
        phase=int(rng.randint(PHASES)),
    )


def _headings(script: Script, knots: Numbers, times: Numbers, positions: Numbers) -> Numbers:
    """Return the heading of each sample: the scripted one, or else the direction of travel."""
    moves = np.gradient(positions, axis=0)
    moving = np.arctan2(moves[:, 1], moves[:, 0])
    still = np.hypot(moves[:, 0], moves[:, 1]) < 2e-5
    if not still.all():
        last = np.maximum.accumulate(np.where(still, -1, np.arange(len(times))))
        moving = moving[np.where(last < 0, int(np.argmin(still)), last)]
    segment = np.minimum(np.searchsorted(knots, times, side="right"), len(knots) - 1)
    scripted = [np.nan if heading is None else heading for heading in script.headings]
    headings = np.array(scripted)[segment]
    headings = np.unwrap(np.where(np.isnan(headings), moving, headings))
    return _smooth(headings, 0.12)


def _smooth(values: Numbers, within_s: float) -> Numbers:
    reach = max(1, round(within_s / STEP_S))
    kernel = np.hanning(2 * reach + 1)
    return np.convolve(np.pad(values, reach, mode="edge"), kernel / kernel.sum(), mode="valid")
