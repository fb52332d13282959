"""Trials with a faulty broker, or a faulty link to it, while sightings are recorded."""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hivewatch.config.sections import MqttConfig
from hivewatch.domain.sightings import Phase
from hivewatch.domain.wire import Alert, Message
from hivewatch.messages.states import availability_message
from hivewatch.messages.topics import HiveTopics
from hivewatch.mqtt import publisher as publisher_module
from hivewatch.mqtt.publisher import Publisher
from hivewatch.store import Store
from support.brokers import Broker, Proxy, Subscriber, wait_until
from support.hostile_broker import PUBACK, PUBLISH, HostileBroker, packet, publish
from support.trials import Outcome, compare, event_key, rss_bytes, timed
from support.visits import make_visit

DELIVERY_S = 120.0
ARRIVAL_S = 5.0
TOPICS = HiveTopics("h1", "Hive 1", "hw")
AVAILABILITY = availability_message(TOPICS, online=True), availability_message(TOPICS, online=False)


@dataclass(slots=True)
class Scene:
    """A store, a publisher, a link, a broker, and the events recorded so far."""

    directory: Path
    broker: Broker
    proxy: Proxy
    store: Store
    publisher: Publisher
    subscriber: Subscriber | None = None
    events: list[bytes] = field(default_factory=list)
    visits: int = 0
    seen: list[bytes] = field(default_factory=list)
    picture_bytes: int = 0

    def record(self, count: int) -> None:
        """Record ``count`` visits, each a start and an end with the same picture."""
        for _ in range(count):
            number = self.visits
            for phase in (Phase.START, Phase.END):
                sighting, alert = make_visit(number, phase)
                alert = self._enlarged(alert, number)
                self.store.record(sighting, alert)
                self.events.append(alert.event.payload)
            self.visits += 1
            self.publisher.wake()

    def _enlarged(self, alert: Alert, number: int) -> Alert:
        if not self.picture_bytes:
            return alert
        noise = random.Random(number).randbytes(self.picture_bytes)
        assert alert.snapshot is not None
        return Alert(alert.event, Message(alert.snapshot.topic, noise, retained=True), b"small")

    def start_broker(self) -> None:
        """Start the broker and subscribe to it before the publisher can connect.

        A broker forwards an event only to current subscribers: if the publisher connected first, the broker
        would acknowledge events that no subscriber ever receives.
        """
        self.unsubscribe()
        self.proxy.barred = True
        self.broker.start()
        self.subscriber = Subscriber(self.broker.port).__enter__()
        self.proxy.barred = False

    def unsubscribe(self) -> None:
        """End the subscription."""
        if self.subscriber is not None:
            self.seen += self.subscriber.on("event")
            self.subscriber.__exit__()
            self.subscriber = None

    def events_seen(self) -> list[bytes]:
        """Return the events received so far."""
        return self.seen + (self.subscriber.on("event") if self.subscriber else [])

    def deliver(self) -> None:
        """Wait until the outbox is empty and, for a few seconds at most, until every event has arrived."""
        assert self.publisher.drain(DELIVERY_S), f"{self.store.outbox_depth()} messages are still queued"
        expected, until_s = set(self.events), time.monotonic() + ARRIVAL_S
        while not expected <= set(self.events_seen()) and time.monotonic() < until_s:
            time.sleep(0.01)


@contextmanager
def scene(directory: Path, *, password: str | None = None, **mqtt: object) -> Iterator[Scene]:
    """Yield a scene whose publisher and link are started, and whose broker is not."""
    directory.mkdir(exist_ok=True)
    broker = Broker(directory, password=password)
    with ExitStack() as stack:
        stack.callback(broker.kill)
        proxy = Proxy(broker.port).open()
        stack.callback(proxy.close)
        store = stack.enter_context(Store(directory / "store"))
        config = MqttConfig(host="127.0.0.1", port=proxy.port, reconnect_longest_s=1, **mqtt)  # type: ignore[arg-type]
        publisher = Publisher(config, store, "hivewatch-trial", AVAILABILITY)
        made = Scene(directory, broker, proxy, store, publisher)
        stack.callback(made.unsubscribe)
        publisher.start()
        stack.callback(publisher.stop, 5.0)
        yield made


def _finish(trial: Scene, outcome: Outcome) -> Outcome:
    trial.deliver()
    trial.publisher.check()
    compare(outcome, [event_key(e) for e in trial.events], [event_key(e) for e in trial.events_seen()])
    outcome.runs += len(trial.events)
    return outcome


