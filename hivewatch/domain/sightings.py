"""Sightings of hornets, the model that made them, and the pressure they add up to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from hivewatch.domain.frames import Frame, Prediction


class Phase(StrEnum):
    """The phase of a sighting that an event reports."""

    START = "start"
    UPDATE = "update"
    END = "end"


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """A hornet's visit, as known at one event.

    ``at`` is the time of the event, ``started_at`` that of the first vote for a hornet, ``last_seen_at`` that
    of the last. ``score`` belongs to the latest classified frame, ``best`` and ``best_frame`` to the frame
    with the highest score. ``votes_for`` of ``votes`` classified frames showed a hornet.
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


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """The model that classified the frames; ``sha256`` is the hash of its file, in hexadecimal."""

    name: str
    version: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Stamp:
    """A time by the monotonic clock, from which the true time is computed once the system clock is trusted.

    The monotonic clock is only valid within one boot of the machine, ``boot_id``.
    """

    boot_id: str
    monotonic_s: float


class PressureLevel(StrEnum):
    """The pressure of hornets on the hive, as a traffic light."""

    GREEN = "green"
    AMBER = "amber"
    RED = "red"


@dataclass(frozen=True, slots=True)
class Presence:
    """How often and for how long hornets were seen in a period."""

    sightings: int
    seconds: float

    @property
    def minutes(self) -> float:
        """The time in minutes, rounded as published."""
        return round(self.seconds / 60, 1)
