"""The composition root: makes the daemon's objects of a configuration, starts, reloads and stops them."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

from hivewatch.camera.supervisor import Supervisor
from hivewatch.config.reader import load
from hivewatch.config.sections import Config
from hivewatch.daemon.commands import Inbox
from hivewatch.daemon.control import Control
from hivewatch.daemon.discovery import Announcer
from hivewatch.daemon.health import ProofOfLife
from hivewatch.daemon.loop import Step, Watch
from hivewatch.daemon.maintenance import Upkeep
from hivewatch.daemon.pressure import Predation
from hivewatch.daemon.recorder import Recorder, daemon_publisher, open_recorder
from hivewatch.domain.frames import Frame
from hivewatch.domain.sightings import Sighting
from hivewatch.domain.status import CameraState, CameraStatus
from hivewatch.domain.wire import Alert
from hivewatch.errors import ConfigError
from hivewatch.messages.alert import redated
from hivewatch.messages.camera_status import camera_message
from hivewatch.system import systemd
from hivewatch.system.clock import Clock
from hivewatch.system.signals import Wishes
from hivewatch.system.stopwatch import Stopwatch
from hivewatch.vision.classifier import Classifier, load_classifier
from hivewatch.vision.decision import Decider
from hivewatch.vision.motion import MotionGate
from hivewatch.vision.region import Region

log = logging.getLogger(__name__)

# These are taken over without losing a frame; of the others a reload says that they wait for the next start.
_RELOADABLE = {"gate", "decision", "store.jpeg_quality", "pressure", "homeassistant", "health", "log"}


def make_watch(config: Config, classifier: Classifier, recorder: Recorder, *, live: bool = False) -> Watch:
    """Return the loop for one source of frames; those of a ``live`` one are dated by this machine's clock."""
    return Watch(
        Region(config.gate),
        MotionGate(config.gate.motion),
        classifier,
        Decider(config.decision, live=live),
        recorder,
        recorder.stopwatch,
    )


def make_classifier(config: Config, stopwatch: Stopwatch) -> Classifier:
    """Load the configured model and run it until it is warm."""
    chosen = config.classifier
    classifier = load_classifier(chosen.model, chosen.threads, stopwatch, chosen.precision)
    classifier.warm_up(config.camera.width_px, config.camera.height_px)
    return classifier


def run(path: Path, wishes: Wishes) -> None:
    """Run the daemon with the configuration at ``path`` until ``wishes`` say stop.

    At a hang-up it reads the file again. Raises a HivewatchError for whatever makes watching impossible.
    """
    with contextlib.ExitStack() as started:
        daemon = _Daemon.start(path, started)
        systemd.ready(daemon.proof.status)
        try:
            daemon.watch_until(wishes)
        finally:
            systemd.stopping()


