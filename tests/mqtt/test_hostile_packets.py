"""Whatever a broker sends is at most a broken connection: it ends no thread, and fills no memory."""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, repeat

import pytest
from paho.mqtt.enums import CallbackAPIVersion
from support.brokers import wait_until
from support.hostile_broker import (
    CONNACK,
    CONNECT,
    PUBACK,
    PUBLISH,
    SUBACK,
    SUBSCRIBE,
    HostileBroker,
    Hostility,
    packet,
    publish,
)

from hivewatch.config.sections import MqttConfig
from hivewatch.domain.wire import Message, OutboxEntry
from hivewatch.errors import PublishError
from hivewatch.mqtt import client as client_module
from hivewatch.mqtt import follower as follower_module
from hivewatch.mqtt import probe as probe_module
from hivewatch.mqtt import publisher as publisher_module
from hivewatch.mqtt import session as session_module
from hivewatch.mqtt.connection import LARGEST_INCOMING_BYTES
from hivewatch.mqtt.follower import follow
from hivewatch.mqtt.probe import Outcome, probe
from hivewatch.mqtt.publisher import Publisher

TOPIC = b"hivewatch/h1/command/pause"
VERSIONS = pytest.mark.parametrize("version", ["3.1.1", 5])
LARGEST_VARIABLE_LENGTH = 268_435_455


class OneEvent:
    """An outbox whose only entry is never removed."""

    def pending(self, _limit: int) -> list[OutboxEntry]:
        return [OutboxEntry(1, Message("hivewatch/h1/event", b"{}", retained=False))]

    def mark_sent(self, _entry_id: int) -> None: ...

    def set_aside(self, _entry_id: int) -> None: ...


def instead_of(kind: int, answer: Callable[[bytes], Iterable[bytes]]) -> Hostility:
    """Answer each packet of ``kind`` with ``answer`` of its content."""
    return lambda got, content: answer(content) if got == kind & 0xF0 else None


def after_subscription(version: object, *packets: bytes) -> Hostility:
    """Accept a subscription and send ``packets`` at once."""
    properties = b"\0" if version == 5 else b""
    return instead_of(SUBSCRIBE, lambda content: [packet(SUBACK, content[:2] + properties + b"\1"), *packets])


def packet_id(published: bytes) -> bytes:
    """Return the packet id in the content of a PUBLISH."""
    (topic_bytes,) = struct.unpack("!H", published[:2])
    return published[2 + topic_bytes : 4 + topic_bytes]


def hostilities(version: object) -> Iterator[tuple[str, Hostility]]:
    """Yield what no broker should do, with the word that the log must say about it."""
    yield "Unicode", after_subscription(version, publish(b"hivewatch/h1/command/\xff", b"{}", version))
    yield "QoS 2", after_subscription(version, publish(TOPIC, b"{}", version, kind=PUBLISH | 0x04))
    yield "QoS 2", after_subscription(version, publish(TOPIC, b"{}", version, kind=PUBLISH | 0x06))
    too_large = publish(TOPIC, bytes(LARGEST_INCOMING_BYTES + 1), version)
    yield "more than the 65536 allowed", after_subscription(version, too_large)
    announced = packet(PUBLISH, length=LARGEST_VARIABLE_LENGTH)
    yield "more than the 65536 allowed", after_subscription(version, announced)
    yield "more than the 65536 allowed", instead_of(CONNECT, lambda _content: [announced])
    yield "protocol error", after_subscription(version, b"\x30\xff\xff\xff\xff\x7f")
    yield "protocol error", after_subscription(version, packet(PUBLISH, b"\xff"))
    yield "does not answer", instead_of(CONNECT, lambda _content: [b"HTTP/1.1 400 Bad Request\r\n\r\n"])
    yield "Unsupported protocol version", instead_of(CONNECT, lambda _content: [packet(CONNACK, b"\0\1")])
    if version == 5:
        unknown = packet(CONNACK, b"\0\x77\0")
        yield "does not speak MQTT", instead_of(CONNECT, lambda _content: [unknown])
        for code in (b"\x33", b"\xff"):
            yield (
                "protocol error",
                instead_of(PUBLISH, lambda sent, code=code: [packet(PUBACK, packet_id(sent) + code + b"\0")]),
            )
        yield "protocol error", after_subscription(version, packet(0xE0, b"\x77\0"))
    else:
        yield "Unspecified error", instead_of(CONNECT, lambda _content: [packet(CONNACK, b"\0\x77")])


