"""Home Assistant's discovery document; tests/integration has the real Home Assistant."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from support.paths import PROJECT

from hivewatch.config.sections import Config
from hivewatch.messages.homeassistant import birth_topic, discovery, discovery_topic, messages
from hivewatch.messages.topics import hive_key


def configured(**sections: dict[str, Any]) -> Config:
    defaults: dict[str, Any] = {
        "hive": {"id": "hive1", "name": "Pear tree"},
        "homeassistant": {"enabled": True},
    }
    return Config.model_validate(defaults | sections)


def document(config: Config, *, has_temperature: bool = True) -> dict[str, Any]:
    message = discovery(config, hive_key(config), has_temperature=has_temperature)
    content: dict[str, Any] = json.loads(message.payload)
    return content


def test_one_retained_document_describes_the_whole_device() -> None:
    message = discovery(configured(), "hive1", has_temperature=True)
    assert message.retained
    assert message.topic == "homeassistant/device/hivewatch_hive1/config"
    content = document(configured())
    assert content["device"]["identifiers"] == ["hivewatch_hive1"]
    assert content["device"]["name"] == "Pear tree"
    (condition,) = content["availability"]
    assert condition["topic"] == "hivewatch/hive1/availability"


def test_every_availability_condition_states_its_payloads() -> None:
    content = document(configured())
    conditions = content["availability"] + content["components"]["hornet"]["availability"]
    assert all(c.keys() >= {"payload_available", "payload_not_available"} for c in conditions)


def test_every_entity_id_is_independent_of_names() -> None:
    entities = document(configured(mqtt={"commands": True}))["components"]
    ids = [entity["unique_id"] for entity in entities.values()]
    assert len(set(ids)) == len(ids)
    assert all(id_.startswith("hivewatch_hive1_") for id_ in ids)
    assert entities["hornet"]["default_entity_id"] == "binary_sensor.hivewatch_hive1_hornet"


def test_entity_ids_of_any_hive_are_valid_in_home_assistant() -> None:
    entities = document(configured(hive={"id": "My-Hive"}))["components"]
    assert entities["hornet"]["default_entity_id"] == "binary_sensor.hivewatch_my_hive_hornet"


def test_command_entities_are_left_out_while_commands_are_off() -> None:
    commands = {"detection", "threshold", "test_alert"}
    assert not document(configured())["components"].keys() & commands
    assert document(configured(mqtt={"commands": True}))["components"].keys() >= commands


def test_temperature_is_left_out_without_a_sensor() -> None:
    assert "cpu_temperature" in document(configured())["components"]
    assert "cpu_temperature" not in document(configured(), has_temperature=False)["components"]


def test_update_entity_needs_a_topic_for_the_newest_version() -> None:
    assert "update" not in document(configured())["components"]
    config = configured(homeassistant={"enabled": True, "version_topic": "site/hivewatch"})
    assert document(config)["components"]["update"]["latest_version_topic"] == "site/hivewatch"


def test_figures_expire_only_after_a_missed_renewal() -> None:
    entities = document(configured(health={"interval_s": 300.0}))["components"]
    assert 2 * 300 < entities["outbox"]["expire_after"] < 4 * 300


def test_topics_follow_prefix_base_and_hive() -> None:
    config = configured(
        hive={"id": "b"}, mqtt={"base_topic": "club/a"}, homeassistant={"enabled": True, "prefix": "ha/x"}
    )
    assert discovery_topic(config, hive_key(config)) == "ha/x/device/hivewatch_b-4dce3575/config"
    assert discovery_topic(config, hive_key(config, by_id_alone=True)) == "ha/x/device/hivewatch_b/config"
    assert birth_topic(config) == "ha/x/status"
    assert document(config)["components"]["hornet"]["state_topic"] == "club/a/b/hornet/state"


def test_hives_of_one_id_under_two_base_topics_share_no_id() -> None:
    north, south = (document(configured(mqtt={"base_topic": f"bees/{site}"})) for site in ("north", "south"))
    assert north["device"]["identifiers"] != south["device"]["identifiers"]
    for key in ("unique_id", "default_entity_id"):
        ids = [{entity[key] for entity in one["components"].values()} for one in (north, south)]
        assert not ids[0] & ids[1]


def test_when_on_the_device_is_announced_and_outdated_announcements_are_removed() -> None:
    config = configured()
    current, outdated = messages(
        config, "hive1", ["old/device/x/config", discovery_topic(config, "hive1")], has_temperature=True
    )
    assert current == discovery(config, "hive1", has_temperature=True)
    assert (outdated.topic, outdated.payload, outdated.retained) == ("old/device/x/config", b"", True)


def test_when_off_all_announcements_are_removed() -> None:
    config = configured(homeassistant={"enabled": False})
    (outdated,) = messages(config, "hive1", [discovery_topic(config, "hive1")], has_temperature=True)
    assert (outdated.payload, outdated.retained) == (b"", True)


def test_nothing_is_sent_if_discovery_was_never_on() -> None:
    assert messages(Config(), "hive1", [], has_temperature=True) == []


@pytest.mark.parametrize("file", ["hornet-visit.yaml", "card.yaml"])
def test_blueprint_and_card_name_only_known_entities(file: str) -> None:
    text = (PROJECT / "deploy" / "homeassistant" / file).read_text()
    config = configured(mqtt={"commands": True})
    known = {entity["default_entity_id"] for entity in document(config)["components"].values()}
    named = {word for word in text.replace("#", " ").split() if ".hivewatch_hive1_" in word}
    assert named <= known
    assert yaml.compose(text) is not None
