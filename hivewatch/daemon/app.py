"""The composition root: builds the daemon from a configuration, runs it, and stops it."""

from __future__ import annotations

import contextlib
import logging
from functools import partial
from pathlib import Path

from hivewatch.camera.supervisor import Supervisor
from hivewatch.config.reader import load
from hivewatch.config.sections import Config
from hivewatch.daemon.camera_status import CameraStatusService
from hivewatch.daemon.commands import Inbox
from hivewatch.daemon.configuration import Configuration
from hivewatch.daemon.control import ControlService
from hivewatch.daemon.discovery import DiscoveryService
from hivewatch.daemon.frame_counts import FrameCounts
from hivewatch.daemon.health import HealthService
from hivewatch.daemon.loop import Loop, Step
from hivewatch.daemon.maintenance import MaintenanceService
from hivewatch.daemon.pressure import PressureService
from hivewatch.daemon.recorder import daemon_publisher, open_recorder
from hivewatch.daemon.service import Service
from hivewatch.daemon.status import StatusService
from hivewatch.daemon.summary import SummaryService
from hivewatch.daemon.timekeeping import TimekeepingService
from hivewatch.domain.sightings import Sighting
from hivewatch.domain.status import CameraStatus
from hivewatch.domain.wire import Alert
from hivewatch.system import systemd
from hivewatch.system.clock import Clock
from hivewatch.system.signals import Signals
from hivewatch.system.stopwatch import Stopwatch
from hivewatch.vision.classifier import Classifier, load_configured

log = logging.getLogger(__name__)


def make_classifier(config: Config, stopwatch: Stopwatch) -> Classifier:
    """Load the configured model and warm it up; raises ModelError."""
    classifier = load_configured(config.classifier, stopwatch)
    classifier.warm_up(config.camera.width_px, config.camera.height_px)
    return classifier


def set_log_level(config: Config) -> None:
    """Log at ``log.level`` and above."""
    logging.getLogger("hivewatch").setLevel(config.log.level.upper())


def run(path: Path, signals: Signals) -> None:
    """Run the daemon with the configuration at ``path`` until a signal stops it or its source ends.

    Raises a HivewatchError for whatever makes watching impossible.
    """
    with contextlib.ExitStack() as opened:
        daemon = Daemon(path, opened)
        systemd.ready(daemon.status.line)
        try:
            daemon.run(signals)
        finally:
            systemd.stopping()


class Daemon:
    """The loop, and the services that run on it."""

    def __init__(self, path: Path, opened: contextlib.ExitStack) -> None:
        """Build everything; ``opened`` receives what must be closed. Raises a HivewatchError."""
        config = load(path)
        set_log_level(config)
        stopwatch = Stopwatch()
        classifier = make_classifier(config, stopwatch)
        self._clock = clock = Clock(config.clock)
        inbox = Inbox() if config.mqtt.enabled and config.mqtt.commands else None
        self._supervisor = supervisor = Supervisor(config.camera)
        live = supervisor.camera.is_live
        recorder = open_recorder(
            *(config, classifier, stopwatch, opened),
            partial(daemon_publisher, clock=clock, inbox=inbox) if config.mqtt.enabled else None,
            clock=clock if live else None,
            on_recorded=self._on_sighting,
        )
        self._recorder = recorder
        self._publisher = recorder.publisher
        clock.start(recorder.store.latest_seen_at())
        self._configuration = configuration = Configuration(path, config, recorder.store, self._configure)
        config = configuration.current
        self._loop = loop = Loop(config, classifier, recorder.record, stopwatch, live=live)
        counts = FrameCounts(clock.monotonic_s)
        self.status = StatusService(config, supervisor, loop, recorder, clock, counts)
        self._services: tuple[Service, ...] = (
            counts,
            CameraStatusService(config, supervisor, loop, recorder, clock),
            ControlService(configuration, loop, recorder, clock, inbox, live=live),
            HealthService(configuration, supervisor, loop, recorder, clock, counts),
            SummaryService(config, loop, recorder, clock, counts),
            PressureService(config, recorder, clock),
            DiscoveryService(config, recorder),
            MaintenanceService(config, recorder, clock),
            self.status,
            # Last, because it releases held messages: the states published by the others come first.
            TimekeepingService(recorder, clock),
        )
        for service in self._services:
            opened.callback(service.close)
        log.info(
            "watching %s with model %s %s",
            *(supervisor.camera.name, classifier.model.name, classifier.model.version),
            extra={"CAMERA": supervisor.camera.name, "CODE": "watching"},
        )

    def run(self, signals: Signals) -> None:
        """Work until a signal stops it or a video or folder ends; raises CameraError if the camera fails."""
        frames = self._supervisor.frames(signals.stop, on_status=self._on_camera, on_outage=self._tick)
        for step in self._loop.run(frames):
            self._on_frame(step)
            self._tick()
            if signals.reload.is_set():
                signals.reload.clear()
                self._reload()
        if not signals.stop.is_set():
            log.info("%s has ended", self._supervisor.camera.name)

    def _tick(self) -> None:
        """Let every service do what is due, then feed the watchdog: a stage that hangs misses the beat."""
        self._publisher.check()
        if self._clock.tick():
            for service in self._services:
                service.on_clock_trusted()
        now_s = self._clock.monotonic_s()
        for service in self._services:
            service.tick(now_s)
        if not self._publisher.is_stuck:
            systemd.feed_watchdog(self.status.line)

    def _on_frame(self, step: Step) -> None:
        for service in self._services:
            service.on_frame(step)

    def _on_sighting(self, sighting: Sighting, alert: Alert) -> None:
        for service in self._services:
            service.on_sighting(sighting, alert)

    def _on_camera(self, status: CameraStatus) -> None:
        for service in self._services:
            service.on_camera(status)

    def _configure(self, config: Config) -> None:
        set_log_level(config)
        self._loop.configure(config)
        self._recorder.configure(config)
        for service in self._services:
            service.configure(config)

    def _reload(self) -> None:
        systemd.reloading()
        self._configuration.reload()
        systemd.ready(self.status.line)
