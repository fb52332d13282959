"""Keeps what the watch finds, and hands it to the thread that tells of it."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from hivewatch.config.sections import Config
from hivewatch.daemon.commands import Inbox
from hivewatch.domain.sightings import ModelIdentity, Sighting
from hivewatch.domain.wire import Alert, Envelope, Message, OutboxEntry
from hivewatch.errors import DiskFullError
from hivewatch.messages.alert import availability, compose, interrupted_end, without_pictures
from hivewatch.messages.contract import COMMAND_LEAVES, envelope
from hivewatch.mqtt.publisher import Publisher
from hivewatch.store import Store
from hivewatch.system.clock import Clock
from hivewatch.system.stopwatch import Stopwatch
from hivewatch.vision.classifier import Classifier

log = logging.getLogger(__name__)

# What is left of the five seconds that a stop may take once the last frame is through.
_FAREWELL_S = 3.0


def log_sighting(sighting: Sighting, _alert: Alert) -> None:
    """Say in the log what was kept."""
    log.info(
        "sighting %s: %s, best score %.2f, %d of %d frames",
        *(sighting.id, sighting.phase, sighting.best.score, sighting.votes_for, sighting.votes),
        extra=_fields(sighting, f"sighting_{sighting.phase}"),
    )


def _fields(sighting: Sighting, code: str) -> dict[str, str]:
    """Return what the journal is to know of a line about ``sighting``."""
    return {"SIGHTING": sighting.id, "CAMERA": sighting.best_frame.source, "CODE": code}


@dataclass(slots=True)
class Recorder:
    """Keep each sighting event and hand its messages to the outbox; without a publisher nothing is queued.

    ``told`` is called after an event is kept: when it is, the event survives a power cut. ``clock`` is what
    frames are dated by, None where that is not this machine's.
    """

    config: Config
    model: ModelIdentity
    store: Store
    publisher: Publisher | None
    stopwatch: Stopwatch
    told: Callable[[Sighting, Alert], None] = log_sighting
    clock: Clock | None = None

    def __call__(self, sighting: Sighting) -> None:
        """Record ``sighting``."""
        config = self.config
        with self.stopwatch("compose"):
            alert = compose(
                *(sighting, config.hive, self.model, config.mqtt.base_topic, config.store.jpeg_quality),
                stamp=None if self.clock is None else self.clock.stamp(),
                own_topic=config.mqtt.sighting_pictures,
            )
        with self.stopwatch("store"):
            alert = self._keep(sighting, alert)
        if self.publisher is not None:
            self.publisher.wake()
        self.told(sighting, alert)

    def end_interrupted(self) -> None:
        """End the sightings that a crash broke off, lest a subscriber believe in a hornet for ever."""
        for sighting in self.store.interrupted():
            if sighting.document is not None:
                end = interrupted_end(sighting.document, self.config.hive, self.config.mqtt.base_topic)
                self.store.end(sighting.id, end, queue=self.publisher is not None)
                log.warning(
                    "sighting %s was broken off by a crash or a power cut: ended",
                    sighting.id,
                    extra={"SIGHTING": sighting.id, "CODE": "sighting_interrupted"},
                )

    def _keep(self, sighting: Sighting, alert: Alert) -> Alert:
        """Return the alert as it was kept: where there is no room for its pictures, without them."""
        queue = self.publisher is not None
        try:
            self.store.record(sighting, alert, queue=queue)
        except DiskFullError as error:
            alert = without_pictures(alert)
            self.store.record(sighting, alert, queue=queue)
            fields = _fields(sighting, "sighting_without_picture")
            log.error("sighting %s is kept without its picture: %s", sighting.id, error, extra=fields)  # noqa: TRY400
        return alert


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
    recorder = Recorder(config, identity, store, publisher, stopwatch)
    recorder.end_interrupted()
    return recorder


@dataclass(frozen=True, slots=True)
class _Held:
    """An outbox that shows nothing while the clock is not trusted: what is dated later must not leave now."""

    store: Store
    clock: Clock

    def pending(self, limit: int) -> list[OutboxEntry]:
        return [] if self.clock.holds else self.store.pending(limit)

    def mark_sent(self, entry_id: int) -> None:
        self.store.mark_sent(entry_id)


def daemon_publisher(config: Config, store: Store, clock: Clock, inbox: Inbox | None) -> Publisher:
    """Return the publisher that stands for the hive: it also says whether the daemon is there.

    What comes as commands it puts into ``inbox``, if there is one.
    """
    topic = config.mqtt.base_topic, config.hive.id
    presence = availability(*topic, online=True), availability(*topic, online=False)
    client_id = config.mqtt.client_id or f"hivewatch-{config.hive.id}"
    publisher = Publisher(config.mqtt, _Held(store, clock), client_id, presence, _envelopes(config))
    if inbox is not None:
        for leaf in COMMAND_LEAVES:
            publisher.listen("/".join((*topic, leaf)), inbox.put)
    return publisher


def guest_publisher(config: Config, store: Store) -> Publisher:
    """Return a publisher that may work beside the hive's daemon without being taken for it."""
    client_id = f"hivewatch-{config.hive.id}-{os.getpid()}"
    return Publisher(config.mqtt, store, client_id, envelope=_envelopes(config))


def _envelopes(config: Config) -> Callable[[Message], Envelope]:
    return partial(envelope, base_topic=config.mqtt.base_topic, hive_id=config.hive.id)
