"""What Home Assistant is told of the hive; the real one is in tests/system."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from support.paths import PROJECT

from hivewatch.config.sections import Config
from hivewatch.messages.homeassistant import birth_topic, discovery, discovery_topic, messages


def configured(**sections: dict[str, Any]) -> Config:
    usual: dict[str, Any] = {"hive": {"id": "hive1", "name": "Pear tree"}, "homeassistant": {"enabled": True}}
    return Config.model_validate(usual | sections)


def document(config: Config, *, has_temperature: bool = True) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(discovery(config, has_temperature=has_temperature).payload)
    return content


def test_one_retained_document_describes_the_whole_device() -> None:
    message = discovery(configured(), has_temperature=True)
    assert message.retained
    assert message.topic == "homeassistant/device/hivewatch_hive1/config"
    content = document(configured())
    assert content["device"]["identifiers"] == ["hivewatch_hive1"]
    assert content["device"]["name"] == "Pear tree"
    (there,) = content["availability"]
    assert there["topic"] == "hivewatch/hive1/availability"


def test_every_condition_of_availability_says_its_payloads() -> None:
    content = document(configured())
    conditions = content["availability"] + content["components"]["hornet"]["availability"]
    assert all(one.keys() >= {"payload_available", "payload_not_available"} for one in conditions)


def test_every_entity_has_an_id_that_no_change_of_name_touches() -> None:
    entities = document(configured(mqtt={"commands": True}))["components"]
    ids = [entity["unique_id"] for entity in entities.values()]
    assert len(set(ids)) == len(ids)
    assert all(one.startswith("hivewatch_hive1_") for one in ids)
    assert entities["hornet"]["default_entity_id"] == "binary_sensor.hivewatch_hive1_hornet"


def test_the_entity_ids_of_any_hive_are_ones_that_home_assistant_allows() -> None:
    entities = document(configured(hive={"id": "My-Hive"}))["components"]
    assert entities["hornet"]["default_entity_id"] == "binary_sensor.hivewatch_my_hive_hornet"


def test_what_nobody_can_command_is_not_offered() -> None:
    commands = {"detection", "threshold", "test_alert"}
    assert not document(configured())["components"].keys() & commands
    assert document(configured(mqtt={"commands": True}))["components"].keys() >= commands


def test_a_machine_without_a_thermometer_has_no_temperature_that_stays_unknown() -> None:
    assert "cpu_temperature" in document(configured())["components"]
    assert "cpu_temperature" not in document(configured(), has_temperature=False)["components"]


def test_an_update_is_only_offered_where_somebody_tells_of_the_newest_version() -> None:
    assert "update" not in document(configured())["components"]
    told = configured(homeassistant={"enabled": True, "version_topic": "site/hivewatch"})
    assert document(told)["components"]["update"]["latest_version_topic"] == "site/hivewatch"


def test_figures_expire_later_than_they_are_renewed() -> None:
    entities = document(configured(health={"interval_s": 300.0}))["components"]
    assert 2 * 300 < entities["outbox"]["expire_after"] < 4 * 300


def test_topics_follow_prefix_base_and_hive() -> None:
    config = configured(
        hive={"id": "b"}, mqtt={"base_topic": "club/a"}, homeassistant={"enabled": True, "prefix": "ha/x"}
    )
    assert discovery_topic(config) == "ha/x/device/hivewatch_b/config"
    assert birth_topic(config) == "ha/x/status"
    assert document(config)["components"]["hornet"]["state_topic"] == "club/a/b/hornet/state"


def test_switched_on_it_is_told_and_what_was_told_elsewhere_is_taken_back() -> None:
    config = configured()
    here, gone = messages(config, ["old/device/x/config", discovery_topic(config)], has_temperature=True)
    assert here == discovery(config, has_temperature=True)
    assert (gone.topic, gone.payload, gone.retained) == ("old/device/x/config", b"", True)


def test_switched_off_all_that_was_ever_told_is_taken_back() -> None:
    config = configured(homeassistant={"enabled": False})
    (gone,) = messages(config, [discovery_topic(config)], has_temperature=True)
    assert (gone.payload, gone.retained) == (b"", True)


def test_who_never_switched_it_on_writes_nothing_outside_the_base_topic() -> None:
    assert messages(Config(), [], has_temperature=True) == []


@pytest.mark.parametrize("file", ["hornet-visit.yaml", "card.yaml"])
def test_what_is_to_be_pasted_into_home_assistant_names_entities_of_the_document(file: str) -> None:
    text = (PROJECT / "deploy" / "homeassistant" / file).read_text()
    config = configured(mqtt={"commands": True})
    known = {entity["default_entity_id"] for entity in document(config)["components"].values()}
    named = {word for word in text.replace("#", " ").split() if ".hivewatch_hive1_" in word}
    assert named <= known
    assert yaml.compose(text) is not None
