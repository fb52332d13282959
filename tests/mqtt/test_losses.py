"""Connections that are lost again and again: on messages too large for the broker, or to another client."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.brokers import Broker, Proxy, Subscriber, free_port, wait_until
from support.visits import make_visit

from hivewatch.config.sections import MqttConfig, OutboxConfig, StoreConfig
from hivewatch.domain.sightings import Phase
from hivewatch.domain.wire import Alert, Message
from hivewatch.mqtt import losses as losses_module
from hivewatch.mqtt import publisher as publisher_module
from hivewatch.mqtt.losses import MOST_LOSSES, GivenUpError, Losses
from hivewatch.mqtt.monitor import Monitor
from hivewatch.mqtt.publisher import Publisher
from hivewatch.store import Store

LIMIT_BYTES = 20_000
# The limits that mosquitto knows. With the last one and MQTT 3.1.1 it acknowledges what it drops.
LIMITS = pytest.mark.parametrize(
    ("version", "option"),
    [("3.1.1", "max_packet_size"), (5, "max_packet_size"), (5, "message_size_limit")],
)
MakePublisher = Callable[..., Publisher]


@pytest.fixture
def make_publisher(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakePublisher]:
    """Make publishers that reconnect quickly; they are stopped at the end."""
    monkeypatch.setattr(publisher_module, "FIRST_RECONNECT_S", 0.01)
    made: list[Publisher] = []

    def make(port: int, **options: Any) -> Publisher:
        publisher = Publisher(MqttConfig(host="127.0.0.1", port=port, **options), store, "hivewatch-hive7")
        made.append(publisher)
        return publisher

    yield make
    for publisher in made:
        publisher.stop(5)


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[Callable[[str], Broker]]:
    """Start a broker whose ``option`` limits what it takes."""
    started = []

    def start(option: str) -> Broker:
        (tmp_path / "limited").mkdir()
        broker = Broker(tmp_path / "limited", options=[f"{option} {LIMIT_BYTES}"]).start()
        started.append(broker)
        return broker

    yield start
    for broker in started:
        broker.kill()


def record(store: Store, number: int, picture_bytes: int) -> str:
    """Record the start of a visit with a picture of that size; return its id."""
    sighting, alert = make_visit(number, Phase.START)
    assert alert.snapshot is not None
    noise = random.Random(number).randbytes(picture_bytes)
    store.record(sighting, Alert(alert.event, Message(alert.snapshot.topic, noise, retained=True), b"small"))
    return sighting.id


def counted(store: Store) -> tuple[int, int]:
    """Return how many events and pictures the next backlog message reports as not sent."""
    dropped = store.keep_in_bounds(StoreConfig(least_free_mb=1), OutboxConfig(), None)
    return (0, 0) if dropped is None else (dropped.events, dropped.pictures)


@LIMITS
def test_a_picture_too_large_for_the_broker_is_set_aside_and_everything_else_arrives(
    store: Store,
    make_publisher: MakePublisher,
    limited: Callable[[str], Broker],
    caplog: pytest.LogCaptureFixture,
    version: object,
    option: str,
) -> None:
    broker = limited(option)
    ids = [record(store, number, size) for number, size in enumerate((3000, 50_000, 60_000, 4000))]
    publisher = make_publisher(broker.port, version=version)
    with Subscriber(broker.port) as subscriber:
        publisher.start()
        assert publisher.drain(60)
        wait_until(lambda: len(subscriber.on("snapshot")) >= 2, "the small pictures arrive")
        assert [len(picture) for picture in subscriber.on("snapshot")] == [3000, 4000]
        seen = [json.loads(event)["sighting_id"] for event in subscriber.on("event")]
    assert seen == ids
    assert counted(store) == (0, 2)
    for size in (50_000, 60_000):
        assert f"the message of {size} bytes on" in caplog.text
    # At most five connections for the first picture, and one for the other.
    assert publisher.connections <= MOST_LOSSES + 2


@LIMITS
def test_a_state_too_large_for_the_broker_keeps_back_no_event(
    store: Store,
    make_publisher: MakePublisher,
    limited: Callable[[str], Broker],
    caplog: pytest.LogCaptureFixture,
    version: object,
    option: str,
) -> None:
    """States are sent first after each connect, so one that ends the connection would end all sending."""
    broker = limited(option)
    publisher = make_publisher(broker.port, version=version)
    publisher.publish_state(Message("hw/h1/availability", b"online", retained=True))
    publisher.publish_state(Message("homeassistant/device/h1/config", bytes(30_000), retained=True))
    publisher.publish_once(Message("hw/h1/camera/snapshot", bytes(30_000), retained=False))
    id_ = record(store, 1, 3000)
    with Subscriber(broker.port) as subscriber:
        publisher.start()
        wait_until(lambda: bool(subscriber.on("snapshot")), "the picture arrives")
        assert [json.loads(event)["sighting_id"] for event in subscriber.on("event")] == [id_]
    assert "the message of 30000 bytes on homeassistant/device/h1/config is too large" in caplog.text
    publisher.publish_state(Message("homeassistant/device/h1/config", bytes(40_000), retained=True))
    publisher.publish_state(Message("hw/h1/settings", bytes(40_000), retained=True))
    wait_until(lambda: "40000 bytes on hw/h1/settings" in caplog.text, "no state is left out silently")
    assert "the message of 30000 bytes on hw/h1/camera/snapshot is too large" in caplog.text


def test_an_event_too_large_for_the_broker_waits_and_is_logged_with_its_size(
    store: Store,
    make_publisher: MakePublisher,
    limited: Callable[[str], Broker],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is what matters: a person must raise the limit, and then it is sent."""
    broker = limited("max_packet_size")
    publisher = make_publisher(broker.port, version=5)
    store.queue(Message("hw/h1/event", bytes(30_000), retained=False))
    publisher.start()
    wait_until(
        lambda: "the message of 30000 bytes on hw/h1/event is too large" in caplog.text, "it is logged"
    )
    assert store.outbox_depth() == 1
    assert counted(store) == (0, 0)
    assert publisher.is_connected