CASES = [
    pytest.param(version, word, hostility, id=f"{version}-{number}-{word}")
    for version in ("3.1.1", 5)
    for number, (word, hostility) in enumerate(hostilities(version))
]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reconnect at once, and wait briefly for answers that never come."""
    monkeypatch.setattr(publisher_module, "FIRST_RECONNECT_S", 0.01)
    monkeypatch.setattr(session_module, "CONNECT_TIMEOUT_S", 0.5)
    monkeypatch.setattr(probe_module, "STEP_S", 0.5)
    monkeypatch.setattr(follower_module, "RECONNECT_AFTER_S", 0.25)


def publisher_at(port: int, version: object) -> Publisher:
    config = MqttConfig(
        host="127.0.0.1",
        port=port,
        version=version,  # type: ignore[arg-type]
        reconnect_longest_s=1,
        acknowledge_timeout_s=0.5,
    )
    publisher = Publisher(config, OneEvent(), "hivewatch-h1")
    publisher.subscribe("hivewatch/h1/command/+", lambda _message: None)
    publisher.start()
    return publisher


@pytest.mark.parametrize(("version", "word", "hostility"), CASES)
@pytest.mark.usefixtures("quick")
def test_the_publisher_says_what_came_and_connects_again(
    version: object, word: str, hostility: Hostility, caplog: pytest.LogCaptureFixture
) -> None:
    with HostileBroker(hostility, version) as broker:
        publisher = publisher_at(broker.port, version)
        wait_until(lambda: broker.connections >= 3, "it connects again and again")
        publisher.check()
        publisher.stop(5)
    assert word.lower() in caplog.text.lower()


@VERSIONS
@pytest.mark.usefixtures("quick")
def test_the_follower_goes_on_after_a_topic_that_is_not_utf_8(version: object) -> None:
    evil = publish(b"hivewatch/\xff/availability", b"online", version)
    good = publish(b"hivewatch/h1/availability", b"online", version)
    received: list[Message] = []
    is_evil = False

    def subscribed(content: bytes) -> Iterable[bytes]:
        properties = b"\0" if version == 5 else b""
        yield packet(SUBACK, content[:2] + properties + b"\1")
        yield good
        if not is_evil:
            return
        yield evil

    with HostileBroker(instead_of(SUBSCRIBE, subscribed), version) as broker:
        config = MqttConfig(host="127.0.0.1", port=broker.port, version=version)  # type: ignore[arg-type]
        following = follow(config, ["hivewatch/+/availability"], received.append)
        wait_until(lambda: next(following) == "" and bool(received), "a message arrives")
        following.close()
        is_evil = True
        troubles = follow(config, ["hivewatch/+/availability"], received.append)
        wait_until(lambda: _trouble(troubles) != "", "the trouble is told")
        is_evil = False
        wait_until(lambda: next(troubles) == "", "it is connected again")
        troubles.close()
    assert {message.topic for message in received} == {"hivewatch/h1/availability"}


def _trouble(troubles: Iterator[str]) -> str:
    try:
        return next(troubles)
    except PublishError as error:  # the first connection of all is not repeated
        return f"{error}"


@pytest.mark.parametrize(("version", "word", "hostility"), CASES)
@pytest.mark.usefixtures("quick")
def test_the_probe_finds_no_working_broker(version: object, word: str, hostility: Hostility) -> None:
    del word
    with HostileBroker(hostility, version) as broker:
        config = MqttConfig(host="127.0.0.1", port=broker.port, version=version)  # type: ignore[arg-type]
        assert probe(config, "hivewatch-h1-doctor", "hivewatch/h1/doctor").outcome is not Outcome.WORKS


@VERSIONS
@pytest.mark.parametrize("kind", [CONNECT, SUBSCRIBE])
@pytest.mark.usefixtures("quick")
def test_a_flood_is_not_read_into_memory(version: object, kind: int) -> None:
    """256 MB are announced, and sent as long as the hive takes them: it hangs up at the announcement."""
    flood = chain([packet(PUBLISH, length=LARGEST_VARIABLE_LENGTH)], repeat(bytes(65_536)))
    with HostileBroker(instead_of(kind, lambda _content: flood), version) as broker:
        publisher = publisher_at(broker.port, version)
        wait_until(lambda: broker.connections >= 2, "the hive has hung up")
        publisher.check()
        publisher.stop(5)
    # What was sent lies in the buffers of the sockets.
    assert broker.sent_bytes < 32_000_000


def test_a_broker_that_does_not_read_the_answers_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each packet of QoS 1 wants an acknowledgement, which waits in memory until the broker reads it."""
    monkeypatch.setattr(client_module, "MOST_ANSWERS", 5)
    # As if no answer ever left: the buffers of real sockets would hold a hundred thousand of them.
    monkeypatch.setattr(client_module.BoundedClient, "_packet_write", lambda _client: 0)
    client = client_module.BoundedClient(CallbackAPIVersion.VERSION2)
    ours, theirs = socket.socketpair()
    client.largest_bytes, client._sock = 100, ours
    theirs.sendall(packet(0xC0) * 20)
    with pytest.raises(PublishError, match="does not read the 6 answers"):
        for _ in range(20):
            client.loop_read()
    ours.close()
    theirs.close()


