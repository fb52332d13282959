"""What the daemon tells Home Assistant: at the start, again when asked, taken back when switched off."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import paho.mqtt.publish as publish
from support.brokers import Broker, Subscriber, wait_until
from support.daemons import Daemon

from hivewatch.config.sections import Config
from hivewatch.domain.wire import Message
from hivewatch.mqtt.publisher import Publisher
from hivewatch.store import Store

NEVER = {"threshold": 1.0, "release": 1.0}
TOPIC = "device/hivewatch_hive1/config"
ON, OFF = {"enabled": True}, {"enabled": False}


def mqtt(broker: Broker) -> dict[str, object]:
    return {"host": "127.0.0.1", "port": broker.port, "reconnect_longest_s": 1}


def started(tmp_path: Path, model: Path, broker: Broker, homeassistant: dict[str, object]) -> Daemon:
    return Daemon(tmp_path, model, mqtt=mqtt(broker), decision=NEVER, homeassistant=homeassistant)


def retained(broker: Broker, leaf: str) -> list[bytes]:
    """Return what the broker keeps on topics ending in ``leaf``."""
    with Subscriber(broker.port) as subscriber:
        publish.single("end/marker", "", hostname="127.0.0.1", port=broker.port)
        wait_until(lambda: bool(subscriber.on("marker")), "all that was retained has come")
        return [m.payload for m in subscriber.received if m.retained and m.topic.endswith(leaf)]


def test_a_daemon_switched_on_is_told_of_and_tells_again_when_home_assistant_starts(
    tmp_path: Path, tiny_model_path: Path, broker: Broker
) -> None:
    with Subscriber(broker.port) as subscriber, started(tmp_path, tiny_model_path, broker, ON) as daemon:
        wait_until(lambda: bool(subscriber.on(TOPIC)), "the device is told of", 60)
        wait_until(lambda: bool(subscriber.on("health")), "the health comes", 60)
        wait_until(lambda: bool(subscriber.on("detection/state")), "the settings come", 60)
        assert json.loads(subscriber.on(TOPIC)[0])["device"]["identifiers"] == ["hivewatch_hive1"]
        before = {leaf: len(subscriber.on(leaf)) for leaf in (TOPIC, "health", "detection/state")}
        publish.single("homeassistant/status", "offline", hostname="127.0.0.1", port=broker.port)
        publish.single("homeassistant/status", "online", hostname="127.0.0.1", port=broker.port)
        for leaf, count in before.items():
            wait_until(lambda leaf=leaf, n=count: len(subscriber.on(leaf)) > n, f"{leaf} is told again", 60)
        assert len(subscriber.on(TOPIC)) == 2
        assert daemon.stop() == 0
    # A stop is no farewell: Home Assistant shows the hive as unavailable.
    assert retained(broker, TOPIC)


def test_everything_that_its_availability_waits_for_is_said_without_any_hornet(
    tmp_path: Path, tiny_model_path: Path, broker: Broker
) -> None:
    with Subscriber(broker.port) as subscriber, started(tmp_path, tiny_model_path, broker, ON):
        wait_until(lambda: bool(subscriber.on(TOPIC)), "the device is told of", 60)
        entities = json.loads(subscriber.on(TOPIC)[0])["components"].values()
        topics = {
            entity[key]
            for entity in entities
            for key in ("state_topic", "json_attributes_topic")
            if key in entity
        }
        topics |= {a["topic"] for entity in entities for a in entity.get("availability", [])}
        said_with_a_visit = {"hivewatch/hive1/event"}
        wait_until(
            lambda: topics - {m.topic for m in subscriber.received} <= said_with_a_visit,
            "each topic that Home Assistant reads is said",
            60,
        )


def test_switched_off_at_a_reload_the_device_is_taken_away_and_switched_on_it_is_back(
    tmp_path: Path, tiny_model_path: Path, broker: Broker
) -> None:
    with Subscriber(broker.port) as subscriber, started(tmp_path, tiny_model_path, broker, ON) as daemon:
        wait_until(lambda: bool(subscriber.on(TOPIC)), "the device is told of", 60)
        daemon.configure(homeassistant=OFF)
        daemon.signal(signal.SIGHUP)
        subscriber.wait_for(TOPIC, b"")
        assert retained(broker, TOPIC) == []
        daemon.configure(homeassistant=ON)
        daemon.signal(signal.SIGHUP)
        wait_until(lambda: bool(subscriber.on(TOPIC)[-1]), "the device is back", 60)
        assert "takes effect at the next start only" not in daemon.log
        publish.single("homeassistant/status", "online", hostname="127.0.0.1", port=broker.port)
        wait_until(lambda: len(subscriber.on(TOPIC)) >= 4, "it is told again", 60)
        assert len(subscriber.on(TOPIC)) == 4


def test_switched_off_while_stopped_the_device_is_taken_away_at_the_next_start(
    tmp_path: Path, tiny_model_path: Path, broker: Broker
) -> None:
    with Subscriber(broker.port) as subscriber, started(tmp_path, tiny_model_path, broker, ON) as daemon:
        wait_until(lambda: bool(subscriber.on(TOPIC)), "the device is told of", 60)
        assert daemon.stop() == 0
    renamed = {"enabled": True, "prefix": "ha"}
    with Subscriber(broker.port) as subscriber, started(tmp_path, tiny_model_path, broker, renamed):
        wait_until(lambda: subscriber.on(TOPIC).count(b"") >= 1, "the old one is taken away", 60)
        wait_until(
            lambda: len([m for m in subscriber.received if m.topic.startswith("ha/")]) >= 1, "told", 60
        )
    assert len(retained(broker, TOPIC)) == 1


def test_a_daemon_that_was_never_switched_on_writes_under_its_base_topic_only(
    tmp_path: Path, tiny_model_path: Path, broker: Broker
) -> None:
    with Subscriber(broker.port) as subscriber, started(tmp_path, tiny_model_path, broker, OFF) as daemon:
        wait_until(lambda: bool(subscriber.on("health")), "the health comes", 60)
        assert daemon.stop() == 0
    assert {message.topic.split("/")[0] for message in subscriber.received} == {"hivewatch"}


def test_a_publisher_listens_to_what_it_is_asked_for_while_connected(tmp_path: Path, broker: Broker) -> None:
    heard: list[Message] = []
    config = Config.model_validate({"mqtt": mqtt(broker)})
    with Store(tmp_path / "store") as store:
        publisher = Publisher(config.mqtt, store, "hive")
        publisher.start()
        wait_until(lambda: publisher.is_connected, "it is connected")
        publisher.listen("some/+", heard.append)

        def arrived() -> bool:
            publish.single("some/thing", "x", hostname="127.0.0.1", port=broker.port)
            return bool(heard)

        wait_until(arrived, "it hears")
        publisher.stop(5)
    assert heard[0].topic == "some/thing"