def test_an_event_too_large_for_a_broker_of_3_1_1_is_tried_less_and_less_often(
    store: Store, make_publisher: MakePublisher, limited: Callable[[str], Broker]
) -> None:
    """Each connection fails on it, and the broker must not be asked every second for ever."""
    publisher = make_publisher(limited("max_packet_size").port, version="3.1.1")
    store.queue(Message("hw/h1/event", bytes(30_000), retained=False))
    publisher.start()
    failures = publisher._monitor
    wait_until(lambda: failures.failures_in_a_row > MOST_LOSSES + 1, "the row of failures goes on", 60)
    assert store.outbox_depth() == 1


def test_a_picture_on_a_link_that_fails_a_few_times_still_arrives(
    broker: Broker, store: Store, make_publisher: MakePublisher
) -> None:
    proxy = Proxy(broker.port).open()
    publisher = make_publisher(proxy.port)
    with Subscriber(broker.port) as subscriber:
        publisher.start()
        for cut in range(1, MOST_LOSSES):
            wait_until(lambda cut=cut: publisher.connections >= cut, "it is connected")  # type: ignore[misc]
            proxy.bytes_per_s = 20_000
            if cut == 1:
                record(store, 1, 30_000)
                publisher.wake()
            proxy.cut()
        proxy.bytes_per_s = float("inf")
        wait_until(lambda: bool(subscriber.on("snapshot")), "the picture arrives")
    proxy.close()
    assert counted(store) == (0, 0)


