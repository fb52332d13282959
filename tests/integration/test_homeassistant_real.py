"""A real Home Assistant with a real broker: the hive appears, its states are right, nothing is stuck.

Home Assistant is started once for all tests; each test uses its own hive.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import yaml
from support.brokers import Broker, Subscriber, wait_until
from support.homeassistant_tree import SLOW_S, HomeAssistant
from support.paths import PROJECT
from support.spoken_hive import SpokenHive

from hivewatch.domain.sightings import Phase
from hivewatch.domain.wire import Message
from hivewatch.messages.homeassistant import discovery_topic
from hivewatch.messages.topics import hive_key

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]

DEPLOY = PROJECT / "deploy" / "homeassistant"
BLUEPRINT = DEPLOY / "hornet-visit.yaml"
CARD = DEPLOY / "card.yaml"
NO_STATE = {"unavailable", "unknown"}
# Entities whose state is the time of the last press, event or picture: unknown until the first one.
UNKNOWN_AT_FIRST = {"event", "image", "button"}


class Phone:
    """The push service of the app's vendor: receives the notifications for a phone."""

    def __init__(self) -> None:
        self.device_id = ""
        self.notifications: list[dict[str, Any]] = []
        received = self.notifications

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(201)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_words: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/push"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def register(self, home: HomeAssistant) -> None:
        """Register the app with Home Assistant."""
        registration = {
            "app_id": "hivewatch.test",
            "app_name": "App",
            "app_version": "1",
            "device_id": "phone",
            "device_name": "Phone",
            "manufacturer": "Nobody",
            "model": "1",
            "os_name": "Linux",
            "os_version": "1",
            "supports_encryption": False,
            "app_data": {"push_token": "token", "push_url": self.url},
        }
        home.post("/api/mobile_app/registrations", registration)
        found: list[str] = []

        def is_there() -> bool:
            devices = home.command(type="config/device_registry/list")
            found.extend(device["id"] for device in devices if device["name"] == "Phone")
            return bool(found)

        wait_until(is_there, "the phone is a device", SLOW_S)
        self.device_id = found[0]

    def about(self, hive: SpokenHive) -> list[dict[str, Any]]:
        """Return the notifications about a hive."""
        return [sent for sent in self.notifications if hive.config.hive.name in sent["title"]]

    def close(self) -> None:
        """Stop the server."""
        self._server.shutdown()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = Broker(tmp_path_factory.mktemp("broker"))
    yield broker.start()
    broker.kill()


@pytest.fixture(scope="module")
def home(broker: Broker) -> Iterator[HomeAssistant]:
    files = {
        f"blueprints/automation/hivewatch/{BLUEPRINT.name}": BLUEPRINT.read_text(),
        "hive-card.yaml": yaml.safe_dump(
            {"views": [{"title": "Hive", "cards": [yaml.safe_load(CARD.read_text())]}]}
        ),
    }
    home = HomeAssistant(files)
    try:
        home.start()
        home.become_owner()
        home.add_mqtt(broker.port)
        yield home
        print(home.log)
    finally:
        home.remove()


@pytest.fixture(scope="module")
def phone(home: HomeAssistant) -> Iterator[Phone]:
    phone = Phone()
    phone.register(home)
    yield phone
    phone.close()


def alert_the_phone(home: HomeAssistant, phone: Phone, hive: SpokenHive, **inputs: object) -> None:
    """Create an automation from the blueprint for a hive."""
    name = hive.config.hive.id
    inputs = {
        "visit": f"event.hivewatch_{name}_visit",
        "picture": f"image.hivewatch_{name}_picture",
        "phone": phone.device_id,
        **inputs,
    }
    blueprint = {"path": f"hivewatch/{BLUEPRINT.name}", "input": inputs}
    home.post(f"/api/config/automation/config/{name}", {"alias": name, "use_blueprint": blueprint})
    home.wait_for(f"automation.{name}", "on")
    home.wait_for(f"event.hivewatch_{name}_visit", lambda state: state != "unavailable")


