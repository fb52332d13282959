"""The reports that show that the daemon is working: health every minute, and a daily summary.

The classes below are the parts of the documents; their fields are named as in the JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime

from hivewatch.domain.sightings import ModelIdentity
from hivewatch.domain.wire import Message
from hivewatch.messages.contract import HEALTH, SUMMARY
from hivewatch.messages.documents import header
from hivewatch.messages.topics import HiveTopics
from hivewatch.system.sensors import Throttling, Versions


@dataclass(frozen=True, slots=True)
class FrameFigures:
    """Frame counts since the start, the current rate and age of the last frame, and the last hour's share."""

    seen: int
    classified: int
    held_back: int
    dropped: int
    bad: int
    rate_hz: float
    classified_share: float | None
    last_age_s: float | None


@dataclass(frozen=True, slots=True)
class Latency:
    """Median and 95th percentile of a stage's latest runs."""

    p50_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True)
class StoreFigures:
    """Disk use, and the messages waiting for the broker, at the time of the report."""

    sightings_today: int
    outbox_depth: int
    outbox_oldest_age_s: float | None
    disk_free_bytes: int
    store_bytes: int
    pictures_lost: int


@dataclass(frozen=True, slots=True)
class Health:
    """The daemon's state at one moment. ``scores_last_hour`` is a histogram with ten bins over 0..1."""

    at: datetime
    clock_trusted: bool
    paused: bool
    uptime_s: float
    source: str
    frames: FrameFigures
    latencies: Mapping[str, Latency]
    scores_last_hour: tuple[int, ...]
    store: StoreFigures
    cpu_temperature_c: float | None
    throttling: Throttling | None
    versions: Versions
    config_sha256: str
    model: ModelIdentity


@dataclass(frozen=True, slots=True)
class Summary:
    """The figures of a local ``day``.

    Sightings are counted since the same time of the day before, frames since the last summary or the start.
    ``paused``: detection is paused by a command at the moment.
    """

    day: date
    at: datetime
    sightings: int
    frames_seen: int
    frames_classified: int
    uptime_s: float
    outbox_depth: int
    paused: bool

    @property
    def text(self) -> str:
        """The summary as a sentence."""
        count = f"{self.sightings} hornet sighting{'' if self.sightings == 1 else 's'} since yesterday"
        state = "paused by a command" if self.paused else "still watching"
        return f"{state}: {count}, {self.frames_seen} frames seen"


def health_message(health: Health, topics: HiveTopics) -> Message:
    """Return the retained message of the daemon's health."""
    return HEALTH.message(topics, {**header("health", topics), **asdict(health)})


def summary_message(summary: Summary, topics: HiveTopics) -> Message:
    """Return the retained message of the daily summary."""
    document = {**header("summary", topics), **asdict(summary), "text": summary.text}
    return SUMMARY.message(topics, document)
