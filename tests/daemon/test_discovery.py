"""Home Assistant discovery: announced at start, again on request, removed when disabled."""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
from pathlib import Path

import paho.mqtt.publish as publish
import pytest
from support.brokers import Broker, Subscriber, wait_until
from support.daemons import Daemon
from support.machines import Machine
from support.rig import NOON_IN_PARIS, Rig
from support.salvage_trials import spoil_index
from support.visits import record_visits

from hivewatch.config.sections import Config
from hivewatch.daemon.discovery import DiscoveryService
from hivewatch.daemon.recorder import daemon_publisher
from hivewatch.domain.wire import Message
from hivewatch.errors import DiskFullError
from hivewatch.mqtt.publisher import Publisher
from hivewatch.store import MADE_BY, Store

NEVER = {"threshold": 1.0, "release": 1.0}
TOPIC = "device/hivewatch_hive1/config"
ON, OFF = {"enabled": True}, {"enabled": False}


def mqtt(broker: Broker) -> dict[str, object]:
    return {"host": "127.0.0.1", "port": broker.port, "reconnect_longest_s": 1}


def started(tmp_path: Path, model: Path, broker: Broker, homeassistant: dict[str, object]) -> Daemon:
    return Daemon(tmp_path, model, mqtt=mqtt(broker), decision=NEVER, homeassistant=homeassistant)


def retained(broker: Broker, leaf: str) -> list[bytes]:
    """Return what the broker retains on topics ending in ``leaf``."""
    with Subscriber(broker.port) as subscriber:
        publish.single("end/marker", "", hostname="127.0.0.1", port=broker.port)
        wait_until(lambda: bool(subscriber.on("marker")), "all retained messages have arrived")
        return [m.payload for m in subscriber.received if m.retained and m.topic.endswith(leaf)]


@pytest.mark.slow
def test_the_hive_is_announced_at_start_and_again_when_home_assistant_starts(
    tmp_path: Path, tiny_model_path: Path, broker: Broker
) -> None:
    with Subscriber(broker.port) as subscriber, started(tmp_path, tiny_model_path, broker, ON) as daemon:
        wait_until(lambda: bool(subscriber.on(TOPIC)), "the device is announced", 60)
        wait_until(lambda: bool(subscriber.on("health")), "the health arrives", 60)
        wait_until(lambda: bool(subscriber.on("detection/state")), "the settings arrive", 60)
        assert json.loads(subscriber.on(TOPIC)[0])["device"]["identifiers"] == ["hivewatch_hive1"]
        before = {leaf: len(subscriber.on(leaf)) for leaf in (TOPIC, "health", "detection/state")}
        publish.single("homeassistant/status", "offline", hostname="127.0.0.1", port=broker.port)
        publish.single("homeassistant/status", "online", hostname="127.0.0.1", port=broker.port)
        for leaf, count in before.items():
            wait_until(
                lambda leaf=leaf, n=count: len(subscriber.on(leaf)) > n, f"{leaf} is published again", 60
            )
        assert len(subscriber.on(TOPIC)) == 2
        assert daemon.stop() == 0
    # A stopped daemon stays announced: Home Assistant shows the hive as unavailable.
    assert retained(broker, TOPIC)


@pytest.mark.slow
def test_every_topic_of_the_entities_is_published_without_any_hornet(
    tmp_path: Path, tiny_model_path: Path, broker: Broker
) -> None:
    with Subscriber(broker.port) as subscriber, started(tmp_path, tiny_model_path, broker, ON):
        wait_until(lambda: bool(subscriber.on(TOPIC)), "the device is announced", 60)
        entities = json.loads(subscriber.on(TOPIC)[0])["components"].values()
        topics = {
            entity[key]
            for entity in entities
            for key in ("state_topic", "json_attributes_topic")
            if key in entity
        }
        topics |= {a["topic"] for entity in entities for a in entity.get("availability", [])}
        published_with_a_visit = {"hivewatch/hive1/event"}
        wait_until(
            lambda: topics - {m.topic for m in subscriber.received} <= published_with_a_visit,
            "each topic that Home Assistant reads is published",
            60,
        )


@pytest.mark.slow
def test_disabled_at_a_reload_the_device_is_removed_and_enabled_it_returns(
    tmp_path: Path, tiny_model_path: Path, broker: Broker
) -> None:
    with Subscriber(broker.port) as subscriber, started(tmp_path, tiny_model_path, broker, ON) as daemon:
        wait_until(lambda: bool(subscriber.on(TOPIC)), "the device is announced", 60)
        daemon.configure(homeassistant=OFF)
        daemon.signal(signal.SIGHUP)
        subscriber.wait_for(TOPIC, b"")
        assert retained(broker, TOPIC) == []
        daemon.configure(homeassistant=ON)
        daemon.signal(signal.SIGHUP)
        wait_until(lambda: bool(subscriber.on(TOPIC)[-1]), "the device is back", 60)
        assert "takes effect at the next start only" not in daemon.log
        publish.single("homeassistant/status", "online", hostname="127.0.0.1", port=broker.port)
        wait_until(lambda: len(subscriber.on(TOPIC)) >= 4, "it is announced again", 60)
        assert len(subscriber.on(TOPIC)) == 4