def test_every_entity_appears_and_none_is_stuck(home: HomeAssistant, broker: Broker) -> None:
    with SpokenHive(broker.port, "all", mqtt={"commands": True}) as hive:
        hive.say(Message("hivewatch/latest_version", b"0.2.0", retained=True))
        home.wait_for("update.hivewatch_all_update", "on")
        home.wait_for("sensor.hivewatch_all_cpu_temperature", "51.5")
        states = home.states("all")
    assert states.keys() == {
        *("binary_sensor.hivewatch_all_hornet", "binary_sensor.hivewatch_all_camera"),
        *("event.hivewatch_all_visit", "image.hivewatch_all_picture"),
        *("sensor.hivewatch_all_visits_today", "sensor.hivewatch_all_pressure"),
        *("sensor.hivewatch_all_frame_age", "sensor.hivewatch_all_outbox"),
        *("sensor.hivewatch_all_cpu_temperature", "update.hivewatch_all_update"),
        *("switch.hivewatch_all_detection", "number.hivewatch_all_threshold"),
        "button.hivewatch_all_test_alert",
    }
    stuck = {entity for entity, state in states.items() if state in NO_STATE}
    assert {entity.split(".")[0] for entity in stuck} <= UNKNOWN_AT_FIRST
    assert "unavailable" not in states.values()


def test_all_entities_belong_to_one_device_named_as_the_hive(home: HomeAssistant, broker: Broker) -> None:
    with SpokenHive(broker.port, "device"):
        home.wait_for("binary_sensor.hivewatch_device_hornet", "off")
        devices = home.command(type="config/device_registry/list")
        entities = home.command(type="config/entity_registry/list")
    (device,) = [found for found in devices if found["name"] == "Hive device"]
    assert device["manufacturer"] == "hivewatch"
    owners = {e["device_id"] for e in entities if ".hivewatch_device_" in e["entity_id"]}
    assert owners == {device["id"]}


def test_without_commands_there_are_no_controls(home: HomeAssistant, broker: Broker) -> None:
    with SpokenHive(broker.port, "quiet"):
        home.wait_for("binary_sensor.hivewatch_quiet_hornet", "off")
        platforms = {entity.split(".")[0] for entity in home.states("quiet")}
    assert not platforms & {"switch", "number", "button"}


def test_a_visit_sets_the_right_states_and_serves_its_picture(home: HomeAssistant, broker: Broker) -> None:
    with SpokenHive(broker.port, "visited") as hive:
        home.wait_for("event.hivewatch_visited_visit", "unknown")
        hive.visit("v1", [Phase.START, Phase.UPDATE])
        hive.pressure(sightings_today=1, level="amber")
        home.wait_for("binary_sensor.hivewatch_visited_hornet", "on")
        picture = hive.visit("v1", [Phase.END])
        home.wait_for("binary_sensor.hivewatch_visited_hornet", "off")
        home.wait_for("sensor.hivewatch_visited_visits_today", "1")
        pressure = home.wait_for("sensor.hivewatch_visited_pressure", "amber")
        wait_until(
            lambda: home.state("event.hivewatch_visited_visit")["attributes"]["event_type"] == "end",
            "the end of the visit arrives",
            SLOW_S,
        )
        event = home.state("event.hivewatch_visited_visit")["attributes"]
        wait_until(
            lambda: home.fetch("/api/image_proxy/image.hivewatch_visited_picture") == picture,
            "the picture is served",
            SLOW_S,
        )
    assert pressure["attributes"]["minutes_today"] == 0.5
    assert event["sighting_id"] == "v1"
    assert event["snapshot"]["sha256"] == hashlib.sha256(picture).hexdigest()


@pytest.mark.parametrize("hive_id", ["My-Hive_7"])
def test_any_id_that_hivewatch_allows_works(home: HomeAssistant, broker: Broker, hive_id: str) -> None:
    with SpokenHive(broker.port, hive_id):
        home.wait_for("binary_sensor.hivewatch_my_hive_7_hornet", "off")


def test_no_hornet_is_reported_only_while_the_camera_and_detection_work(
    home: HomeAssistant, broker: Broker
) -> None:
    hornet = "binary_sensor.hivewatch_blind_hornet"
    with SpokenHive(broker.port, "blind") as hive:
        home.wait_for(hornet, "off")
        hive.camera("offline", "no frames")
        home.wait_for(hornet, "unavailable")
        home.wait_for("binary_sensor.hivewatch_blind_camera", "on")
        hive.camera("degraded", "slow")
        home.wait_for(hornet, "off")
        hive.retain("detection/state", "OFF")
        home.wait_for(hornet, "unavailable")
        hive.retain("detection/state", "ON")
        home.wait_for(hornet, "off")


