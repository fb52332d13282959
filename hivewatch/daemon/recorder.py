"""Records sightings: composes the alert, stores it, and wakes the publisher."""

from __future__ import annotations

import contextlib
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from hivewatch.config.sections import Config
from hivewatch.daemon.commands import Inbox
from hivewatch.domain.sightings import ModelIdentity, Sighting
from hivewatch.domain.wire import Alert, Envelope, Message, OutboxEntry
from hivewatch.errors import DiskFullError
from hivewatch.messages.alert import compose, interrupted_end, without_pictures
from hivewatch.messages.contract import COMMAND_LEAVES, envelope
from hivewatch.messages.states import availability_message
from hivewatch.messages.topics import HiveTopics, hive_key
from hivewatch.mqtt.publisher import Publisher
from hivewatch.mqtt.publishing import NoPublisher, Publishing
from hivewatch.store import MADE_BY, Store
from hivewatch.system.clock import Clock
from hivewatch.system.stopwatch import Stopwatch
from hivewatch.vision.classifier import Classifier

log = logging.getLogger(__name__)

# What remains of the five seconds that a stop may take, once the last frame is processed.
_LAST_DELIVERY_S = 3.0

OnRecorded = Callable[[Sighting, Alert], None]
MakePublisher = Callable[[Config, Store], Publishing]


def log_sighting(sighting: Sighting, _alert: Alert) -> None:
    """Log a recorded sighting event."""
    log.info(
        "sighting %s: %s, best score %.2f, %d of %d frames",
        *(sighting.id, sighting.phase, sighting.best.score, sighting.votes_for, sighting.votes),
        extra=_fields(sighting, f"sighting_{sighting.phase}"),
    )


def _fields(sighting: Sighting, code: str) -> dict[str, str]:
    """Return the journal's fields for a line about ``sighting``."""
    return {"SIGHTING": sighting.id, "CAMERA": sighting.best_frame.source, "CODE": code}


class Recorder:
    """Stores every sighting event, and queues its messages if there is a publisher to deliver them."""

    def __init__(
        self,
        config: Config,
        model: ModelIdentity,
        store: Store,
        publisher: Publishing,
        stopwatch: Stopwatch,
        *,
        clock: Clock | None = None,
        on_recorded: OnRecorded = log_sighting,
    ) -> None:
        """``clock`` dates the frames of a live source; None if the frames carry the times of a file.

        ``on_recorded`` is called once an event is stored: it survives a power cut from then on.
        """
        self.model = model
        self.store = store
        self.publisher = publisher
        self.stopwatch = stopwatch
        self._config = config
        self._topics = HiveTopics.of(config)
        self._clock = clock
        self._on_recorded = on_recorded

    def configure(self, config: Config) -> None:
        """Use ``config`` for the next events."""
        self._config = config

    def record(self, sighting: Sighting) -> None:
        """Record a sighting event; raises StoreError if it cannot be stored."""
        config = self._config
        with self.stopwatch("compose"):
            alert = compose(
                *(sighting, self._topics, self.model, config.store.jpeg_quality),
                stamp=None if self._clock is None else self._clock.stamp(),
                own_topic=config.mqtt.sighting_pictures,
                zone=config.hive.zone,
                heat=config.store.heat,
            )
        with self.stopwatch("store"):
            alert = self._store(sighting, alert)
        self.publisher.wake()
        self._on_recorded(sighting, alert)

    def end_interrupted(self) -> None:
        """End the sightings that a crash interrupted, so that no subscriber waits for their end."""
        for sighting in self.store.interrupted():
            if sighting.document is not None:
                end = interrupted_end(sighting.document, self._topics)
                self.store.end(sighting.id, end, queue=self.publisher.delivers)
                log.warning(
                    "sighting %s was interrupted by a crash or a power cut: ended",
                    sighting.id,
                    extra={"SIGHTING": sighting.id, "CODE": "sighting_interrupted"},
                )

    def _store(self, sighting: Sighting, alert: Alert) -> Alert:
        """Return the alert as stored: on a full disk without its pictures."""
        queue = self.publisher.delivers
        try:
            self.store.record(sighting, alert, queue=queue)
        except DiskFullError as error:
            alert = without_pictures(alert)
            self.store.record(sighting, alert, queue=queue)
            fields = _fields(sighting, "sighting_without_picture")
            log.error("sighting %s is stored without its picture: %s", sighting.id, error, extra=fields)  # noqa: TRY400
        return alert


def open_recorder(
    config: Config,
    classifier: Classifier,
    stopwatch: Stopwatch,
    opened: contextlib.ExitStack,
    make_publisher: MakePublisher | None = None,
    *,
    clock: Clock | None = None,
    on_recorded: OnRecorded = log_sighting,
) -> Recorder:
    """Open the store, start the publisher if there is one, and end what a crash interrupted.

    ``opened`` receives what must be closed again; the other arguments are those of ``Recorder``. Raises
    StoreError, and ConfigError for a password or certificate that cannot be read.
    """
    store = opened.enter_context(Store(config.store.directory))
    publisher: Publishing = NoPublisher() if make_publisher is None else make_publisher(config, store)
    publisher.start()
    opened.callback(publisher.stop, _LAST_DELIVERY_S)
    model = classifier.model
    identity = ModelIdentity(model.name, model.version, model.sha256)
    recorder = Recorder(config, identity, store, publisher, stopwatch, clock=clock, on_recorded=on_recorded)
    recorder.end_interrupted()
    return recorder


@dataclass(frozen=True, slots=True)
class _HeldOutbox:
    """An outbox that appears empty until the clock is trusted: provisional times must not be sent."""

    store: Store
    clock: Clock

    def pending(self, limit: int) -> list[OutboxEntry]:
        return [] if self.clock.holds_messages else self.store.pending(limit)

    def mark_sent(self, entry_id: int) -> None:
        self.store.mark_sent(entry_id)

    def set_aside(self, entry_id: int) -> None:
        self.store.set_aside(entry_id)


def daemon_publisher(config: Config, store: Store, clock: Clock, inbox: Inbox | None) -> Publisher:
    """Return the publisher that represents the hive: it also publishes whether the daemon is online.

    Commands go into ``inbox``, if there is one.
    """
    topics = HiveTopics.of(config)
    availability = availability_message(topics, online=True), availability_message(topics, online=False)
    client_id = config.mqtt.client_id or f"hivewatch-{own_key(config, store)}"
    outbox = _HeldOutbox(store, clock)
    publisher = Publisher(config.mqtt, outbox, client_id, availability, _envelopes(topics))
    if inbox is not None:
        for leaf in COMMAND_LEAVES:
            publisher.subscribe(topics.topic(leaf), inbox.put)
    return publisher


def own_key(config: Config, store: Store) -> str:
    """Return the key of the hive (``topics.hive_key``); an installation from before 0.4 keeps its own.

    Its client id and its ids in Home Assistant would change otherwise, and automations would break.
    """
    return hive_key(config, by_id_alone=store.recall(MADE_BY) is None)


def guest_publisher(config: Config, store: Store) -> Publisher:
    """Return a publisher for a program that works beside the hive's daemon: no availability, another id."""
    topics = HiveTopics.of(config)
    client_id = f"hivewatch-{topics.id}-{secrets.token_hex(4)}"
    return Publisher(config.mqtt, store, client_id, envelope=_envelopes(topics))


def _envelopes(topics: HiveTopics) -> Callable[[Message], Envelope]:
    return partial(envelope, topics=topics)
