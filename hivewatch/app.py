"""The composition root: makes the daemon's objects of a configuration, starts, reloads and stops them."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hivewatch import systemd
from hivewatch.alert import availability, compose
from hivewatch.camera import Camera, open_camera
from hivewatch.classifier import Classifier, load_classifier
from hivewatch.config import Config
from hivewatch.config_reader import load
from hivewatch.decision import Decider
from hivewatch.domain import Alert, ModelIdentity, Sighting
from hivewatch.errors import ConfigError
from hivewatch.motion import MotionGate
from hivewatch.publisher import Publisher
from hivewatch.region import Region
from hivewatch.store import Store
from hivewatch.timing import Stopwatch
from hivewatch.watch import Step, Watch

log = logging.getLogger(__name__)

# What is left of the five seconds that a stop may take once the last frame is through.
_FAREWELL_S = 3.0
# These are taken over without losing a frame; of the others a reload says that they wait for the next start.
_RELOADABLE = {"gate", "decision", "store.jpeg_quality", "log"}


def _log_sighting(sighting: Sighting, _alert: Alert) -> None:
    log.info(
        "sighting %s: %s, best score %.2f, %d of %d frames",
        *(sighting.id, sighting.phase, sighting.best.score, sighting.votes_for, sighting.votes),
    )


@dataclass(slots=True)
class Recorder:
    """Keep each sighting event and hand its messages to the outbox; without a publisher nothing is queued.

    ``told`` is called after an event is kept: when it is, the event survives a power cut.
    """

    config: Config
    model: ModelIdentity
    store: Store
    publisher: Publisher | None
    stopwatch: Stopwatch
    told: Callable[[Sighting, Alert], None] = _log_sighting

    def __call__(self, sighting: Sighting) -> None:
        """Record ``sighting``."""
        config = self.config
        with self.stopwatch("compose"):
            alert = compose(
                sighting, config.hive, self.model, config.mqtt.base_topic, config.store.jpeg_quality
            )
        with self.stopwatch("store"):
            self.store.record(sighting, alert, queue=self.publisher is not None)
        if self.publisher is not None:
            self.publisher.wake()
        self.told(sighting, alert)


def open_recorder(
    config: Config,
    classifier: Classifier,
    stopwatch: Stopwatch,
    opened: contextlib.ExitStack,
    make_publisher: Callable[[Config, Store], Publisher] | None,
) -> Recorder:
    """Open the store and start the publisher, if any; ``opened`` gets what must be closed again."""
    store = opened.enter_context(Store(config.store.directory))
    publisher = None
    if make_publisher is not None:
        publisher = make_publisher(config, store)
        publisher.start()
        opened.callback(publisher.stop, _FAREWELL_S)
    model = classifier.model
    identity = ModelIdentity(model.name, model.version, model.sha256)
    return Recorder(config, identity, store, publisher, stopwatch)


def daemon_publisher(config: Config, store: Store) -> Publisher:
    """Return the publisher that stands for the hive: it also says whether the daemon is there."""
    topic = config.mqtt.base_topic, config.hive.id
    presence = availability(*topic, online=True), availability(*topic, online=False)
    return Publisher(config.mqtt, store, config.mqtt.client_id or f"hivewatch-{config.hive.id}", presence)


def guest_publisher(config: Config, store: Store) -> Publisher:
    """Return a publisher that may work beside the hive's daemon without being taken for it."""
    return Publisher(config.mqtt, store, f"hivewatch-{config.hive.id}-{os.getpid()}")


def make_watch(config: Config, classifier: Classifier, recorder: Recorder) -> Watch:
    """Return the loop for one source of frames."""
    return Watch(
        Region(config.gate),
        MotionGate(config.gate.motion),
        classifier,
        Decider(config.decision),
        recorder,
        recorder.stopwatch,
    )


def make_classifier(config: Config, stopwatch: Stopwatch) -> Classifier:
    """Load the configured model and run it until it is warm."""
    classifier = load_classifier(config.classifier.model, config.classifier.threads, stopwatch)
    classifier.warm_up(config.camera.width_px, config.camera.height_px)
    return classifier


def run(path: Path) -> None:
    """Run the daemon with the configuration at ``path`` until SIGTERM or SIGINT.

    SIGHUP reads the file again. Raises a HivewatchError for whatever makes watching impossible.
    """
    stop, hang_up = threading.Event(), threading.Event()
    with contextlib.ExitStack() as started:
        started.enter_context(_signals({signal.SIGTERM: stop, signal.SIGINT: stop, signal.SIGHUP: hang_up}))
        daemon = _Daemon.start(path, started)
        systemd.ready(daemon.status)
        try:
            daemon.watch_until(stop, hang_up)
        finally:
            systemd.stopping()


@dataclass(slots=True)
class _Daemon:
    path: Path
    config: Config
    camera: Camera
    recorder: Recorder
    watch: Watch
    frames: int = 0

    @classmethod
    def start(cls, path: Path, started: contextlib.ExitStack) -> _Daemon:
        """Make everything; what must be stopped again is put on ``started``."""
        config = load(path)
        set_log_level(config)
        stopwatch = Stopwatch()
        classifier = make_classifier(config, stopwatch)
        recorder = open_recorder(
            config, classifier, stopwatch, started, daemon_publisher if config.mqtt.enabled else None
        )
        camera = open_camera(config.camera)
        log.info("watching %s with model %s %s", camera.name, classifier.model.name, classifier.model.version)
        return cls(path, config, camera, recorder, make_watch(config, classifier, recorder))

    def watch_until(self, stop: threading.Event, hang_up: threading.Event) -> None:
        """Work until ``stop`` is set or a film or folder ends; raises CameraError when the camera fails."""
        for step in self.watch.steps(self.camera.frames(stop)):
            self._finished(step)
            if hang_up.is_set():
                hang_up.clear()
                self._reload()
        if not stop.is_set():
            log.info("%s is at its end", self.camera.name)

    def _finished(self, step: Step) -> None:
        self.frames = step.frame.sequence + 1
        if self.recorder.publisher is not None:
            self.recorder.publisher.check()
        systemd.alive(self.status)

    @property
    def status(self) -> str:
        """What the daemon is doing, in one line."""
        return f"watching {self.camera.name}, {self.frames} frames"

    def _reload(self) -> None:
        systemd.reloading()
        try:
            config = load(self.path)
        except ConfigError as error:
            for problem in error.problems:
                log.error("not reloaded, the old configuration stays in force: %s", problem)  # noqa: TRY400
        else:
            self._take_over(config)
        systemd.ready(self.status)

    def _take_over(self, config: Config) -> None:
        changed = set(_changes(self.config.model_dump(), config.model_dump()))
        waiting = sorted(name for name in changed if not _reloads(name))
        self.watch.region = Region(config.gate)
        self.watch.gate.configure(config.gate.motion)
        self.watch.decider.configure(config.decision)
        store = self.config.store.model_copy(update={"jpeg_quality": config.store.jpeg_quality})
        update = {"gate": config.gate, "decision": config.decision, "log": config.log, "store": store}
        self.config = self.recorder.config = self.config.model_copy(update=update)
        set_log_level(config)
        log.info(
            "reloaded %s; changed: %s", self.path, ", ".join(sorted(changed - set(waiting))) or "nothing"
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


@contextlib.contextmanager
def _signals(events: dict[signal.Signals, threading.Event]) -> Iterator[None]:
    """Let each signal set its event, and put the old handlers back afterwards."""
    old = {
        number: signal.signal(number, lambda *_, event=event: event.set()) for number, event in events.items()
    }
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
