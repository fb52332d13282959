"""The publisher against a real mosquitto: recorded events arrive, in order, despite any fault."""

from __future__ import annotations

import json
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.brokers import PATIENCE_S, Broker, Proxy, Subscriber, free_port, wait_until
from support.fakes import MODEL, make_frame, make_pixels, make_prediction, make_sighting

from hivewatch.config.sections import MqttConfig
from hivewatch.domain.sightings import Phase
from hivewatch.domain.wire import Message, OutboxEntry
from hivewatch.errors import ConfigError, DiskFullError, PublishError, StoreError
from hivewatch.messages.alert import compose
from hivewatch.messages.states import availability_message
from hivewatch.messages.topics import HiveTopics
from hivewatch.mqtt import monitor as monitor_module
from hivewatch.mqtt import publisher as publisher_module
from hivewatch.mqtt import session as session_module
from hivewatch.mqtt.publisher import Publisher
from hivewatch.store import Store

TOPICS = HiveTopics("h1", "Ruche 1", "hw")
STOP_S = 5.0

MakePublisher = Callable[..., Publisher]


@pytest.fixture
def make_publisher(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakePublisher]:
    """Make publishers of ``store`` that reconnect quickly; they are stopped at the end."""
    monkeypatch.setattr(publisher_module, "FIRST_RECONNECT_S", 0.02)
    made: list[Publisher] = []

    def make(port: int, **options: Any) -> Publisher:
        config = MqttConfig(host="127.0.0.1", port=port, **options)
        online, offline = (availability_message(TOPICS, online=on) for on in (True, False))
        publisher = Publisher(config, store, "hivewatch-test", (online, offline))
        made.append(publisher)
        return publisher

    yield make
    for publisher in made:
        publisher.stop(STOP_S)


def record(store: Store, id_: str, phase: Phase = Phase.START, seed: int = 0, score: float = 0.9) -> bytes:
    """Record an event and return its picture."""
    frame = make_frame(make_pixels(seed=seed))
    sighting = make_sighting(id_, phase, frame, make_prediction(score))
    alert = compose(sighting, TOPICS, MODEL, 80)
    store.record(sighting, alert)
    assert alert.snapshot is not None
    return alert.snapshot.payload


def ids(subscriber: Subscriber) -> list[str]:
    """Return the sighting ids of the events received, in order."""
    return [json.loads(event)["sighting_id"] for event in subscriber.on("event")]


def without_repeats(items: list[str]) -> list[str]:
    """Return ``items`` without those that repeat their predecessor."""
    return [item for index, item in enumerate(items) if index == 0 or items[index - 1] != item]


def test_events_arrive_in_order_then_their_pictures(
    broker: Broker, store: Store, make_publisher: MakePublisher
) -> None:
    """The outbox is sent in order: first the small events, then their pictures."""
    publisher = make_publisher(broker.port)
    pictures = [record(store, f"v{number}", seed=number) for number in range(3)]
    with Subscriber(broker.port) as subscriber:
        publisher.start()
        subscriber.wait_for("snapshot", pictures[-1])
    assert ids(subscriber) == ["v0", "v1", "v2"]
    assert subscriber.on("snapshot") == pictures
    topics = [message.topic for message in subscriber.received]
    assert topics == ["hw/h1/availability"] + ["hw/h1/event"] * 3 + ["hw/h1/snapshot"] * 3


def test_broker_retains_the_last_picture_and_no_event(
    broker: Broker, store: Store, make_publisher: MakePublisher
) -> None:
    """A later subscriber gets availability and snapshot as retained messages, and no event."""
    publisher = make_publisher(broker.port)
    publisher.start()
    picture = record(store, "v1")
    assert publisher.drain(20)
    with Subscriber(broker.port) as subscriber:
        subscriber.wait_for("snapshot", picture)
        subscriber.wait_for("availability", b"online")
    assert all(message.retained for message in subscriber.received)
    assert subscriber.on("event") == []