def absent_at_first(directory: Path, visits: int) -> Outcome:
    """The broker starts only after ``visits`` are recorded, with pictures of 1 MB."""
    with timed(Outcome("broker absent at first")) as outcome, scene(directory) as trial:
        trial.picture_bytes = 1_000_000
        trial.record(2)
        before_bytes = rss_bytes()
        trial.record(visits)
        trial.start_broker()
        outcome = _finish(trial, outcome)
        # Subtract the messages that the subscriber, in this process, keeps.
        kept_bytes = (
            sum(len(message.payload) for message in trial.subscriber.received) if trial.subscriber else 0
        )
        grown_bytes = rss_bytes() - before_bytes - kept_bytes
        if grown_bytes > 20_000_000:
            outcome.problems.append(f"memory grew by {grown_bytes / 1e6:.0f} MB")
        outcome.note = f"{visits} MB queued, memory {grown_bytes / 1e6:+.0f} MB"
        return outcome


def killed_before_acknowledging(directory: Path, rounds: int) -> Outcome:
    """The broker is killed each time it has a message that it has not acknowledged to the publisher."""
    with timed(Outcome("broker killed between PUBLISH and PUBACK")) as outcome, scene(directory) as trial:
        for _ in range(rounds):
            trial.start_broker()
            trial.record(1)
            trial.deliver()
            trial.proxy.swallow_answers = True
            count = len(trial.events_seen())
            trial.record(1)
            wait_until(lambda count=count: len(trial.events_seen()) > count, "an event has arrived")  # type: ignore[misc]
            trial.broker.kill()
            trial.subscriber and trial.subscriber.wait_for_end()
            trial.unsubscribe()
            trial.proxy.swallow_answers = False
        trial.start_broker()
        return _finish(trial, outcome)


def restarting(directory: Path, restarts: int, every_s: float) -> Outcome:
    """The broker is restarted while sightings are recorded; the subscriber subscribes again each time."""
    with timed(Outcome(f"broker restarted every {every_s:g} s")) as outcome, scene(directory) as trial:
        dice = random.Random(3)
        for _ in range(restarts):
            trial.start_broker()
            until_s = time.monotonic() + every_s
            while time.monotonic() < until_s:
                trial.record(1)
                time.sleep(dice.uniform(0, every_s / 10))  # spread the sightings over the interval
            trial.broker.kill()
            trial.subscriber and trial.subscriber.wait_for_end()
        trial.start_broker()
        return _finish(trial, outcome)


def refusing(directory: Path, visits: int) -> Outcome:
    """The password is wrong until the broker's configuration is corrected."""
    secret = directory.parent / "secret"
    secret.write_text("wasps-wax\n")
    with (
        timed(Outcome("broker refuses the password")) as outcome,
        scene(directory, password="honey", username="hive", password_file=secret) as trial,
    ):
        trial.broker.start()
        trial.record(visits)
        wait_until(lambda: trial.publisher._monitor.failures_in_a_row >= 3, "three attempts")
        trial.broker.kill()
        trial.broker.admit_everybody()
        trial.start_broker()
        return _finish(trial, outcome)


def slow(directory: Path, visits: int, bytes_per_s: float) -> Outcome:
    """The link is slow: events are sent first, and new events overtake pictures."""
    with timed(Outcome(f"link of {bytes_per_s / 1000:g} kB/s")) as outcome, scene(directory) as trial:
        trial.proxy.bytes_per_s = bytes_per_s
        trial.picture_bytes = int(bytes_per_s / 2)
        trial.start_broker()
        trial.record(visits)
        wait_until(
            lambda: trial.subscriber is not None and bool(trial.subscriber.on("snapshot")), "a picture", 60
        )
        trial.record(1)
        newest = trial.events[-1]
        wait_until(lambda: newest in trial.events_seen(), "the newest event has overtaken the pictures", 60)
        left = trial.store.outbox_depth()
        outcome.note = f"{left} of {visits + 1} pictures were still queued when the newest event arrived"
        if left == 0:
            outcome.problems.append("no picture was queued any more: the trial proves nothing")
        return _finish(trial, outcome)


def never_acknowledging(directory: Path, visits: int) -> Outcome:
    """The broker accepts everything and acknowledges nothing, for a while."""
    with (
        timed(Outcome("broker never acknowledges")) as outcome,
        scene(directory, acknowledge_timeout_s=0.3) as trial,
    ):
        trial.start_broker()
        trial.record(1)
        trial.deliver()
        trial.proxy.swallow_answers = True
        trial.record(visits)
        wait_until(lambda: trial.publisher._monitor.failures_in_a_row >= 2, "two attempts")
        trial.proxy.swallow_answers = False
        trial.proxy.cut()
        return _finish(trial, outcome)


def full_disk_of_the_broker(directory: Path, visits: int, full: Path) -> Outcome:
    """The broker saves its messages to ``full``, a directory on a full disk."""
    with timed(Outcome("broker out of disk")) as outcome, scene(directory) as trial:
        trial.broker.keep_messages_in(full)
        trial.start_broker()
        trial.record(visits)
        return _finish(trial, outcome)


