"""What a service of the daemon needs, with clocks that a test turns and a publisher that only records."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TypeVar, cast

from hivewatch.camera.base import CameraCounts
from hivewatch.camera.supervisor import Supervisor
from hivewatch.config.sections import Config
from hivewatch.daemon.configuration import Configuration
from hivewatch.daemon.frame_counts import FrameCounts
from hivewatch.daemon.loop import Loop, Step
from hivewatch.daemon.recorder import Recorder
from hivewatch.daemon.service import Service
from hivewatch.domain.frames import Prediction, View
from hivewatch.domain.sightings import Phase, Sighting
from hivewatch.domain.status import CameraState, CameraStatus
from hivewatch.domain.wire import Alert, Message
from hivewatch.mqtt.connection import OnMessage
from hivewatch.mqtt.publishing import NoPublisher
from hivewatch.store import Store
from hivewatch.system.stopwatch import Stopwatch
from hivewatch.vision.classifier import Classifier
from support.fakes import MODEL, make_frame, make_prediction, make_sighting
from support.machines import Machine

S = TypeVar("S", bound=Service)

NOON_IN_PARIS = datetime(2027, 5, 14, 10, 0, tzinfo=UTC)
FRAME = make_frame()


class RecordingPublisher(NoPublisher):
    """A publisher that records what it should send."""

    delivers = True
    is_connected = True

    def __init__(self) -> None:
        self.states: list[Message] = []
        self.one_shots: list[Message] = []
        self.subscribed: list[str] = []
        self.wakes = 0

    def wake(self) -> None:
        self.wakes += 1

    def publish_state(self, message: Message) -> None:
        self.states.append(message)

    def publish_once(self, message: Message) -> None:
        self.one_shots.append(message)

    def subscribe(self, topic: str, _on_message: OnMessage) -> None:
        self.subscribed.append(topic)

    def last(self, leaf: str) -> bytes:
        """Return the payload of the latest state on the topic that ends in ``leaf``."""
        return next(m.payload for m in reversed(self.states) if m.topic.endswith(f"/{leaf}"))


class NoHornet:
    """A classifier that scores every frame 0.1."""

    def predict(self, _view: View) -> Prediction:
        return make_prediction(0.1)


class Rig:
    """A store, a loop, a recorder and a configuration, as ``daemon.app`` connects them."""

    def __init__(
        self,
        directory: Path,
        config: Config,
        machine: Machine | None = None,
        classifier: Classifier | None = None,
    ) -> None:
        self.machine = machine or Machine(NOON_IN_PARIS)
        self.clock = self.machine.clock
        self.store = Store(directory)
        self.publisher = RecordingPublisher()
        self.stopwatch = Stopwatch()
        self.services: list[Service] = []
        self.sightings: list[Sighting] = []
        self.configuration = Configuration(directory / "hive.yaml", config, self.store, self._configure)
        self.recorder = Recorder(
            config, MODEL, self.store, self.publisher, self.stopwatch, on_recorded=self._on_sighting
        )
        self.loop = Loop(
            self.configuration.current,
            classifier or cast(Classifier, NoHornet()),
            self.recorder.record,
            Stopwatch(),
        )
        self.counts = self.add(FrameCounts(self.clock.monotonic_s))
        # A supervisor as far as services read it.
        self.supervisor = cast(
            Supervisor,
            SimpleNamespace(
                camera=SimpleNamespace(name="test camera", counts=CameraCounts(dropped=3, bad=1)),
                checks=SimpleNamespace(status=CameraStatus("test camera", CameraState.ONLINE, ()), raised={}),
            ),
        )

    def add(self, service: S) -> S:
        """Let ``service`` run on this rig."""
        self.services.append(service)
        return service

    def set_camera(self, state: CameraState) -> None:
        """Give the camera another status."""
        self.supervisor.checks.status = CameraStatus("test camera", state, ())
        for service in self.services:
            service.on_camera(self.supervisor.checks.status)

    def tick(self) -> None:
        """Let every service do what is due."""
        for service in self.services:
            service.tick(self.machine.monotonic_s)

    def watch(self, seconds: float, score: float | None = 0.2, every_s: float = 1.0) -> None:
        """Let time pass with a frame every ``every_s``; the gate holds back frames without a score."""
        for _ in range(round(seconds / every_s)):
            self.machine.pass_time(every_s)
            step = Step(FRAME, None if score is None else make_prediction(score))
            for service in self.services:
                service.on_frame(step)
            self.tick()

    def record(self, id_: str, phase: Phase = Phase.START, started_at: datetime | None = None) -> None:
        """Record an event of a visit that is happening now."""
        now = self.machine.wall
        self.recorder.record(
            dataclasses.replace(
                make_sighting(id_, phase), started_at=started_at or now, last_seen_at=now, at=now
            )
        )

    def _on_sighting(self, sighting: Sighting, alert: Alert) -> None:
        self.sightings.append(sighting)
        for service in self.services:
            service.on_sighting(sighting, alert)

    def _configure(self, config: Config) -> None:
        self.loop.configure(config)
        self.recorder.configure(config)
        for service in self.services:
            service.configure(config)