@pytest.mark.slow
def test_disabled_while_stopped_the_device_is_removed_at_the_next_start(
    tmp_path: Path, tiny_model_path: Path, broker: Broker
) -> None:
    with Subscriber(broker.port) as subscriber, started(tmp_path, tiny_model_path, broker, ON) as daemon:
        wait_until(lambda: bool(subscriber.on(TOPIC)), "the device is announced", 60)
        assert daemon.stop() == 0
    renamed = {"enabled": True, "prefix": "ha"}
    with Subscriber(broker.port) as subscriber, started(tmp_path, tiny_model_path, broker, renamed):
        wait_until(lambda: subscriber.on(TOPIC).count(b"") >= 1, "the old one is removed", 60)
        wait_until(
            lambda: any(m.topic.startswith("ha/") for m in subscriber.received), "announced under ha", 60
        )
    assert len(retained(broker, TOPIC)) == 1


@pytest.mark.slow
def test_with_discovery_disabled_the_daemon_writes_only_under_its_base_topic(
    tmp_path: Path, tiny_model_path: Path, broker: Broker
) -> None:
    with Subscriber(broker.port) as subscriber, started(tmp_path, tiny_model_path, broker, OFF) as daemon:
        wait_until(lambda: bool(subscriber.on("health")), "the health arrives", 60)
        assert daemon.stop() == 0
    assert {message.topic.split("/")[0] for message in subscriber.received} == {"hivewatch"}


def test_a_subscription_made_while_connected_takes_effect(tmp_path: Path, broker: Broker) -> None:
    received_messages: list[Message] = []
    config = Config.model_validate({"mqtt": mqtt(broker)})
    with Store(tmp_path / "store") as store:
        publisher = Publisher(config.mqtt, store, "hive")
        publisher.start()
        wait_until(lambda: publisher.is_connected, "it is connected")
        publisher.subscribe("some/+", received_messages.append)

        def arrived() -> bool:
            publish.single("some/thing", "x", hostname="127.0.0.1", port=broker.port)
            return bool(received_messages)

        wait_until(arrived, "the message arrives")
        publisher.stop(5)
    assert received_messages[0].topic == "some/thing"


def test_every_announced_topic_is_remembered_once_across_restarts(tmp_path: Path) -> None:
    """Whatever the prefix was when it was announced, a later start can still remove it."""
    for prefix in ("homeassistant", "ha", "homeassistant"):
        config = Config.model_validate({"homeassistant": {"enabled": True, "prefix": prefix}})
        rig = Rig(tmp_path / "store", config)
        rig.add(DiscoveryService(config, rig.recorder))
        announced = rig.store.recall("announced-topics") or ""
        rig.store.close()
    assert announced.splitlines() == [
        "ha/device/hivewatch_hive1/config",
        "homeassistant/device/hivewatch_hive1/config",
    ]


@pytest.mark.parametrize("spoilt", ["#ivewatch_old", "hive+atch_old", "hivewatch\x1fold", "hivewatch\x7fold"])
def test_a_remembered_topic_with_a_flipped_bit_keeps_back_no_event(
    tmp_path: Path, broker: Broker, spoilt: str
) -> None:
    """It can no longer be cleared, but every connection would end on the attempt."""
    config = Config.model_validate({"mqtt": mqtt(broker), "homeassistant": ON})
    with Store(tmp_path / "store") as store:
        good = "ha/device/hivewatch_old/config"
        store.remember("announced-topics", f"homeassistant/device/{spoilt}/config\n{good}")
        record_visits(store, [1])
        rig = Rig(tmp_path / "other", config)
        rig.recorder.store = store
        rig.add(DiscoveryService(config, rig.recorder))
        assert good in {message.topic for message in rig.publisher.states}
        publisher = Publisher(config.mqtt, store, "hive")
        for state in rig.publisher.states:
            publisher.publish_state(state)
        publisher.start()
        wait_until(lambda: store.outbox_depth() == 0, "the event has arrived")
        publisher.stop(5)
        rig.store.close()