def test_broker_that_starts_later_gets_everything(
    broker: Broker, store: Store, make_publisher: MakePublisher
) -> None:
    """Events recorded before the broker started are sent once it runs."""
    broker.kill()
    publisher = make_publisher(broker.port)
    publisher.start()
    record(store, "v1")
    picture = record(store, "v2")
    publisher.wake()
    assert not publisher.drain(0.2)
    broker.start()
    assert publisher.drain(20)
    assert store.outbox_depth() == 0
    with Subscriber(broker.port) as subscriber:
        subscriber.wait_for("snapshot", picture)


def test_nothing_is_lost_when_the_broker_is_killed_while_messages_flow(
    broker: Broker, store: Store, make_publisher: MakePublisher
) -> None:
    """A broker is killed in the middle of a drain and restarted: every event arrives, in order."""
    expected = [f"v{number:02}" for number in range(40)]
    for id_ in expected:
        record(store, id_)
    proxy = Proxy(broker.port).open()
    proxy.bytes_per_s = 20_000  # slow enough that some events are unsent when the broker dies
    publisher = make_publisher(proxy.port)
    with Subscriber(broker.port) as before:
        publisher.start()
        wait_until(lambda: len(before.on("event")) >= 5, "some events have arrived")
        proxy.close()
        broker.kill()
        before.wait_for_end()
    proxy.bytes_per_s = float("inf")
    broker.start()
    with Subscriber(broker.port) as after:
        proxy.open()
        assert publisher.drain(20)
        wait_until(lambda: ids(after)[-1:] == expected[-1:], "the last event")
    proxy.close()
    assert without_repeats(ids(before) + ids(after)) == expected


def test_unacknowledged_message_is_sent_again(
    broker: Broker, store: Store, make_publisher: MakePublisher
) -> None:
    """A link that fails between PUBLISH and PUBACK: the event arrives twice, and the outbox is emptied."""
    proxy = Proxy(broker.port).open()
    publisher = make_publisher(proxy.port)
    with Subscriber(broker.port) as subscriber:
        publisher.start()
        subscriber.wait_for("availability", b"online")
        assert publisher.drain(20)
        proxy.swallow_answers = True
        record(store, "v1")
        publisher.wake()
        wait_until(lambda: bool(ids(subscriber)), "the event has reached the broker")
        assert store.outbox_depth() == 2
        proxy.cut()
        proxy.swallow_answers = False
        assert publisher.drain(20)
        wait_until(lambda: len(ids(subscriber)) >= 2, "the event has arrived again")
        assert set(ids(subscriber)) == {"v1"}
    proxy.close()
    assert store.outbox_depth() == 0


def test_publisher_reconnects_if_the_broker_never_acknowledges(
    broker: Broker, store: Store, make_publisher: MakePublisher, caplog: pytest.LogCaptureFixture
) -> None:
    """No PUBACK within the time limit: the publisher reconnects and sends the message again."""
    proxy = Proxy(broker.port).open()
    publisher = make_publisher(proxy.port, acknowledge_timeout_s=0.3)
    with Subscriber(broker.port) as subscriber:
        publisher.start()
        assert publisher.drain(20)
        proxy.swallow_answers = True
        record(store, "v1")
        publisher.wake()
        wait_until(lambda: "no acknowledgement within" in caplog.text, "the time limit has passed")
        proxy.swallow_answers = False
        proxy.cut()
        assert publisher.drain(20)
        assert without_repeats(ids(subscriber)) == ["v1"]
    proxy.close()