class OnePicture:
    """An outbox with one picture, which counts how often it was set aside."""

    def __init__(self) -> None:
        self.entries = [OutboxEntry(1, Message("hivewatch/h1/snapshot", bytes(9000), retained=True), True)]
        self.set_aside_count = 0

    def pending(self, _limit: int) -> list[OutboxEntry]:
        return self.entries

    def mark_sent(self, _entry_id: int) -> None:
        self.entries = []

    def set_aside(self, _entry_id: int) -> None:
        self.set_aside_count += 1
        self.entries = []


@VERSIONS
@pytest.mark.usefixtures("quick")
def test_a_picture_is_not_blamed_for_what_the_broker_sends(version: object) -> None:
    count = 0

    def garbage_at_first(kind: int, _content: bytes) -> list[bytes] | None:
        nonlocal count
        count += kind == PUBLISH
        return [packet(PUBLISH, length=LARGEST_VARIABLE_LENGTH)] if kind == PUBLISH and count < 7 else None

    outbox = OnePicture()
    with HostileBroker(garbage_at_first, version) as broker:
        config = MqttConfig(host="127.0.0.1", port=broker.port, version=version, reconnect_longest_s=1)  # type: ignore[arg-type]
        publisher = Publisher(config, outbox, "hivewatch-h1")
        publisher.start()
        assert publisher.drain(60)
        publisher.stop(5)
    assert broker.published == 1
    assert outbox.set_aside_count == 0


@VERSIONS
@pytest.mark.usefixtures("quick")
def test_a_large_message_retained_on_a_command_topic_does_not_keep_back_the_events(
    version: object, caplog: pytest.LogCaptureFixture
) -> None:
    """It comes back at every subscription: after two of them the hive publishes without."""
    retained = publish(TOPIC, bytes(LARGEST_INCOMING_BYTES + 1), version)
    with HostileBroker(after_subscription(version, retained), version) as broker:
        publisher = publisher_at(broker.port, version)
        wait_until(lambda: broker.published >= 3, "events arrive")
        assert publisher.connections <= 3
        publisher.stop(5)
    assert "no commands are received for an hour" in caplog.text


@VERSIONS
@pytest.mark.usefixtures("quick")
def test_a_server_that_never_accepted_the_connection_costs_no_commands(
    version: object, caplog: pytest.LogCaptureFixture
) -> None:
    """A proxy whose broker is away may answer anything; no retained message can be the cause."""
    announced = packet(PUBLISH, length=LARGEST_VARIABLE_LENGTH)
    with HostileBroker(instead_of(CONNECT, lambda _content: [announced]), version) as broker:
        publisher = publisher_at(broker.port, version)
        wait_until(lambda: broker.connections >= 4, "it was tried some times")
        publisher.stop(1)
    assert "no commands are received" not in caplog.text


@VERSIONS
@pytest.mark.usefixtures("quick")
def test_a_packet_of_the_largest_size_is_received(version: object) -> None:
    received: list[Message] = []
    content = len(publish(TOPIC, b"", version)) - 2
    payload = bytes(LARGEST_INCOMING_BYTES - content)
    with HostileBroker(after_subscription(version, publish(TOPIC, payload, version)), version) as broker:
        config = MqttConfig(host="127.0.0.1", port=broker.port, version=version)  # type: ignore[arg-type]
        following = follow(config, [TOPIC.decode()], received.append)
        wait_until(lambda: next(following) == "" and bool(received), "the message arrives")
        following.close()
    assert received[0].payload == payload


@pytest.mark.slow
@VERSIONS
@pytest.mark.usefixtures("quick")
def test_random_answers_end_nothing(version: object) -> None:
    """Random changes to what a broker sends, several in one connection."""
    dice = random.Random(5)

    def mutated(kind: int, content: bytes) -> Iterable[bytes] | None:
        if kind == CONNECT and dice.random() < 0.7:
            return None
        id_ = packet_id(content) if kind == PUBLISH else content[:2]
        good = dice.choice(
            [
                packet(CONNACK, b"\0\0" + b"\0" * (version == 5)),
                packet(PUBACK, id_),
                packet(SUBACK, id_ + b"\0" * (version == 5) + b"\1"),
                publish(TOPIC, b"{}", version, kind=PUBLISH | dice.choice([0, 2, 4])),
                packet(0xE0, b"\x97\0"),
                packet(0xC0),
            ]
        )
        bad = bytearray(good)
        for _ in range(dice.randint(0, 3)):
            bad[dice.randrange(len(bad))] = dice.randrange(256)
        return [bytes(bad), bytes(dice.randrange(20))]

    with HostileBroker(mutated, version) as broker:
        publisher = publisher_at(broker.port, version)
        wait_until(lambda: broker.connections >= 30, "thirty connections")
        publisher.check()
        publisher.stop(5)
