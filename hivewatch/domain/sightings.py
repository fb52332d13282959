"""A hornet's visit, the model that judged it, and what visits add up to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from hivewatch.domain.frames import Frame, Prediction


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
