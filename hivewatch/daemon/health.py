"""Publishes the health document: at an interval, and at every change that a person should see at once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
from pydantic.main import IncEx

from hivewatch.camera.supervisor import Supervisor
from hivewatch.config.base import Mark, options
from hivewatch.config.sections import Config
from hivewatch.daemon.configuration import Configuration
from hivewatch.daemon.days import count_since_midnight
from hivewatch.daemon.frame_counts import FrameCounts
from hivewatch.daemon.loop import Loop
from hivewatch.daemon.recorder import Recorder
from hivewatch.daemon.service import Service, Timer
from hivewatch.domain.sightings import Sighting
from hivewatch.domain.wire import Alert
from hivewatch.messages.reports import FrameFigures, Health, Latency, StoreFigures, health_message
from hivewatch.messages.topics import HiveTopics
from hivewatch.system.clock import Clock
from hivewatch.system.sensors import cpu_temperature_c, throttling, versions
from hivewatch.system.stopwatch import Stopwatch
from hivewatch.vision.model_file import TORCH_VERSION

_CHECK_EVERY_S = 1.0


class HealthService(Service):
    """Collects the state of the daemon on the data path: while that hangs, no health is published."""

    def __init__(
        self,
        configuration: Configuration,
        supervisor: Supervisor,
        loop: Loop,
        recorder: Recorder,
        clock: Clock,
        counts: FrameCounts,
    ) -> None:
        """Publish nothing yet."""
        self._configuration = configuration
        self._topics = HiveTopics.of(configuration.current)
        self._supervisor = supervisor
        self._loop = loop
        self._recorder = recorder
        self._store = recorder.store
        self._publisher = recorder.publisher
        self._clock = clock
        self._counts = counts
        self._started_s = clock.monotonic_s()
        self._check = Timer(_CHECK_EVERY_S)
        self._interval = Timer(configuration.current.health.interval_s)
        self._sightings = 0
        self._published_state: object = None

    def configure(self, config: Config) -> None:
        """Use the interval of ``config`` from the next document on."""
        self._interval.every_s = config.health.interval_s

    def on_sighting(self, _sighting: Sighting, _alert: Alert) -> None:
        """Publish the new count at the next tick."""
        self._sightings += 1

    def tick(self, now_s: float) -> None:
        """Publish the document if it is due or has changed; raises StoreError like the store."""
        if not self._publisher.delivers or not self._check.is_due(now_s):
            return
        state = self._state()
        if state != self._published_state or self._interval.is_due(now_s):
            self._interval.restart(now_s)
            self._published_state = state
            self._publisher.publish_state(health_message(self._health(now_s), self._topics))

    def _state(self) -> object:
        """Return what makes a new document due at once when it changes."""
        camera = self._supervisor.checks.status.state
        return (
            *(camera, self._loop.paused, self._publisher.connections),
            *(self._sightings, self._clock.trusted),
        )

    def _health(self, now_s: float) -> Health:
        return Health(
            at=self._clock.now(),
            clock_trusted=self._clock.trusted,
            paused=self._loop.paused,
            uptime_s=round(now_s - self._started_s, 1),
            source=self._supervisor.camera.name,
            frames=self._frames(now_s),
            latencies=_latencies(self._recorder.stopwatch),
            scores_last_hour=self._counts.scores(now_s),
            store=self._store_figures(),
            cpu_temperature_c=cpu_temperature_c(),
            throttling=throttling(),
            versions=versions(TORCH_VERSION),
            config_sha256=config_sha256(self._configuration.file),
            model=self._recorder.model,
        )

    def _frames(self, now_s: float) -> FrameFigures:
        counts, camera = self._counts, self._supervisor.camera.counts
        share = counts.classified_share(now_s)
        return FrameFigures(
            seen=counts.seen,
            classified=counts.classified,
            held_back=counts.seen - counts.classified,
            dropped=camera.dropped,
            bad=camera.bad,
            rate_hz=round(counts.rate_hz(now_s), 2),
            classified_share=None if share is None else round(share, 4),
            last_age_s=None if counts.last_at_s is None else round(now_s - counts.last_at_s, 1),
        )

    def _store_figures(self) -> StoreFigures:
        status, now = self._store.status(), self._clock.now()
        oldest = status.oldest_unsent_at
        return StoreFigures(
            sightings_today=count_since_midnight(self._store, now, self._configuration.file.hive.zone),
            outbox_depth=status.unsent_messages,
            outbox_oldest_age_s=None if oldest is None else (now - oldest).total_seconds(),
            disk_free_bytes=status.free_bytes,
            store_bytes=status.used_bytes,
            pictures_lost=status.pictures_lost,
        )


def config_sha256(config: Config) -> str:
    """Return a hash that changes with the configuration, leaving out what may contain a password.

    A published hash must not help to guess one.
    """
    secret: IncEx = {}
    for option in options(Config):
        if Mark.SECRET in option.marks:
            _exclude(secret, option.key)
    return hashlib.sha256(config.model_dump_json(exclude=secret).encode()).hexdigest()


def _exclude(tree: IncEx, key: tuple[str, ...]) -> None:
    """Add ``key`` to a tree of names as pydantic's ``exclude`` takes it."""
    for name in key[:-1]:
        tree = tree.setdefault(name, {})  # type: ignore[union-attr]
    tree[key[-1]] = True  # type: ignore[index]


def _latencies(stopwatch: Stopwatch) -> Mapping[str, Latency]:
    figures = {}
    for stage, durations_s in stopwatch.durations_s.items():
        p50_s, p95_s = np.percentile(durations_s, [50, 95])
        figures[stage] = Latency(round(float(p50_s) * 1000, 2), round(float(p95_s) * 1000, 2))
    return figures
