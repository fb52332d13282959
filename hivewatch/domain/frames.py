"""The values that pass between the stages: Frame, View, Prediction, Sighting, Alert.

All are frozen. Coordinates are normalised to the full frame: x to the right and y down, 0..1, whatever crop
or resize a stage works on. Times come twice: ``taken_at`` for people, ``monotonic_s`` for arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Map = npt.NDArray[np.float32]


class Point(NamedTuple):
    """A place in the full frame, normalised."""

    x: float
    y: float


class Box(NamedTuple):
    """A rectangle in the full frame, normalised: left, top, right, bottom."""

    x0: float
    y0: float
    x1: float
    y1: float

    def contains(self, point: Point) -> bool:
        """Tell whether ``point`` lies in the box, its border included."""
        return self.x0 <= point.x <= self.x1 and self.y0 <= point.y <= self.y1

    def pixels(self, width_px: int, height_px: int) -> tuple[int, int, int, int]:
        """Return left, top, right, bottom in whole pixels of a frame of that size."""
        return (
            round(self.x0 * width_px),
            round(self.y0 * height_px),
            round(self.x1 * width_px),
            round(self.y1 * height_px),
        )


WHOLE = Box(0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture from a camera.

    ``pixels`` is RGB, uint8, height x width x 3. ``taken_at`` is aware UTC. ``monotonic_s`` never runs
    backwards within one source (of a file it is the position in it). ``sequence`` counts from 0 per source.
    ``truth`` holds the boxes of the hornets in view where the source knows them (the simulator), else None.
    A frame that is not ``usable`` (a repeat, a black or a white one) says nothing for or against a hornet.
    """

    pixels: Pixels
    taken_at: datetime
    monotonic_s: float
    sequence: int
    source: str
    truth: tuple[Box, ...] | None = None
    usable: bool = True

    def __post_init__(self) -> None:
        """Refuse what no later stage could make sense of; raises ValueError."""
        shape = self.pixels.shape
        if self.pixels.dtype != np.uint8 or len(shape) != 3 or shape[2] != 3 or 0 in shape:
            raise ValueError(f"a frame is uint8 H x W x 3, not {self.pixels.dtype} {shape}")
        if self.taken_at.utcoffset() is None:
            raise ValueError("taken_at must carry its time zone")

    @property
    def height_px(self) -> int:
        """Height of the picture."""
        return int(self.pixels.shape[0])

    @property
    def width_px(self) -> int:
        """Width of the picture."""
        return int(self.pixels.shape[1])


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """The part of a frame that is looked at: cropped to ``extent``, ignored places painted over.

    ``watched_px`` is the longer side of all that is watched, in pixels: a view narrowed from it is shown to
    the network at the same scale.
    """

    frame: Frame
    pixels: Pixels
    extent: Box
    watched_px: int

    def cut(self, left: int, top: int, right: int, bottom: int) -> View:
        """Return a part of the view, given in its pixels, that keeps its place in the frame."""
        height_px, width_px = self.pixels.shape[:2]
        x0, y0, x1, y1 = self.extent
        across, down = (x1 - x0) / width_px, (y1 - y0) / height_px
        extent = Box(x0 + left * across, y0 + top * down, x0 + right * across, y0 + bottom * down)
        return replace(self, pixels=self.pixels[top:bottom, left:right], extent=extent)