def test_refused_password_is_logged_once_and_tried_again(
    tmp_path: Path, store: Store, make_publisher: MakePublisher, caplog: pytest.LogCaptureFixture
) -> None:
    """A wrong password is logged once, without the password; the thread keeps trying."""
    caplog.set_level(logging.INFO)
    broker = Broker(tmp_path, password="honey").start()
    secret = tmp_path / "secret"
    secret.write_text("wasps-wax\n")
    publisher = make_publisher(broker.port, username="hive", password_file=secret)
    publisher.start()
    wait_until(lambda: publisher._monitor.failures_in_a_row >= 3, "three attempts")
    publisher.check()
    broker.kill()
    logged = [entry for entry in caplog.messages if "refuses the connection" in entry]
    assert len(logged) == 1
    assert "check mqtt.username and mqtt.password_file" in logged[0]
    assert "wasps-wax" not in caplog.text


def test_right_password_is_accepted(tmp_path: Path, store: Store, make_publisher: MakePublisher) -> None:
    """The password is read from its file, without the newline at its end."""
    broker = Broker(tmp_path, password="honey").start()
    secret = tmp_path / "secret"
    secret.write_text("honey\n")
    publisher = make_publisher(broker.port, username="hive", password_file=secret)
    publisher.start()
    assert publisher.drain(20)
    publisher.stop(STOP_S)
    broker.kill()