def test_a_hive_that_loses_power_becomes_unavailable_and_comes_back(
    home: HomeAssistant, broker: Broker
) -> None:
    with SpokenHive(broker.port, "power") as hive:
        home.wait_for("sensor.hivewatch_power_outbox", "0")
        hive.break_off()
        home.wait_for("sensor.hivewatch_power_outbox", "unavailable")
        assert set(home.states("power").values()) == {"unavailable"}
    with SpokenHive(broker.port, "power"):
        home.wait_for("sensor.hivewatch_power_outbox", "0")


def test_switch_and_number_command_the_hive(home: HomeAssistant, broker: Broker) -> None:
    with (
        SpokenHive(broker.port, "commanded", mqtt={"commands": True}),
        Subscriber(broker.port) as subscriber,
    ):
        home.wait_for("switch.hivewatch_commanded_detection", "on")
        home.wait_for("number.hivewatch_commanded_threshold", lambda state: float(state) == 0.8)
        home.post("/api/services/switch/turn_off", {"entity_id": "switch.hivewatch_commanded_detection"})
        subscriber.wait_for("detection/set", b"OFF")
        number = {"entity_id": "number.hivewatch_commanded_threshold", "value": 0.92}
        home.post("/api/services/number/set_value", number)
        subscriber.wait_for("threshold/set", b"0.92")
        home.post("/api/services/button/press", {"entity_id": "button.hivewatch_commanded_test_alert"})
        subscriber.wait_for("command/test_alert", b"{}")


def test_an_empty_document_removes_the_device(home: HomeAssistant, broker: Broker) -> None:
    with SpokenHive(broker.port, "gone") as hive:
        home.wait_for("binary_sensor.hivewatch_gone_hornet", "off")
        hive.say(Message(discovery_topic(hive.config, hive_key(hive.config)), b"", retained=True))
        wait_until(lambda: not home.states("gone"), "the entities are gone", SLOW_S)
        devices = home.command(type="config/device_registry/list")
    assert not [device for device in devices if device["name"] == "Hive gone"]


def test_each_new_visit_sends_its_picture_to_the_phone_once(
    home: HomeAssistant, broker: Broker, phone: Phone
) -> None:
    with SpokenHive(broker.port, "alarmed") as hive:
        alert_the_phone(home, phone, hive)
        for number in range(3):
            event, snapshot = hive.alert(f"v{number}", Phase.START)
            hive.say(event, event)  # sent twice, as after a lost connection
            hive.say(snapshot)
            notified = f"the phone is notified of visit {number}"
            wait_until(lambda n=number: len(phone.about(hive)) > n, notified, SLOW_S)
            notification = phone.about(hive)[-1]
            assert notification["data"]["tag"] == f"v{number}"
            assert home.fetch(notification["data"]["image"]) == snapshot.payload
            hive.visit(f"v{number}", [Phase.UPDATE, Phase.END])
        # When the last visit has arrived, nothing from before is still on its way.
        hive.visit("last", [Phase.START])
        wait_until(lambda: phone.about(hive)[-1]["data"]["tag"] == "last", "the last visit arrives", SLOW_S)
        assert [sent["data"]["tag"] for sent in phone.about(hive)] == ["v0", "v1", "v2", "last"]


def test_a_late_visit_is_notified_without_a_picture_that_may_belong_to_another(
    home: HomeAssistant, broker: Broker, phone: Phone
) -> None:
    with SpokenHive(broker.port, "late") as hive:
        alert_the_phone(home, phone, hive)
        hive.visit("old", [Phase.START], age_s=7200)
        wait_until(lambda: len(phone.about(hive)) >= 1, "the phone is notified of the visit", SLOW_S)
    (notification,) = phone.about(hive)
    assert "image" not in notification["data"]
    assert "Delayed" in notification["message"]


def test_a_visit_whose_picture_does_not_arrive_is_notified_without(
    home: HomeAssistant, broker: Broker, phone: Phone
) -> None:
    with SpokenHive(broker.port, "unseen") as hive:
        alert_the_phone(home, phone, hive, patience=5)
        hive.say(hive.alert("v1", Phase.START)[0])
        wait_until(lambda: len(phone.about(hive)) >= 1, "the phone is notified of the visit", SLOW_S)
    (notification,) = phone.about(hive)
    assert "image" not in notification["data"]
    assert "has not arrived yet" in notification["message"]