@dataclass(slots=True)
class _Daemon:
    path: Path
    config: Config
    supervisor: Supervisor
    recorder: Recorder
    watch: Watch
    clock: Clock
    proof: ProofOfLife
    predation: Predation
    control: Control
    announcer: Announcer
    upkeep: Upkeep
    camera_since_s: float = 0.0

    @classmethod
    def start(cls, path: Path, started: contextlib.ExitStack) -> _Daemon:
        """Make everything; what must be stopped again is put on ``started``."""
        config = load(path)
        set_log_level(config)
        stopwatch = Stopwatch()
        classifier = make_classifier(config, stopwatch)
        clock = Clock(config.clock)
        inbox = Inbox() if config.mqtt.enabled and config.mqtt.commands else None
        publisher = partial(daemon_publisher, clock=clock, inbox=inbox) if config.mqtt.enabled else None
        recorder = open_recorder(config, classifier, stopwatch, started, publisher)
        clock.begin(recorder.store.newest())
        supervisor = Supervisor(config.camera)
        camera, live = supervisor.camera, supervisor.camera.is_live
        watch = make_watch(config, classifier, recorder, live=live)
        proof = ProofOfLife(
            config, recorder.model, camera, recorder.store, recorder.publisher, stopwatch, clock
        )
        proof.camera_status = lambda: supervisor.checks.status.state
        proof.is_paused = lambda: watch.paused
        predation = Predation(config, recorder.store, recorder.publisher, clock)
        control = Control(config, watch, recorder, clock, inbox)
        announcer = Announcer(config, recorder.store, recorder.publisher)
        recorder.clock = clock if live else None
        log.info(
            "watching %s with model %s %s",
            *(camera.name, classifier.model.name, classifier.model.version),
            extra={"CAMERA": camera.name, "CODE": "watching"},
        )
        upkeep = Upkeep(config, recorder.store, clock.now_for_ages, clock.monotonic_s)
        daemon = cls(
            *(path, config, supervisor, recorder, watch, clock, proof, predation, control),
            *(announcer, upkeep),
        )
        recorder.told = daemon.tell_sighting
        supervisor.tell, supervisor.in_outage = daemon.tell_camera, daemon.wait_for_camera
        if clock.trusted:
            daemon.redate()
        return daemon

    def watch_until(self, wishes: Wishes) -> None:
        """Work until told to stop or a film or folder ends; raises CameraError when the camera fails."""
        for step in self.watch.steps(self.supervisor.frames(wishes.stop)):
            self._finished(step)
            if wishes.hang_up.is_set():
                wishes.hang_up.clear()
                self._reload()
        if not wishes.stop.is_set():
            log.info("%s is at its end", self.supervisor.camera.name)

    def tell_sighting(self, sighting: Sighting, alert: Alert) -> None:
        """Let everybody know what was recorded."""
        self.proof.sighted(sighting, alert)
        self.predation.sighted(sighting)

    def tell_camera(self, status: CameraStatus) -> None:
        """Publish the status. What goes on before an offline camera nobody knows, so a visit ends."""
        if status.state is CameraState.OFFLINE:
            self.watch.finish()
        self.camera_since_s = self.clock.monotonic_s()
        self._publish_camera()

    def _publish_camera(self) -> None:
        if self.recorder.publisher is None:
            return
        age = timedelta(seconds=self.clock.monotonic_s() - self.camera_since_s)
        since = self.clock.now() - age if self.clock.trusted else None
        checks, mqtt = self.supervisor.checks, self.config.mqtt
        message = camera_message(checks.status, checks.raised, since, self.config.hive, mqtt.base_topic)
        self.recorder.publisher.state(message)

    def wait_for_camera(self) -> None:
        """Do what else finished frames cause to be done."""
        self.proof.look()
        self._keep_going(None)

    def _finished(self, step: Step) -> None:
        self.proof.finished(step)
        self._keep_going(step.frame)

    def _keep_going(self, frame: Frame | None) -> None:
        if self.recorder.publisher is not None:
            self.recorder.publisher.check()
        if self.clock.look():
            self.redate()
            self._publish_camera()
            self.control.tell()
        self.control.look(frame)
        self.predation.look()
        if self.upkeep() and self.recorder.publisher is not None:
            self.recorder.publisher.wake()
        if self.recorder.publisher is None or not self.recorder.publisher.hangs:
            systemd.alive(self.proof.status)

    def redate(self) -> None:
        """Put right the times of what was recorded before the clock could be trusted, and let it be sent."""
        count = self.recorder.store.redate(partial(redated, date=self.clock.date))
        if count:
            log.info("dated %d sightings anew that were seen before the clock was set", count)
        self.clock.release()
        if self.recorder.publisher is not None:
            self.recorder.publisher.wake()

    def _reload(self) -> None:
        systemd.reloading()
        try:
            config = load(self.path)
        except ConfigError as error:
            for problem in error.problems:
                words = "not reloaded, the old configuration stays in force: %s"
                log.error(words, problem, extra={"CODE": "reload_refused"})  # noqa: TRY400
        else:
            self._take_over(config)
        systemd.ready(self.proof.status)

    def _take_over(self, config: Config) -> None:
        changed = set(_changes(self.config.model_dump(), config.model_dump()))
        waiting = sorted(name for name in changed if not _reloads(name))
        self.watch.region = Region(config.gate)
        self.watch.gate.configure(config.gate.motion)
        store = self.config.store.model_copy(update={"jpeg_quality": config.store.jpeg_quality})
        parts = ("gate", "decision", "pressure", "homeassistant", "health", "log")
        update = {part: getattr(config, part) for part in parts} | {"store": store}
        self.config = self.config.model_copy(update=update)
        self.recorder.config = self.proof.config = self.predation.config = self.config
        self.control.configure(self.config)
        self.announcer.configure(self.config)
        set_log_level(config)
        log.info(
            "reloaded %s; changed: %s",
            *(self.path, ", ".join(sorted(changed - set(waiting))) or "nothing"),
            extra={"CODE": "reloaded"},
        )
        if waiting:
            log.warning("takes effect at the next start only: %s", ", ".join(waiting))


def set_log_level(config: Config) -> None:
    """Let through what ``log.level`` asks for."""
    logging.getLogger("hivewatch").setLevel(config.log.level.upper())


def _reloads(name: str) -> bool:
    return any(name == known or name.startswith(f"{known}.") for known in _RELOADABLE)


def _changes(old: dict[str, object], new: dict[str, object], prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of the options whose values differ."""
    for name, value in old.items():
        other = new[name]
        if isinstance(value, dict) and isinstance(other, dict):
            yield from _changes(value, other, f"{prefix}{name}.")
        elif value != other:
            yield prefix + name