@dataclass(frozen=True, slots=True)
class Location:
    """Where the evidence for a hornet is: its peak, and the box around it (None where there is none)."""

    peak: Point
    box: Box | None


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What the classifier says of one view.

    ``score`` is the probability of a hornet, 0..1. ``cam`` is the class activation map over ``extent``:
    float32, rows x columns, in logits (above 0 speaks for a hornet).
    """

    score: float
    cam: Map
    extent: Box
    location: Location


class Phase(StrEnum):
    """What a sighting event tells."""

    START = "start"
    UPDATE = "update"
    END = "end"


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """A hornet's visit as known at one event of it.

    ``at`` is when this event happened, ``started_at`` when the first vote for the visit was cast,
    ``last_seen_at`` when the last one was. ``score`` belongs to the latest classified frame, ``best`` and
    ``best_frame`` to the one with the highest score. ``votes_for`` of ``votes`` classified frames showed a
    hornet.
    """

    id: str
    phase: Phase
    at: datetime
    started_at: datetime
    last_seen_at: datetime
    duration_s: float
    score: float
    best: Prediction
    best_frame: Frame
    votes_for: int
    votes: int


class CameraState(StrEnum):
    """Whether the camera shows the hive: as it should, in a way that may hide a hornet, or not at all."""

    ONLINE = "online"
    DEGRADED = "degraded"
    OFFLINE = "offline"


class CameraFault(StrEnum):
    """Why a camera does not show the hive as it should."""

    NO_FRAMES = "no_frames"
    REPEATING = "repeating"
    FROZEN = "frozen"
    DARK = "dark"
    WHITE = "white"
    COVERED = "covered"
    MOVED = "moved"
    SLOW = "slow"


@dataclass(frozen=True, slots=True)
class CameraStatus:
    """What is known of the camera ``source``; without ``reasons`` it is online."""

    source: str
    state: CameraState
    reasons: tuple[CameraFault, ...]


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Which model judged: the SHA-256 of its file, hexadecimal, tells versions of one name apart."""

    name: str
    version: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Stamp:
    """When something was noted by a clock that nobody trusted: what is needed to date it later.

    The monotonic clock goes on through one run of the machine, the ``boot_id``.
    """

    boot_id: str
    monotonic_s: float


@dataclass(frozen=True, slots=True)
class Message:
    """What goes to the broker, always with QoS 1, or comes from it. It keeps the last ``retained``.

    ``sighting_id`` names the visit that it belongs to, if any.
    """

    topic: str
    payload: bytes
    retained: bool
    sighting_id: str | None = None


@dataclass(frozen=True, slots=True)
class Envelope:
    """What MQTT 5 can say beside a message: its kind, when it is out of date, and properties for readers."""

    content_type: str | None = None
    expiry_s: int | None = None
    properties: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Alert:
    """A Sighting's wire form: the JSON ``event``, the annotated JPEG to send, and the clean JPEG to keep.

    Both pictures are None where there was no room for them; the event then says so. ``own_snapshot`` is the
    annotated one once more, on a topic of the sighting's own, where that is wanted.
    """

    event: Message
    snapshot: Message | None
    clean_jpeg: bytes | None
    own_snapshot: Message | None = None

    @property
    def snapshots(self) -> tuple[Message, ...]:
        """The messages that carry the annotated picture."""
        return tuple(message for message in (self.snapshot, self.own_snapshot) if message is not None)


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """A Message that the broker has not acknowledged yet."""

    id: int
    message: Message


class PressureLevel(StrEnum):
    """How hard hornets press the hive, as a person wants to hear it."""

    GREEN = "green"
    AMBER = "amber"
    RED = "red"


@dataclass(frozen=True, slots=True)
class Presence:
    """How often and how long hornets were seen in some stretch of time."""

    sightings: int
    seconds: float

    @property
    def minutes(self) -> float:
        """The time in minutes, as exactly as it is told."""
        return round(self.seconds / 60, 1)


@dataclass(frozen=True, slots=True)
class Settings:
    """What a command can change, as it is now. ``paused_until`` is None for a pause without an end."""

    paused: bool
    paused_until: datetime | None
    threshold: float
    threshold_yaml: float
    commands_enabled: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a command: ``id`` is what the caller named it by, ``message`` is for people."""

    command: str
    id: str | None
    accepted: bool
    message: str


@dataclass(frozen=True, slots=True)
class Backlog:
    """What left the outbox unsent because it had become too much or too old: one message stands for it.

    The ``sightings`` of which ``events`` or ``pictures`` were dropped lie between ``first_at`` and
    ``last_at`` (None without a sighting); ``sighting_ids`` holds the latest of their ids. It may grow while
    it is told: of two with one ``id`` the later counts.
    """

    id: str
    sightings: int
    events: int
    pictures: int
    first_at: datetime | None
    last_at: datetime | None
    best_score: float | None
    sighting_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """How the store stands. ``oldest_unsent_at``: since when the oldest message is known to wait.

    ``pictures_lost`` (gone or damaged before they were sent) and ``sightings_removed`` (by retention) count
    since the start; ``set_aside`` names a damaged database that was found at this start.
    """

    sightings: int
    oldest_sighting_at: datetime | None
    used_bytes: int
    free_bytes: int
    unsent_messages: int
    unsent_bytes: int
    oldest_unsent_at: datetime | None
    pictures_lost: int
    sightings_removed: int
    set_aside: str | None
