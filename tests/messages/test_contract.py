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
    """Return what consumers may rely on of a schema: properties, which are required, types and values."""
    if isinstance(part, list):
        return [skeleton(item) for item in part]
    if not isinstance(part, dict):
        return part
    told = ("required", "properties", "type", "enum", "const", "$ref", "anyOf", "items", "$defs")
    kept = {key: skeleton(part[key]) for key in told if key in part and key != "properties"}
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
    """No file without a use."""
    jsonschema.Draft202012Validator.check_schema(schema(name))
    assert name in {entry.schema for entry in contract.TOPICS}
    assert schema(name)["properties"]["schema"]["const"] == f"hivewatch.{name}"


def test_within_a_version_schemas_only_grow(request: pytest.FixtureRequest) -> None:
    """What a consumer relies on stays; --update-expected freezes what was added."""
    now = {name: skeleton(schema(name)) for name in SCHEMAS}
    if request.config.getoption("--update-expected"):
        FROZEN.write_text(json.dumps(now, indent=1) + "\n")
    assert losses(json.loads(FROZEN.read_text()), now) == []


def test_a_property_or_a_promise_taken_away_is_noticed() -> None:
    """The comparison above can fail: for what is gone, not promised any more, or of another type."""
    before = {"required": ["a"], "properties": {"a": {"type": "string"}, "b": {"enum": ["x", "y"]}}}
    assert losses(before, {"required": [], "properties": before["properties"]}) == ["/required: a"]
    assert losses(before, before | {"properties": {"a": {"type": "string"}}}) == ["/properties/b"]
    other = {"a": {"type": "number"}, "b": {"enum": ["x", "y", "z"]}, "c": {}}
    assert losses(before, before | {"properties": other}) == ["/properties/a/type: string became number"]


@pytest.mark.parametrize("entry", contract.TOPICS, ids=lambda entry: entry.leaf)
def test_every_message_is_found_again_in_the_contract(entry: contract.Topic) -> None:
    """From its topic alone, as the publisher knows it, with what MQTT 5 says beside it."""
    topics = HiveTopics("h1", "Hive 1", "bees/site")
    message = entry.message(topics, b"x", "v1")
    found = contract.envelope(message, topics)
    assert (found.content_type, found.expiry_s) == (entry.content_type, entry.expiry_s)
    assert message.retained == entry.retained
    assert ("sighting_id", "v1") in found.properties
    assert (("schema", f"hivewatch.{entry.schema}-1") in found.properties) == (entry.schema is not None)


def test_topics_of_others_have_no_envelope() -> None:
    """Neither another hive's nor somebody else's."""
    topics = HiveTopics("h1", "Hive 1", "bees")
    for topic in ("bees/h2/event", "homeassistant/device/x/config", "bees/h1/unknown", "bees/h1"):
        assert contract.envelope(Message(topic, b"", retained=False), topics) == Envelope()


def test_what_is_no_state_is_not_retained() -> None:
    """A retained event would alarm every new subscriber, a retained answer or view mislead it."""
    retained = {entry.leaf for entry in contract.TOPICS if entry.retained}
    assert retained.isdisjoint(
        {"event", "backlog", "command/answer", "camera/snapshot", "sighting/<id>/snapshot"}
    )
    assert not any(entry.retained for entry in contract.TOPICS if entry.incoming)


def test_availability_never_expires() -> None:
    """Else nobody would know of a hive that is online for long; so with all states that are no pictures."""
    expiring = {entry.leaf for entry in contract.TOPICS if entry.retained and entry.expiry_s is not None}
    assert expiring == {"snapshot"}