def sending_garbage(directory: Path, visits: int) -> Outcome:
    """Half of the connections end with a packet that is not MQTT, too large, or broken off."""
    dice = random.Random(8)
    bad = (
        publish(b"hw/\xff", b"", "3.1.1"),
        packet(PUBLISH, length=268_435_455) + bytes(65_536),
        publish(b"hw/h1/command/pause", b"{}", "3.1.1", kind=PUBLISH | 0x04),
        packet(PUBACK, b"\0"),
        b"\x30\xff\xff\xff\xff\x7f",
    )
    seen: list[bytes] = []

    def hostile(kind: int, content: bytes) -> list[bytes] | None:
        if kind != PUBLISH:
            return None
        (topic_bytes,) = struct.unpack("!H", content[:2])
        if content[2 : 2 + topic_bytes].endswith(b"/event"):
            seen.append(content[4 + topic_bytes :])
        return [dice.choice(bad)] if dice.random() < 0.1 else None

    with (
        timed(Outcome("broker sends garbage and 256 MB packets")) as outcome,
        HostileBroker(hostile) as broker,
        _recording(directory, broker.port) as trial,
    ):
        before_bytes = rss_bytes()
        trial.record(visits)
        _deliver(trial, outcome, lambda: list(seen))
        grown_mb = max(0, rss_bytes() - before_bytes) / 1e6
        outcome.note = f"{broker.connections} connections, memory grew by {grown_mb:.0f} MB"
        if grown_mb > 100:
            outcome.problems.append("what the broker sent fills the memory")
    return outcome


def too_large(directory: Path, visits: int, version: str | int) -> Outcome:
    """The broker takes no message above 20 kB; every other picture is larger."""
    directory.mkdir()
    broker = Broker(directory, options=["max_packet_size 20000"]).start()
    try:
        with (
            timed(Outcome(f"pictures larger than the broker takes, MQTT {version}")) as outcome,
            _recording(directory, broker.port, version=version) as trial,
            Subscriber(broker.port) as subscriber,
        ):
            for number in range(visits):
                trial.picture_bytes = (5000, 50_000)[number % 2]
                trial.record(1)
            _deliver(trial, outcome, lambda: subscriber.on("event"))
            pictures = len(subscriber.on("snapshot"))
            outcome.note = f"{trial.publisher.connections} connections, {pictures} of {visits} pictures sent"
            if not pictures:
                outcome.problems.append("no picture arrived")
        return outcome
    finally:
        broker.kill()


def one_client_id(directory: Path, visits: int) -> Outcome:
    """A second hive connects with the same client id: the connections become rare, not the events."""
    directory.mkdir()
    broker = Broker(directory).start()
    try:
        with (
            timed(Outcome("two hives with one client id")) as outcome,
            Subscriber(broker.port) as subscriber,
            _recording(directory / "a", broker.port, reconnect_longest_s=4) as first,
            _recording(directory / "b", broker.port, reconnect_longest_s=4) as second,
        ):
            started_s = time.monotonic()
            for _ in range(visits):
                first.record(1)
                time.sleep(0.2)  # so that the visits last longer than many connections
            _deliver(first, outcome, lambda: subscriber.on("event"))
            took_s = time.monotonic() - started_s
            count = first.publisher.connections + second.publisher.connections
            outcome.note = f"{count} connections in {took_s:.0f} s"
        return outcome
    finally:
        broker.kill()


@contextmanager
def _recording(directory: Path, port: int, **mqtt: object) -> Iterator[Scene]:
    """Yield a scene with a started publisher and neither broker nor link of its own."""
    directory.mkdir(exist_ok=True)
    options = {"reconnect_longest_s": 1, "acknowledge_timeout_s": 5.0} | mqtt
    with ExitStack() as stack:
        store = stack.enter_context(Store(directory / "store"))
        config = MqttConfig(host="127.0.0.1", port=port, **options)  # type: ignore[arg-type]
        publisher = Publisher(config, store, "hivewatch-trial", AVAILABILITY)
        publisher.subscribe("hw/h1/command/+", lambda _message: None)
        publisher.start()
        stack.callback(publisher.stop, 5.0)
        yield Scene(directory, Broker(directory), Proxy(port), store, publisher)


def _deliver(trial: Scene, outcome: Outcome, events_seen: Callable[[], list[bytes]]) -> None:
    """Wait until everything is acknowledged, and compare with what was seen."""
    assert trial.publisher.drain(DELIVERY_S), f"{trial.store.outbox_depth()} messages are still queued"
    wait_until(lambda: set(trial.events) <= set(events_seen()), "every event has arrived")
    trial.publisher.check()
    compare(outcome, [event_key(e) for e in trial.events], [event_key(e) for e in events_seen()])
    outcome.runs += len(trial.events)


def hurry() -> None:
    """Shorten the back-off of publishers: the trials test what happens, not how long it takes."""
    publisher_module.FIRST_RECONNECT_S = 0.02