def test_the_card_is_loaded_and_names_entities_that_exist(home: HomeAssistant, broker: Broker) -> None:
    with SpokenHive(broker.port, "hive1"):
        home.wait_for("binary_sensor.hivewatch_hive1_hornet", "off")
        home.wait_for("sensor.hivewatch_hive1_cpu_temperature", "51.5")
        loaded = home.command(type="lovelace/config", url_path="hive-card")
        there = home.states("hive1")
    assert loaded["views"][0]["cards"] == [yaml.safe_load(CARD.read_text())]
    named = set(entities_of(loaded))
    assert named
    assert named <= set(there)


def entities_of(node: object) -> Iterator[str]:
    """Yield every entity that a dashboard names."""
    if isinstance(node, dict):
        if isinstance(node.get("entity"), str):
            yield node["entity"]
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            yield from entities_of(item)


@pytest.fixture(scope="module", autouse=True)
def hive_without_health(home: HomeAssistant, broker: Broker) -> Iterator[SpokenHive]:
    """A hive that publishes health only once, early: Home Assistant takes 30 s to expire it."""
    with SpokenHive(broker.port, "stale", health={"interval_s": 1.0}) as hive:
        home.wait_for("sensor.hivewatch_stale_frame_age", "0.3")
        yield hive


def test_a_health_document_that_is_not_renewed_expires(
    home: HomeAssistant, hive_without_health: SpokenHive
) -> None:
    home.wait_for("sensor.hivewatch_stale_frame_age", "unavailable")
    assert home.state("sensor.hivewatch_stale_pressure")["state"] == "green"


def test_a_restart_of_home_assistant_changes_nothing(
    home: HomeAssistant, broker: Broker, phone: Phone
) -> None:
    with SpokenHive(broker.port, "firm") as hive:
        alert_the_phone(home, phone, hive)
        picture = hive.visit("v1")
        hive.pressure(sightings_today=1)
        home.wait_for("sensor.hivewatch_firm_visits_today", "1")
        wait_until(lambda: len(phone.about(hive)) >= 1, "the phone is notified of the visit", SLOW_S)
        before = home.states("firm")
        home.stop()
        home.start()
        home.wait_for("image.hivewatch_firm_picture", lambda state: state not in NO_STATE)
        home.wait_for("sensor.hivewatch_firm_visits_today", "1")
        after = home.states("firm")
        assert home.fetch("/api/image_proxy/image.hivewatch_firm_picture") == picture
        # A notification caused by the restart would have arrived before that of the next visit.
        hive.visit("v2", [Phase.START])
        wait_until(lambda: len(phone.about(hive)) > 1, "the phone is notified of the next visit", SLOW_S)
    assert [sent["data"]["tag"] for sent in phone.about(hive)] == ["v1", "v2"]
    # The state of the image is the time it arrived, and the broker delivered it again.
    del before["image.hivewatch_firm_picture"], after["image.hivewatch_firm_picture"]
    assert after == before


def test_a_restart_of_the_hive_changes_nothing(home: HomeAssistant, broker: Broker, phone: Phone) -> None:
    with SpokenHive(broker.port, "again") as hive:
        alert_the_phone(home, phone, hive)
        hive.visit("v1")
        wait_until(lambda: len(phone.about(hive)) >= 1, "the phone is notified of the visit", SLOW_S)
        before = home.states("again")
        hive.break_off()
        home.wait_for("sensor.hivewatch_again_outbox", "unavailable")
    with SpokenHive(broker.port, "again") as hive:
        home.wait_for("sensor.hivewatch_again_outbox", "0")
        home.wait_for("binary_sensor.hivewatch_again_hornet", "off")
        assert home.states("again") == before
        hive.visit("v2", [Phase.START])
        wait_until(lambda: len(phone.about(hive)) > 1, "the phone is notified of the next visit", SLOW_S)
    assert [sent["data"]["tag"] for sent in phone.about(hive)] == ["v1", "v2"]


def test_home_assistant_logs_no_complaints(home: HomeAssistant) -> None:
    lines = [line for line in home.log.splitlines() if "hivewatch" in line.lower()]
    complaints = [line for line in lines if " took " not in line]  # a slow machine
    assert not complaints
