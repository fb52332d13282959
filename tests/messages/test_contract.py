"""The contract: its README shows it, messages follow it, and within a schema's version it only grows."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest
from support.paths import PROJECT, TESTS

from hivewatch.domain.wire import Envelope, Message
from hivewatch.messages import contract
from hivewatch.messages.documents import schema
from hivewatch.messages.topics import HiveTopics

MESSAGES = PROJECT / "hivewatch" / "messages"
SCHEMAS = sorted(
    path.name.removesuffix("-1.json").replace("-", "_") for path in (MESSAGES / "schemas").iterdir()
)
FROZEN = TESTS / "expected" / "schemas.json"


def skeleton(part: Any) -> Any:
    """Return the parts of a schema that consumers rely on: properties, required ones, types and values."""
    if isinstance(part, list):
        return [skeleton(item) for item in part]
    if not isinstance(part, dict):
        return part
    relevant = ("required", "properties", "type", "enum", "const", "$ref", "anyOf", "items", "$defs")
    kept = {key: skeleton(part[key]) for key in relevant if key in part and key != "properties"}
    if "properties" in part:
        kept["properties"] = {name: skeleton(value) for name, value in part["properties"].items()}
    return kept


def losses(before: Any, after: Any, where: str = "") -> list[str]:
    """Return what ``before`` promised and ``after`` does not."""
    if isinstance(before, dict) and isinstance(after, dict):
        lost = [f"{where}/{key}" for key in before if key not in after]
        both = before.keys() & after.keys()
        return lost + [loss for key in both for loss in losses(before[key], after[key], f"{where}/{key}")]
    if isinstance(before, list) and isinstance(after, list) and where.endswith(("/required", "/enum")):
        return [f"{where}: {item}" for item in before if item not in after]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = enumerate(zip(before, after, strict=True))
        return [loss for number, (old, new) in pairs for loss in losses(old, new, f"{where}[{number}]")]
    return [] if before == after else [f"{where}: {before} became {after}"]


def test_readme_shows_the_contract() -> None:
    """The table in the package's README is the generated one: paste it there after a change."""
    assert contract.table() in (MESSAGES / "README.md").read_text()


def test_readme_links_to_files_that_exist() -> None:
    links = re.findall(r"\]\(([^)]+)\)", (MESSAGES / "README.md").read_text())
    assert [link for link in links if not (MESSAGES / link).is_file()] == []


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_shipped_schema_is_valid_and_belongs_to_a_topic(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema(name))
    assert name in {entry.schema for entry in contract.TOPICS}
    assert schema(name)["properties"]["schema"]["const"] == f"hivewatch.{name}"


def test_within_a_version_schemas_only_grow(request: pytest.FixtureRequest) -> None:
    """Consumers can rely on every property; --update-expected freezes additions."""
    now = {name: skeleton(schema(name)) for name in SCHEMAS}
    if request.config.getoption("--update-expected"):
        FROZEN.write_text(json.dumps(now, indent=1) + "\n")
    assert losses(json.loads(FROZEN.read_text()), now) == []


def test_removed_or_changed_parts_of_a_schema_are_found() -> None:
    """The comparison above can fail: for a missing property, a lost guarantee, or another type."""
    before = {"required": ["a"], "properties": {"a": {"type": "string"}, "b": {"enum": ["x", "y"]}}}
    assert losses(before, {"required": [], "properties": before["properties"]}) == ["/required: a"]
    assert losses(before, before | {"properties": {"a": {"type": "string"}}}) == ["/properties/b"]
    other = {"a": {"type": "number"}, "b": {"enum": ["x", "y", "z"]}, "c": {}}
    assert losses(before, before | {"properties": other}) == ["/properties/a/type: string became number"]


@pytest.mark.parametrize("entry", contract.TOPICS, ids=lambda entry: entry.leaf)
def test_envelope_of_every_message_is_found_by_its_topic(entry: contract.Topic) -> None:
    """The publisher only knows the topic of a message, not its contract entry."""
    topics = HiveTopics("h1", "Hive 1", "bees/site")
    message = entry.message(topics, b"x", "v1")
    found = contract.envelope(message, topics)
    assert (found.content_type, found.expiry_s) == (entry.content_type, entry.expiry_s)
    assert message.retained == entry.retained
    assert ("sighting_id", "v1") in found.properties
    assert (("schema", f"hivewatch.{entry.schema}-1") in found.properties) == (entry.schema is not None)


def test_topics_outside_the_contract_have_no_envelope() -> None:
    """Neither those of other hives nor those of other programs."""
    topics = HiveTopics("h1", "Hive 1", "bees")
    for topic in ("bees/h2/event", "homeassistant/device/x/config", "bees/h1/unknown", "bees/h1"):
        assert contract.envelope(Message(topic, b"", retained=False), topics) == Envelope()


def test_only_states_are_retained() -> None:
    """A retained event would alarm each new subscriber; a retained answer or snapshot would mislead it."""
    retained = {entry.leaf for entry in contract.TOPICS if entry.retained}
    assert retained.isdisjoint(
        {"event", "backlog", "command/answer", "camera/snapshot", "sighting/<id>/snapshot"}
    )
    assert not any(entry.retained for entry in contract.TOPICS if entry.incoming)


def test_availability_never_expires() -> None:
    """Otherwise a hive that is online for long would look unknown; of all states only pictures expire."""
    expiring = {entry.leaf for entry in contract.TOPICS if entry.retained and entry.expiry_s is not None}
    assert expiring == {"snapshot"}
