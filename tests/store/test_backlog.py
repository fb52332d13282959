"""An outbox that grows too large or too old is cut down, and one message stands for what it lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from support.fakes import NOON
from support.visits import TOPICS, make_visit, record_visits

from hivewatch.config.sections import OutboxConfig, StoreConfig
from hivewatch.domain.sightings import Phase
from hivewatch.domain.status import Backlog
from hivewatch.domain.wire import Message
from hivewatch.messages.alert import backlog_message
from hivewatch.messages.documents import schema
from hivewatch.store import Store

NOW = datetime(2026, 10, 1, tzinfo=UTC)
LOOSE = StoreConfig(retention_days=36_500, largest_mb=1e6, least_free_mb=0.001)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    with Store(tmp_path / "store") as store:
        yield store


def waiting(store: Store) -> list[Message]:
    """Return what waits, in order."""
    return [entry.message for entry in store.pending(10_000)]


def leaves(store: Store) -> list[str]:
    """Return the last parts of the topics of what waits, in order."""
    return [message.topic.rsplit("/", 1)[1] for message in waiting(store)]


def cut_down(
    store: Store, largest_bytes: float = 1e12, now: datetime | None = None, days: float = 1.0
) -> Backlog | None:
    """Keep the outbox within ``largest_bytes`` and tell what was dropped, as the upkeep does."""
    limits = OutboxConfig(largest_mb=largest_bytes / 1e6 if largest_bytes < 1e12 else 1e6, longest_days=days)
    dropped = store.keep_in_bounds(LOOSE, limits, now)
    if dropped is not None:
        store.tell(dropped, backlog_message(dropped, TOPICS))
    return dropped


def size_bytes(store: Store, leaf: str) -> int:
    """Return the size of all that waits for topics that end so."""
    return sum(len(m.payload) for m in waiting(store) if m.topic.endswith(leaf))


def told(store: Store) -> dict[str, object]:
    """Return the document of the backlog, which must be sent before all else and fulfil its schema."""
    first = waiting(store)[0]
    assert (first.topic, first.retained) == ("hw/h1/backlog", False)
    document: dict[str, object] = json.loads(first.payload)
    Draft202012Validator(schema("backlog") | {"additionalProperties": False}).validate(document)
    return document


def test_what_fits_is_left_alone(store: Store) -> None:
    """Below its bounds nothing is dropped and nothing told."""
    record_visits(store, range(5))
    before = waiting(store)
    assert cut_down(store, now=NOW) is None
    assert waiting(store) == before


def test_the_oldest_pictures_go_first_and_one_message_says_so(store: Store) -> None:
    """Events stay; the pictures that go stay in the store."""
    record_visits(store, range(10))
    newest = waiting(store)[-1]
    cut_down(store, size_bytes(store, "event") + 5 * len(newest.payload))
    assert leaves(store)[:11] == ["backlog"] + ["event"] * 10
    assert 3 <= leaves(store).count("snapshot") <= 5
    assert waiting(store)[-1] == newest
    document = told(store)
    assert (document["events"], document["pictures"]) == (0, 10 - leaves(store).count("snapshot"))
    assert document["sightings"] == document["pictures"]
    assert all(stored.annotated_path and stored.annotated_path.exists() for stored in store.sightings(20))


def test_when_no_picture_is_left_the_oldest_events_are_summed_up(store: Store) -> None:
    """The message counts the sightings, says from when to when, how sure, and which."""
    record_visits(store, range(10))
    cut_down(store, size_bytes(store, "event") / 2)
    document = told(store)
    kept = [json.loads(m.payload)["sighting_id"] for m in waiting(store)[1:]]
    assert kept == [f"v{number:03}" for number in range(10 - len(kept), 10)]
    assert 3 <= len(kept) <= 5
    assert (document["events"], document["pictures"]) == (10 - len(kept), 10)
    assert (document["sightings"], document["best_score"]) == (10, 0.9)
    assert (document["first_at"], document["last_at"]) == (
        "2026-09-14T12:00:00.000Z",
        "2026-09-14T12:09:02.000Z",
    )
    assert document["sighting_ids"] == [f"v{number:03}" for number in range(10)]
    assert str(document["text"]).startswith("10 sightings between 2026-09-14T12:00:00.000Z and ")


def test_a_message_that_still_waits_grows_and_counts_no_sighting_twice(store: Store) -> None:
    """Two cuts make one message with one id; a visit that lost its picture and then its event counts once."""
    record_visits(store, range(10))
    cut_down(store, size_bytes(store, "event"))
    first = told(store)
    assert first["sightings"] == 10
    cut_down(store, size_bytes(store, "event") / 2)
    second = told(store)
    assert leaves(store).count("backlog") == 1
    assert (second["backlog_id"], second["sightings"], second["pictures"]) == (first["backlog_id"], 10, 10)
    assert int(str(second["events"])) > 0


def test_acknowledging_an_older_version_does_not_remove_the_newer_one(store: Store) -> None:
    """A backlog that grows while it is on its way is sent again, with all that it stands for."""
    record_visits(store, range(10))
    cut_down(store, size_bytes(store, "event"))
    on_its_way = store.pending(1)[0]
    cut_down(store, size_bytes(store, "event") / 2)
    store.mark_sent(on_its_way.id)
    assert int(str(told(store)["events"])) > 0


def test_after_a_backlog_was_sent_the_next_one_begins_anew(store: Store) -> None:
    """Another id, and only what was dropped since; a visit that goes on counts again."""
    record_visits(store, range(4))
    cut_down(store, 1.0)
    first = told(store)
    store.mark_sent(store.pending(1)[0].id)
    store.record(*make_visit(3, Phase.UPDATE, seed=77))
    cut_down(store, 1.0)
    second = told(store)
    assert first["backlog_id"] != second["backlog_id"]
    assert (second["sightings"], second["sighting_ids"]) == (1, ["v003"])
    assert (second["events"], second["pictures"]) == (1, 1)


def test_only_the_latest_ids_are_listed(store: Store) -> None:
    """The message stays small whatever it stands for."""
    record_visits(store, range(50))
    cut_down(store, 1.0)
    document = told(store)
    assert document["sightings"] == 50
    assert document["sighting_ids"] == [f"v{number:03}" for number in range(30, 50)]


def test_what_waits_too_long_is_summed_up(store: Store) -> None:
    """Age counts from when the entry was first seen waiting, by a clock that is trusted."""
    record_visits(store, range(3))
    assert cut_down(store) is None, "without a clock nothing is too old"
    assert cut_down(store, now=NOW) is None
    record_visits(store, range(3, 5))
    assert cut_down(store, now=NOW + timedelta(hours=23)) is None
    assert cut_down(store, now=NOW + timedelta(hours=25)) is not None
    assert told(store)["sightings"] == 3
    assert leaves(store) == ["backlog", "event", "event", "snapshot", "snapshot"]


def test_a_clock_set_back_does_not_keep_messages_for_ever(store: Store) -> None:
    """An entry dated in the future is dated anew."""
    record_visits(store, [0])
    cut_down(store, now=NOW + timedelta(days=400))
    cut_down(store, now=NOW)
    assert store.status().oldest_unsent_at == NOW
    assert cut_down(store, now=NOW + timedelta(days=2)) is not None


def test_messages_of_no_sighting_are_counted_too(store: Store) -> None:
    """A daily summary that never left is an unsent message; nothing is said of sightings."""
    store.queue(Message("hw/h1/summary", b"{}", retained=True))
    cut_down(store, 1.0)
    document = told(store)
    assert (document["events"], document["sightings"], document["first_at"]) == (1, 0, None)
    assert document["text"] == "1 messages and 0 pictures were not sent"


def test_what_was_dropped_is_told_even_if_the_power_fails_before_the_message_is_made(tmp_path: Path) -> None:
    """Dropping and counting are one transaction; the message follows at the next look."""
    with Store(tmp_path) as store:
        record_visits(store, range(3))
        store.keep_in_bounds(LOOSE, OutboxConfig(largest_mb=1e-6), None)
    with Store(tmp_path) as store:
        assert cut_down(store) is not None
        assert told(store)["sightings"] == 3


def test_status_tells_depth_size_and_age_of_the_outbox(store: Store) -> None:
    """What a person wants to know of a hive whose alerts do not come."""
    record_visits(store, range(2))
    cut_down(store, now=NOON)
    status = store.status()
    assert (status.unsent_messages, status.oldest_unsent_at, status.sightings) == (4, NOON, 2)
    assert status.unsent_bytes == sum(len(message.payload) for message in waiting(store))
    assert status.used_bytes > status.unsent_bytes
    assert status.free_bytes > 0
