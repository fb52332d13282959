"""The real daemon on a real broker: every message keeps the contract, and commands take effect."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from support.brokers import PATIENCE_S, Broker, Subscriber, wait_until
from support.daemons import ALWAYS_A_HORNET, Daemon
from support.schemas import closed

from hivewatch.messages import contract
from hivewatch.messages.documents import schema
from hivewatch.store import Store

pytestmark = pytest.mark.slow

BASE = "bees/site/hive1/"
LONG_S = 60.0


def sections(broker: Broker, **options: Any) -> dict[str, Any]:
    mqtt = {"host": "127.0.0.1", "port": broker.port, "base_topic": "bees/site", "reconnect_longest_s": 1}
    return {"mqtt": mqtt | {"commands": True, "sighting_pictures": True} | options}


def send(subscriber: Subscriber, leaf: str, payload: bytes = b"", *, retain: bool = False) -> None:
    subscriber._client.publish(BASE + leaf, payload, 1, retain=retain).wait_for_publish(PATIENCE_S)


def answers(subscriber: Subscriber) -> list[dict[str, Any]]:
    return [json.loads(payload) for payload in subscriber.on("command/answer")]


def command(subscriber: Subscriber, leaf: str, payload: bytes = b"") -> dict[str, Any]:
    """Send a command and return its answer."""
    before = len(answers(subscriber))
    send(subscriber, leaf, payload)
    wait_until(lambda: len(answers(subscriber)) > before, f"an answer to {leaf} {payload!r}", LONG_S)
    return answers(subscriber)[before]


def last(subscriber: Subscriber, leaf: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(subscriber.on(leaf)[-1])
    return document


def is_latest(subscriber: Subscriber, leaf: str) -> Callable[[bytes], bool]:
    return lambda payload: subscriber.on(leaf)[-1:] == [payload]


def assert_keeps_the_contract(subscriber: Subscriber, sent: set[str]) -> set[str]:
    """Check every message except those ``sent`` to the hive; return the entries of the contract seen."""
    seen = set()
    for message in subscriber.received:
        assert message.topic.startswith(BASE)
        leaf = message.topic.removeprefix(BASE)
        if leaf in sent:
            continue
        entry = contract.find(leaf)
        assert entry is not None, f"{leaf} is not in the contract"
        seen.add(entry.leaf)
        if entry.schema is not None:
            document = json.loads(message.payload)
            jsonschema.Draft202012Validator(closed(schema(entry.schema))).validate(document)
        elif entry.content_type == contract.JPEG:
            assert message.payload.startswith(b"\xff\xd8")
        else:
            assert message.payload.decode().isascii()
    return seen


@pytest.mark.parametrize("version", ["3.1.1", 5])
def test_every_message_of_a_watch_with_commands_keeps_the_contract(
    tmp_path: Path, tiny_model_path: Path, broker: Broker, version: Any
) -> None:
    """From start to clean stop, with all commands: topics, schemas, and what stays retained."""
    commands = {
        "command/snapshot": b'{"id": "s"}',
        "command/test_alert": b"",
        "threshold/set": b"0.0",
        "command/pause": b'{"duration_s": 3600, "id": "p"}',
        "command/resume": b"",
        "command/reboot": b"",
    }
    at_midnight = {"health": {"summary_at": "00:00"}}
    with (
        Subscriber(broker.port) as subscriber,
        Daemon(tmp_path, tiny_model_path, **sections(broker, version=version), **at_midnight) as daemon,
    ):
        wait_until(lambda: is_latest(subscriber, "hornet/state")(b"ON"), "a hornet is present", LONG_S)
        wait_until(lambda: bool(subscriber.on("snapshot")), "its picture", LONG_S)
        accepted = {
            leaf: command(subscriber, leaf, payload)["accepted"] for leaf, payload in commands.items()
        }
        wait_until(lambda: bool(subscriber.on("summary")), "the summary", LONG_S)
        assert daemon.stop() == 0
        wait_until(lambda: is_latest(subscriber, "availability")(b"offline"), "offline")
    assert accepted == dict.fromkeys(commands, True) | {"command/reboot": False}
    seen = assert_keeps_the_contract(subscriber, set(commands))
    outgoing = {entry.leaf for entry in contract.TOPICS if not entry.incoming}
    assert seen == outgoing - {"backlog"}
    assert subscriber.on("hornet/state")[0] == b"OFF"
    assert subscriber.on("hornet/state")[-1] == b"OFF"
    with Subscriber(broker.port) as late:
        late.wait_for("availability", b"offline")
        wait_until(lambda: len(late.received) >= len(retained_topics()), "all retained messages")
    assert {message.topic.removeprefix(BASE) for message in late.received} == retained_topics()


def retained_topics() -> set[str]:
    return {entry.leaf for entry in contract.TOPICS if entry.retained}


def test_a_pause_ends_the_visit_shows_in_health_and_does_not_survive_a_restart(
    tmp_path: Path, tiny_model_path: Path, broker: Broker
) -> None:
    """The switch shows OFF and no further event arrives; after a restart the daemon watches again."""
    daemon = Daemon(tmp_path, tiny_model_path, **sections(broker))
    with Subscriber(broker.port) as subscriber:
        with daemon:
            wait_until(lambda: is_latest(subscriber, "hornet/state")(b"ON"), "a hornet is present", LONG_S)
            answer = command(subscriber, "detection/set", b"OFF")
            assert (answer["command"], answer["accepted"]) == ("detection", True)
            wait_until(lambda: is_latest(subscriber, "hornet/state")(b"OFF"), "the visit is over")
            wait_until(lambda: is_latest(subscriber, "detection/state")(b"OFF"), "the switch shows it")
            wait_until(lambda: last(subscriber, "health")["paused"], "health shows it", LONG_S)
            assert last(subscriber, "event")["event_type"] == "end"
            count = len(subscriber.on("event"))
            command(subscriber, "command/snapshot")
            command(subscriber, "command/snapshot")
            first, second = subscriber.on("camera/snapshot")
            assert first != second  # frames still arrive
            assert len(subscriber.on("event")) == count
            assert daemon.stop() == 0
        with daemon:
            wait_until(lambda: is_latest(subscriber, "detection/state")(b"ON"), "it watches again", LONG_S)
            wait_until(lambda: is_latest(subscriber, "hornet/state")(b"ON"), "and finds a hornet", LONG_S)
            assert daemon.stop() == 0


def test_a_commanded_threshold_survives_a_restart_until_it_is_reset(
    tmp_path: Path, tiny_model_path: Path, broker: Broker
) -> None:
    """The settings show it beside the YAML's, at which nothing would be a hornet."""
    strict = {"decision": ALWAYS_A_HORNET | {"threshold": 1.0}}
    daemon = Daemon(tmp_path, tiny_model_path, **sections(broker), **strict)
    with Subscriber(broker.port) as subscriber:
        with daemon:
            wait_until(lambda: bool(subscriber.on("settings")), "settings", LONG_S)
            assert command(subscriber, "threshold/set", b"2")["accepted"] is False
            assert subscriber.on("event") == []
            command(subscriber, "threshold/set", b"0.0")
            wait_until(lambda: bool(subscriber.on("event")), "now every frame is a hornet", LONG_S)
            assert daemon.stop() == 0
        before = len(subscriber.on("settings"))
        with daemon:
            wait_until(lambda: len(subscriber.on("settings")) > before, "settings again", LONG_S)
            shown = last(subscriber, "settings")
            assert (shown["threshold"], shown["threshold_yaml"]) == (0.0, 1.0)
            command(subscriber, "command/threshold", b'{"reset": true}')
            wait_until(lambda: is_latest(subscriber, "threshold/state")(b"1"), "the YAML's is in force")
            assert daemon.stop() == 0


