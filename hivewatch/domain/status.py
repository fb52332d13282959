"""The state of the camera, the store, the settings and the outbox, as reported to people."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


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