def announced_by(directory: Path, base_topic: str) -> set[str]:
    """Return the topics that a hive with the store in ``directory`` announces itself on."""
    config = Config.model_validate({"homeassistant": ON, "mqtt": {"base_topic": base_topic}})
    rig = Rig(directory, config)
    rig.add(DiscoveryService(config, rig.recorder))
    rig.store.close()
    return {message.topic for message in rig.publisher.states if message.payload}


def test_two_hives_of_one_id_under_two_base_topics_are_two_devices(tmp_path: Path) -> None:
    north, south = (announced_by(tmp_path / site, f"bees/{site}") for site in ("north", "south"))
    assert north != south


def test_an_installation_that_exists_keeps_its_ids(tmp_path: Path) -> None:
    """A store without the mark of its maker was made before the base topic became part of the ids."""
    with Store(tmp_path / "old") as store:
        store.remember(MADE_BY, None)
    for _ in range(2):
        assert announced_by(tmp_path / "old", "bees/north") == {f"homeassistant/{TOPIC}"}


def test_an_installation_of_0_3_keeps_its_ids_if_a_person_deletes_its_database(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "announced-topics").write_text(f"homeassistant/{TOPIC}\n")
    for _ in range(2):
        assert announced_by(tmp_path / "old", "bees/north") == {f"homeassistant/{TOPIC}"}


@pytest.mark.parametrize("interruption", ["damaged", "moved aside", "half moved"])
def test_an_installation_of_0_3_keeps_its_ids_if_its_database_is_damaged(
    tmp_path: Path, interruption: str
) -> None:
    database = tmp_path / "hivewatch.db"
    with Store(tmp_path) as store:
        record_visits(store, range(3))
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("DROP TABLE state")
    spoil_index(database)
    aside = tmp_path / "hivewatch.db.damaged-20261001T080000Z"
    if interruption != "damaged":
        database.rename(aside)
    if interruption == "half moved":
        database.write_bytes(b"")
    for _ in range(2):
        assert announced_by(tmp_path, "bees/north") == {f"homeassistant/{TOPIC}"}


def test_a_new_installation_keeps_its_ids_over_restarts(tmp_path: Path) -> None:
    first, second = (announced_by(tmp_path / "new", "bees/north") for _ in range(2))
    assert first == second != {f"homeassistant/{TOPIC}"}


def test_under_the_default_base_topic_the_ids_are_the_old_ones(tmp_path: Path) -> None:
    assert announced_by(tmp_path / "new", "hivewatch") == {f"homeassistant/{TOPIC}"}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "hivewatch-hive1"),
        ({"base_topic": "bees/north"}, "hivewatch-hive1-322cd311"),
        ({"base_topic": "bees/north", "client_id": "mine"}, "mine"),
    ],
)
def test_the_client_id_is_as_distinct_as_the_device(
    tmp_path: Path, options: dict[str, str], expected: str
) -> None:
    config = Config.model_validate({"mqtt": options})
    with Store(tmp_path / "store") as store:
        publisher = daemon_publisher(config, store, Machine(NOON_IN_PARIS).clock, None)
        assert publisher._client_id == expected


def test_a_commanded_threshold_announces_nothing_again_and_a_changed_section_does(tmp_path: Path) -> None:
    """A slider sends many of them, and each new subscription lets the broker repeat retained messages."""
    config = Config.model_validate({"homeassistant": {"enabled": True}})
    rig = Rig(tmp_path / "store", config)
    rig.add(DiscoveryService(config, rig.recorder))
    rig.configuration.set_threshold(0.9)
    assert [message.topic for message in rig.publisher.states] == [f"homeassistant/{TOPIC}"]
    assert rig.publisher.subscribed == ["homeassistant/status"]
    (tmp_path / "store" / "hive.yaml").write_text(
        "camera: {kind: simulator}\nhomeassistant: {enabled: true, prefix: ha}\n"
    )
    rig.configuration.reload()
    rig.store.close()
    assert {message.topic: bool(message.payload) for message in rig.publisher.states} == {
        f"ha/{TOPIC}": True,
        f"homeassistant/{TOPIC}": False,
    }
    assert rig.publisher.subscribed == ["homeassistant/status", "ha/status"]


def test_a_full_disk_does_not_prevent_the_announcement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(_key: str, _value: str | None) -> None:
        raise DiskFullError("the disk is full")

    config = Config.model_validate({"homeassistant": {"enabled": True}})
    rig = Rig(tmp_path / "store", config)
    monkeypatch.setattr(rig.store, "remember", full)
    rig.add(DiscoveryService(config, rig.recorder))
    rig.store.close()
    assert [message.topic for message in rig.publisher.states] == [f"homeassistant/{TOPIC}"]
    assert "will stay on the broker when discovery is disabled: the disk is full" in caplog.text