def test_with_commands_disabled_the_daemon_ignores_them(
    tmp_path: Path, tiny_model_path: Path, broker: Broker
) -> None:
    """That is the default; the settings show it."""
    with (
        Subscriber(broker.port) as subscriber,
        Daemon(tmp_path, tiny_model_path, **sections(broker, commands=False)) as daemon,
    ):
        wait_until(lambda: is_latest(subscriber, "hornet/state")(b"ON"), "a hornet is present", LONG_S)
        send(subscriber, "command/pause")
        send(subscriber, "detection/set", b"OFF")
        assert daemon.stop() == 0
        wait_until(lambda: is_latest(subscriber, "availability")(b"offline"), "offline")
    assert answers(subscriber) == []
    assert set(subscriber.on("detection/state")) == {b"ON"}
    assert not last(subscriber, "settings")["commands_enabled"]


def test_retained_huge_malformed_and_very_many_commands_change_nothing(
    tmp_path: Path, tiny_model_path: Path, broker: Broker
) -> None:
    """Two hundred of them through the broker: the daemon keeps running, and its settings stay the same."""
    with Subscriber(broker.port) as subscriber:
        send(subscriber, "command/pause", b"{}", retain=True)
        with Daemon(tmp_path, tiny_model_path, **sections(broker)) as daemon:
            wait_until(lambda: is_latest(subscriber, "hornet/state")(b"ON"), "a hornet is present", LONG_S)
            large = command(subscriber, "command/threshold", b'{"value": 0.5}' + b" " * 50_000)
            assert large["message"].startswith("longer than 4096 bytes")
            # Above 64 kB it is not even read: the hive hangs up, and comes back.
            send(subscriber, "command/threshold", b'{"value": 0.5}' + b" " * 1_000_000)
            wait_until(
                lambda: subscriber.on("availability")[-2:] == [b"offline", b"online"], "it is back", LONG_S
            )
            for number in range(1, 201):
                subscriber._client.publish(f"{BASE}command/pause", b"\xff" * number, 1)
            wait_until(
                lambda: any("too" in answer["message"] for answer in answers(subscriber)),
                "the flood is answered",
                LONG_S,
            )
            assert daemon.stop() == 0
        assert not any(answer["accepted"] for answer in answers(subscriber))
        assert set(subscriber.on("detection/state")) == {b"ON"}
        assert "clear it on the broker" in daemon.log
        assert "Traceback" not in daemon.log
        send(subscriber, "command/pause", retain=True)


def test_each_picture_is_also_on_the_topic_of_its_own_visit(
    tmp_path: Path, tiny_model_path: Path, broker: Broker
) -> None:
    """The same bytes, and the event names that topic."""
    with (
        Subscriber(broker.port) as subscriber,
        Daemon(tmp_path, tiny_model_path, **sections(broker)) as daemon,
    ):
        wait_until(lambda: bool(subscriber.on("event")), "an event", LONG_S)
        own = last(subscriber, "event")["snapshot"]["own_topic"]
        wait_until(lambda: any(m.topic == own for m in subscriber.received), "its own picture", LONG_S)
        assert daemon.stop() == 0
    (picture, *_) = (message.payload for message in subscriber.received if message.topic == own)
    assert picture in subscriber.on("snapshot")
    with Store(daemon.store) as store:
        assert own == f"{BASE}sighting/{store.sightings(1)[0].id}/snapshot"
