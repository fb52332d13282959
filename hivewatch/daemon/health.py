"""Tells that the daemon watches and how it is: a health document, a summary every day, a line every hour."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta

import numpy as np
from pydantic.main import IncEx

from hivewatch.camera.base import Camera
from hivewatch.config.sections import Config
from hivewatch.daemon.frame_counts import Tally
from hivewatch.daemon.loop import Step
from hivewatch.daemon.recorder import log_sighting
from hivewatch.domain.sightings import ModelIdentity, Sighting
from hivewatch.domain.wire import Alert
from hivewatch.errors import DiskFullError
from hivewatch.messages.reports import (
    FrameFigures,
    Health,
    Latency,
    StoreFigures,
    Summary,
    health_message,
    summary_message,
)
from hivewatch.mqtt.publisher import Publisher
from hivewatch.store import Store
from hivewatch.store.diary import Diary
from hivewatch.system.clock import Clock
from hivewatch.system.sensors import cpu_temperature_c, throttling, versions
from hivewatch.system.stopwatch import Stopwatch
from hivewatch.vision.model_file import TORCH_VERSION

log = logging.getLogger(__name__)

_LOOK_EVERY_S = 1.0
_SAY_EVERY_S = 3600.0
# They may hold passwords, and what is published must not help to guess them.
_SECRET: dict[str, IncEx | bool] = {"camera": {"video": {"source"}}, "mqtt": {"username"}}


@dataclass(slots=True)
class ProofOfLife:
    """Looks at everything once a second at most, on the data path: while that hangs nobody claims to be well.

    ``camera_status`` says in a word how the camera is; what is not ``online``, or ``is_paused``, stands in
    the log every hour.
    """

    config: Config
    model: ModelIdentity
    camera: Camera
    store: Store
    publisher: Publisher | None
    stopwatch: Stopwatch
    clock: Clock
    camera_status: Callable[[], str] = lambda: "online"
    is_paused: Callable[[], bool] = lambda: False
    _tally: Tally = field(init=False)
    _diary: Diary = field(init=False)
    _summarised: tuple[int, int] = (0, 0)
    _began_s: float = field(init=False)
    _look_at_s: float = field(init=False)
    _tell_at_s: float = field(init=False)
    _say_at_s: float = field(init=False)
    _told_of: object = None
    _sightings: int = 0
    _hornet_at: datetime | None = None
    _hornet_as_of: object = None
    status: str = "watching"
    """What the daemon is doing, in one line, as of the last look."""

    def __post_init__(self) -> None:
        """Begin to count; raises StoreError like the store."""
        now_s = self.clock.monotonic_s()
        self._tally = Tally(now_s)
        self._diary = Diary(self.store.directory)
        self._began_s = self._look_at_s = self._tell_at_s = now_s
        self._say_at_s = now_s + _SAY_EVERY_S

    def sighted(self, sighting: Sighting, alert: Alert) -> None:
        """Note that a sighting has begun, changed or ended."""
        log_sighting(sighting, alert)
        self._sightings += 1

    def finished(self, step: Step) -> None:
        """Count a frame, and tell what it is time to tell. Raises StoreError like the store."""
        now_s = self.clock.monotonic_s()
        self._tally.count(None if step.prediction is None else step.prediction.score, now_s)
        if now_s >= self._look_at_s:
            self._look_at_s = now_s + _LOOK_EVERY_S
            self.look()

    def look(self) -> None:
        """Tell what it is time to tell, without a frame."""
        now_s = self.clock.monotonic_s()
        connections = self.publisher.connections if self.publisher is not None else 0
        state = (
            *(self.camera_status(), self.is_paused(), connections),
            *(self._sightings, self.clock.trusted),
        )
        if now_s >= self._tell_at_s or state != self._told_of:
            self._tell_at_s = now_s + self.config.health.interval_s
            self._told_of = state
            self._tell()
        self.status = self._status(now_s)
        if self._summary_is_due():
            self._summarise()
        if now_s >= self._say_at_s:
            self._say_at_s = now_s + _SAY_EVERY_S
            self._say()

    def _status(self, now_s: float) -> str:
        camera = self.camera_status()
        doing = "paused" if self.is_paused() else "watching" if camera == "online" else f"camera {camera}"
        rate = f"{self._tally.rate_hz(now_s):.1f} fps"
        return f"{doing}, {rate}, {self._last_hornet()}, outbox {self.store.outbox_depth()}"

    def _last_hornet(self) -> str:
        # The store reads all its records to answer, so it is asked only when the answer may have changed.
        version = (self._sightings, self.clock.trusted)
        if version != self._hornet_as_of:
            self._hornet_as_of, self._hornet_at = version, self.store.newest()
        if self._hornet_at is None:
            return "no hornet yet"
        local, now = self._hornet_at.astimezone(), self.clock.now().astimezone()
        return f"last hornet {local:%H:%M}" if local.date() == now.date() else f"last hornet {local:%Y-%m-%d}"

    def health(self) -> Health:
        """Return how the daemon is now."""
        now_s = self.clock.monotonic_s()
        return Health(
            at=self.clock.now(),
            clock_trusted=self.clock.trusted,
            paused=self.is_paused(),
            uptime_s=round(now_s - self._began_s, 1),
            source=self.camera.name,
            frames=self._frames(now_s),
            latencies=_latencies(self.stopwatch),
            scores_last_hour=self._tally.scores(now_s),
            store=self._store(),
            cpu_temperature_c=cpu_temperature_c(),
            throttling=throttling(),
            versions=versions(TORCH_VERSION),
            config_sha256=_sha256_of(self.config),
            model=self.model,
        )

    def _frames(self, now_s: float) -> FrameFigures:
        tally, counts = self._tally, self.camera.counts
        share = tally.classified_share(now_s)
        return FrameFigures(
            seen=tally.seen,
            classified=tally.classified,
            held_back=tally.seen - tally.classified,
            dropped=counts.dropped,
            bad=counts.bad,
            rate_hz=round(tally.rate_hz(now_s), 2),
            classified_share=None if share is None else round(share, 4),
            last_age_s=None if tally.last_at_s is None else round(now_s - tally.last_at_s, 1),
        )

    def _store(self) -> StoreFigures:
        status = self.store.status()
        oldest = status.oldest_unsent_at
        return StoreFigures(
            sightings_today=self._sightings_today(),
            outbox_depth=status.unsent_messages,
            outbox_oldest_age_s=None if oldest is None else (self.clock.now() - oldest).total_seconds(),
            disk_free_bytes=status.free_bytes,
            store_bytes=status.used_bytes,
            pictures_lost=status.pictures_lost,
        )

    def _sightings_today(self) -> int:
        return self._count_since(self.clock.now().astimezone().date(), time())

    def _count_since(self, day: date, local: time) -> int:
        # Of a time without zone astimezone() looks up what the local offset was then: it need not be today's.
        return self.store.count_since(datetime.combine(day, local).astimezone())

    def _summary_at(self) -> time:
        return time.fromisoformat(self.config.health.summary_at)

    def _tell(self) -> None:
        if self.publisher is not None:
            message = health_message(self.health(), self.config.hive, self.config.mqtt.base_topic)
            self.publisher.state(message)

    def _summary_is_due(self) -> bool:
        """Tell whether the hour has come on a day not summed up yet: right on days of 23 and 25 hours too."""
        if self.publisher is None or self.clock.holds:
            return False
        local = self.clock.now().astimezone()
        return local.time() >= self._summary_at() and local.date() != self._diary.last_day

    def _summarise(self) -> None:
        seen, classified = self._summarised
        today = self.clock.now().astimezone().date()
        summary = Summary(
            day=today,
            at=self.clock.now(),
            sightings=self._count_since(today - timedelta(days=1), self._summary_at()),
            frames_seen=self._tally.seen - seen,
            frames_classified=self._tally.classified - classified,
            uptime_s=round(self.clock.monotonic_s() - self._began_s, 1),
            outbox_depth=self.store.outbox_depth(),
            paused=self.is_paused(),
        )
        # In this order a power cut in between sends it twice, which harms nobody.
        try:
            self.store.queue(summary_message(summary, self.config.hive, self.config.mqtt.base_topic))
            self._diary.note(today)
        except DiskFullError as error:
            # No reason to stop watching: when something is to be recorded it shows what can still be kept.
            self._diary.last_day = today
            log.error("the summary of the day is lost or may come twice: %s", error)  # noqa: TRY400
        self._summarised = self._tally.seen, self._tally.classified
        log.info("%s", summary.text, extra={"CODE": "summary"})

    def _say(self) -> None:
        """Log a line: at an hour when all is well too, so that a log that ends means something."""
        troubles = []
        if (status := self.camera_status()) != "online":
            troubles.append(f"the camera is {status}")
        if self.is_paused():
            troubles.append("paused by a command")
        if self.publisher is not None and not self.publisher.is_connected:
            troubles.append(f"no broker, {self.store.outbox_depth()} messages wait")
        if not self.clock.trusted:
            troubles.append("the clock is not trusted")
        level, words = (logging.WARNING, ", ".join(troubles)) if troubles else (logging.INFO, "all well")
        figures = self._tally.seen, self._tally.classified, self._sightings_today()
        fields = {"CAMERA": self.camera.name, "CODE": "trouble" if troubles else "all_well"}
        log.log(level, "%s; %d frames seen, %d classified, %d sightings today", words, *figures, extra=fields)


def _latencies(stopwatch: Stopwatch) -> Mapping[str, Latency]:
    figures = {}
    for stage, durations_s in stopwatch.durations_s.items():
        p50_s, p95_s = np.percentile(durations_s, [50, 95])
        figures[stage] = Latency(round(float(p50_s) * 1000, 2), round(float(p95_s) * 1000, 2))
    return figures


def _sha256_of(config: Config) -> str:
    return hashlib.sha256(config.model_dump_json(exclude=_SECRET).encode()).hexdigest()