def test_unreadable_password_file_is_a_config_error(tmp_path: Path, make_publisher: MakePublisher) -> None:
    """The error names the option, but not the file: some write the password itself in its place."""
    with pytest.raises(ConfigError, match=r"mqtt\.password_file cannot be read") as caught:
        make_publisher(1883, username="hive", password_file=tmp_path / "nothing-here")
    assert "nothing-here" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "reason"),
    [("127.0.0.1", "nothing listens on that port"), ("no-such-host.invalid", "the host name is unknown")],
)
def test_log_says_why_the_broker_cannot_be_reached(
    host: str, reason: str, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """It also says that nothing is lost."""
    config = MqttConfig(host=host, port=free_port())
    message = availability_message(TOPICS, online=True)
    publisher = Publisher(config, store, "hivewatch-test", (message, message))
    publisher.start()
    wait_until(lambda: reason in caplog.text, reason)
    publisher.stop(STOP_S)
    assert "kept and sent later" in caplog.text


def test_log_says_that_the_server_does_not_speak_mqtt(
    make_publisher: MakePublisher, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that accepts the connection and stays silent is given up after the time limit."""
    monkeypatch.setattr(session_module, "CONNECT_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        make_publisher(server.getsockname()[1]).start()
        wait_until(
            lambda: "the server does not answer as an MQTT broker" in caplog.text, "the time limit has passed"
        )


def test_stop_without_a_broker_keeps_the_outbox(store: Store, make_publisher: MakePublisher) -> None:
    """The thread ends, and the messages stay queued for the next start."""
    publisher = make_publisher(free_port())
    publisher.start()
    record(store, "v1")
    publisher.stop(STOP_S)
    assert not publisher._thread.is_alive()
    assert store.outbox_depth() == 2


def test_last_will_says_offline_when_the_link_breaks(
    broker: Broker, store: Store, make_publisher: MakePublisher
) -> None:
    """The broker publishes offline, retained, when the connection ends without DISCONNECT."""
    proxy = Proxy(broker.port).open()
    publisher = make_publisher(proxy.port)
    with Subscriber(broker.port) as subscriber:
        publisher.start()
        subscriber.wait_for("availability", b"online")
        proxy.close()
        subscriber.wait_for("availability", b"offline")
    with Subscriber(broker.port) as later:
        later.wait_for("availability", b"offline")


def test_clean_stop_sends_the_rest_and_then_offline(
    broker: Broker, store: Store, make_publisher: MakePublisher
) -> None:
    """An event recorded just before the stop is still sent; then offline, exactly once."""
    publisher = make_publisher(broker.port)
    with Subscriber(broker.port) as subscriber:
        publisher.start()
        subscriber.wait_for("availability", b"online")
        record(store, "v1")
        publisher.stop(STOP_S)
        subscriber.wait_for("availability", b"offline")
    assert ids(subscriber) == ["v1"]
    assert subscriber.on("availability") == [b"online", b"offline"]
    assert subscriber.received[-1].topic == "hw/h1/availability"
    assert store.outbox_depth() == 0


def test_many_waiting_messages_are_all_sent_in_order(
    broker: Broker, store: Store, make_publisher: MakePublisher
) -> None:
    """Five hundred queued messages arrive complete and in order."""
    expected = [f"v{number:03}" for number in range(250)]
    for number, id_ in enumerate(expected):
        record(store, id_, seed=number)
    assert store.outbox_depth() == 500
    publisher = make_publisher(broker.port)
    with Subscriber(broker.port) as subscriber:
        publisher.start()
        assert publisher.drain(60)
        wait_until(lambda: len(subscriber.on("snapshot")) >= 250, "all pictures")
    assert ids(subscriber) == expected
    assert len(subscriber.on("snapshot")) == 250
    assert store.outbox_depth() == 0


def test_state_is_sent_at_once_newest_last_and_again_after_a_reconnect(
    broker: Broker, store: Store, make_publisher: MakePublisher
) -> None:
    """A state is sent while connected; a new connection repeats the newest of each topic, retained."""
    proxy = Proxy(broker.port).open()
    publisher = make_publisher(proxy.port)
    publisher.start()
    with Subscriber(broker.port) as subscriber:
        publisher.publish_state(Message("hw/h1/health", b"1", retained=True))
        subscriber.wait_for("health", b"1")
        publisher.publish_state(Message("hw/h1/health", b"2", retained=True))
        subscriber.wait_for("health", b"2")
        proxy.cut()
        wait_until(lambda: len(subscriber.on("health")) >= 3, "the state has arrived again")
        assert subscriber.on("health")[:3] == [b"1", b"2", b"2"]
    with Subscriber(broker.port) as later:
        later.wait_for("health", b"2")
    assert store.outbox_depth() == 0
    publisher.stop(STOP_S)
    proxy.close()


def test_states_are_sent_before_one_shots_and_those_before_the_outbox(
    broker: Broker, store: Store, make_publisher: MakePublisher
) -> None:
    """All three wait for the connection; within each kind the order is kept."""
    publisher = make_publisher(broker.port)
    record(store, "v1")
    for number in range(2):
        publisher.publish_once(Message(f"hw/h1/answer/{number}", b"", retained=False))
        publisher.publish_state(Message(f"hw/h1/state/{number}", b"x", retained=True))
    with Subscriber(broker.port) as subscriber:
        publisher.start()
        assert publisher.drain(20)
        wait_until(lambda: bool(subscriber.on("snapshot")), "the last message has arrived")
    order = [message.topic.removeprefix("hw/h1/") for message in subscriber.received]
    assert order == ["availability", "state/0", "state/1", "answer/0", "answer/1", "event", "snapshot"]


def test_stop_returns_in_time_if_the_broker_never_answers(
    broker: Broker, store: Store, make_publisher: MakePublisher
) -> None:
    """The time limit of the stop counts, not that of an acknowledgement; the message stays queued."""
    proxy = Proxy(broker.port).open()
    publisher = make_publisher(proxy.port)
    publisher.start()
    wait_until(lambda: publisher.is_connected, "the publisher is connected")
    proxy.swallow_answers = True
    record(store, "v1")
    publisher.wake()
    with Subscriber(broker.port) as subscriber:
        wait_until(lambda: bool(subscriber.on("availability")), "the subscriber listens")
        started_s = time.monotonic()
        publisher.stop(1.0)
        assert time.monotonic() - started_s < PATIENCE_S / 2
        wait_until(lambda: not publisher._thread.is_alive(), "the thread has ended")
        publisher.check()
        wait_until(lambda: subscriber.on("availability")[-1] == b"offline", "the last will was published")
    proxy.close()
    assert store.outbox_depth() == 2


def test_state_set_just_before_the_stop_is_sent_before_offline(
    broker: Broker, store: Store, make_publisher: MakePublisher
) -> None:
    """A stop does not lose the last state."""
    publisher = make_publisher(broker.port)
    with Subscriber(broker.port) as subscriber:
        publisher.start()
        subscriber.wait_for("availability", b"online")
        publisher.publish_state(Message("hw/h1/camera/status", b"last", retained=True))
        publisher.stop(STOP_S)
        subscriber.wait_for("availability", b"offline")
    assert [m.payload for m in subscriber.received] == [b"online", b"last", b"offline"]


def test_full_disk_pauses_sending_and_repeats_nothing(
    broker: Broker, store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A message that cannot be marked as sent is not sent again and again; the thread keeps running."""
    monkeypatch.setattr(session_module, "POLL_S", 0.02)
    refusals = 5

    class FullForAWhile:
        def pending(self, limit: int) -> list[OutboxEntry]:
            return store.pending(limit)

        def mark_sent(self, entry_id: int) -> None:
            nonlocal refusals
            refusals -= 1
            if refusals >= 0:
                raise DiskFullError("no room")
            store.mark_sent(entry_id)

        def set_aside(self, _entry_id: int) -> None: ...

    publisher = Publisher(MqttConfig(host="127.0.0.1", port=broker.port), FullForAWhile(), "hivewatch-test")
    with Subscriber(broker.port) as subscriber:
        publisher.start()
        record(store, "v1")
        assert publisher.drain(20)
        wait_until(lambda: bool(subscriber.on("snapshot")), "the picture has arrived")
        publisher.stop(STOP_S)
    assert ids(subscriber) == ["v1"]
    assert caplog.text.count("nothing is sent until there is room on the disk") == 1


def test_check_raises_what_ended_the_thread(
    broker: Broker, store: Store, make_publisher: MakePublisher
) -> None:
    """check() passes an error of the store on to the data path."""
    publisher = make_publisher(broker.port)
    store.close()
    publisher.start()
    publisher._thread.join(20)
    with pytest.raises(StoreError, match="read the outbox"):
        publisher.check()


class _Stuck:
    """An outbox that blocks until it is freed."""

    def __init__(self) -> None:
        self.asked, self.free = threading.Event(), threading.Event()

    def pending(self, _limit: int) -> list[OutboxEntry]:
        self.asked.set()
        self.free.wait(60)
        return []

    def mark_sent(self, _entry_id: int) -> None: ...

    def set_aside(self, _entry_id: int) -> None: ...


def test_a_thread_that_hangs_in_one_step_is_stuck_until_it_advances(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor_module, "LONGEST_STEP_S", 2.0)
    outbox = _Stuck()
    publisher = Publisher(MqttConfig(host="127.0.0.1", port=broker.port), outbox, "test")
    assert not publisher.is_stuck
    publisher.start()
    assert outbox.asked.wait(20)
    wait_until(lambda: publisher.is_stuck, "the thread is reported as stuck")
    publisher.check()
    outbox.free.set()
    wait_until(lambda: not publisher.is_stuck, "the thread advances")
    publisher.stop(STOP_S)


def test_a_long_back_off_is_not_stuck(
    store: Store, make_publisher: MakePublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "FIRST_RECONNECT_S", 600.0)
    monkeypatch.setattr(monitor_module, "LONGEST_STEP_S", 1.0)
    publisher = make_publisher(free_port(), reconnect_longest_s=600)
    publisher.start()
    wait_until(lambda: publisher._monitor._next_step_by_s > time.monotonic() + 200, "the thread pauses")
    assert not publisher.is_stuck


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_check_notices_a_thread_that_ended_without_an_error(
    store: Store, make_publisher: MakePublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = make_publisher(free_port())
    monkeypatch.setattr(publisher, "_back_off_s", sys.exit)
    publisher.start()
    wait_until(lambda: not publisher._thread.is_alive(), "the thread has ended")
    with pytest.raises(PublishError, match="ended without being stopped"):
        publisher.check()
