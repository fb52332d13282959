"""Status of the camera, the settings, the outbox and the store, as it is published."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class CameraState(StrEnum):
    """Whether the camera shows the hive: well, in a way that may hide a hornet, or not at all."""

    ONLINE = "online"
    DEGRADED = "degraded"
    OFFLINE = "offline"


class CameraFault(StrEnum):
    """A reason why the camera is degraded or offline."""

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
    """The status of the camera ``source``; without ``reasons`` it is online."""

    source: str
    state: CameraState
    reasons: tuple[CameraFault, ...]


@dataclass(frozen=True, slots=True)
class Settings:
    """The current values of what commands can change; ``paused_until`` is None for a pause without end."""

    paused: bool
    paused_until: datetime | None
    threshold: float
    threshold_yaml: float
    commands_enabled: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a command: ``id`` is the one its sender gave it, ``message`` is for people."""

    command: str
    id: str | None
    accepted: bool
    message: str


@dataclass(frozen=True, slots=True)
class Backlog:
    """Messages that were dropped from the outbox because it was too large or they were too old.

    The ``sightings`` whose ``events`` or ``pictures`` were dropped are between ``first_at`` and ``last_at``
    (None without a sighting); ``sighting_ids`` holds the latest of their ids. A backlog may grow after it was
    published: of two with the same ``id``, the later one is valid.
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
    """The status of the store. ``oldest_unsent_at`` is when the oldest unsent message was queued, if known.

    ``pictures_lost`` (missing or damaged before they were sent) and ``sightings_removed`` (by retention)
    count since the start. ``set_aside`` names the damaged database that was salvaged at this start.
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