def test_connections_that_do_not_last_are_spaced_out_and_the_client_id_is_named(
    broker: Broker, store: Store, make_publisher: MakePublisher, caplog: pytest.LogCaptureFixture
) -> None:
    """Two hives with one client id over MQTT 3.1.1, where the broker gives no reason."""
    caplog.set_level(logging.INFO)
    first, second = (make_publisher(broker.port) for _ in range(2))
    first.start()
    second.start()
    for publisher in (first, second):
        wait_until(lambda p=publisher: p._monitor.failures_in_a_row >= 5, "five losses in a row")  # type: ignore[misc]
        assert publisher.connections >= 4  # none of them reset the row
    assert "if another hive uses the client id 'hivewatch-hive7' too" in caplog.text


def test_a_connection_that_has_lasted_ends_the_row(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now_s)
    monitor = Monitor("broker", "hivewatch-hive7", lasting_s=240.0)
    for lasts_s, failures in ((1.0, 1), (200.0, 2), (240.0, 1), (1.0, 2)):
        monitor.note_connected()
        now_s += lasts_s
        monitor.note_failure("the connection was lost")
        assert monitor.failures_in_a_row == failures
    monitor.note_failure("too large, and set aside", is_mended=True)
    assert monitor.failures_in_a_row == 1


def message(size_bytes: int, topic: str = "hw/h1/snapshot") -> Message:
    return Message(topic, bytes(size_bytes), retained=True)


def give_up(losses: Losses, lost: Message) -> int:
    """Lose connections on ``lost`` until it is given up; return how many that were."""
    for count in range(1, 100):
        try:
            losses.note_lost(lost)
        except GivenUpError:
            return count
    raise AssertionError("never given up")


def test_a_second_large_message_is_worth_one_connection_and_one_as_large_as_any_before_five() -> None:
    losses = Losses()
    assert give_up(losses, message(50_000)) == MOST_LOSSES
    assert give_up(losses, message(60_000)) == 1
    losses.note_sent(message(40_000))
    assert give_up(losses, message(40_001)) == 1
    assert give_up(losses, message(40_000)) == MOST_LOSSES


def test_an_acknowledged_message_starts_the_count_again() -> None:
    losses = Losses()
    for _ in range(MOST_LOSSES - 1):
        losses.note_lost(message(50_000))
    losses.note_sent(message(50_000))
    assert give_up(losses, message(50_000)) == MOST_LOSSES
    losses.note_sent(message(50_000))  # the broker's limit was raised
    assert not losses.is_hopeless(message(50_000))
    assert give_up(losses, message(50_000)) == MOST_LOSSES


def test_what_every_broker_takes_is_never_given_up() -> None:
    losses = Losses()
    for _ in range(100):
        losses.note_lost(message(1500))


def test_a_state_is_tried_again_after_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    losses = Losses()
    give_up(losses, message(5000, "config"))
    assert losses.is_hopeless(message(5000, "config"))
    assert not losses.is_hopeless(message(4999, "config"))
    monkeypatch.setattr(losses_module, "TRY_AGAIN_AFTER_S", -1.0)
    give_up(losses, message(5000, "config"))
    assert not losses.is_hopeless(message(5000, "config"))


def test_a_broker_that_answers_nothing_makes_no_message_seem_too_large(
    broker: Broker, store: Store, make_publisher: MakePublisher
) -> None:
    proxy = Proxy(broker.port).open()
    publisher = make_publisher(proxy.port, acknowledge_timeout_s=0.05)
    store.queue(Message("hw/h1/event", bytes(3000), retained=False))
    proxy.swallow_answers = True
    publisher.start()
    wait_until(lambda: publisher._monitor.failures_in_a_row >= 1, "it fails")
    assert not publisher._losses.is_hopeless(message(10**6))
    proxy.close()


def test_without_a_broker_the_client_id_is_not_blamed(
    make_publisher: MakePublisher, caplog: pytest.LogCaptureFixture
) -> None:
    publisher = make_publisher(free_port())
    publisher.start()
    wait_until(lambda: publisher._monitor.failures_in_a_row >= 5, "five attempts")
    assert "client id" not in caplog.text
