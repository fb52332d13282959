"""An outbox that exceeds its limits is trimmed, and one backlog message reports what was dropped."""

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
    """Return the messages in the outbox, in order."""
    return [entry.message for entry in store.pending(10_000)]


def leaves(store: Store) -> list[str]:
    """Return the last part of each waiting message's topic, in order."""
    return [message.topic.rsplit("/", 1)[1] for message in waiting(store)]


def trim(
    store: Store, largest_bytes: float = 1e12, now: datetime | None = None, days: float = 1.0
) -> Backlog | None:
    """Keep the outbox within ``largest_bytes`` and report what was dropped, as the daemon does."""
    limits = OutboxConfig(largest_mb=largest_bytes / 1e6 if largest_bytes < 1e12 else 1e6, longest_days=days)
    dropped = store.keep_in_bounds(LOOSE, limits, now)
    if dropped is not None:
        store.queue_backlog(dropped, backlog_message(dropped, TOPICS))
    return dropped


def size_bytes(store: Store, leaf: str) -> int:
    """Return the size of all waiting messages whose topics end with ``leaf``."""
    return sum(len(m.payload) for m in waiting(store) if m.topic.endswith(leaf))


def backlog(store: Store) -> dict[str, object]:
    """Return the backlog document, which must come first and be valid by its schema."""
    first = waiting(store)[0]
    assert (first.topic, first.retained) == ("hw/h1/backlog", False)
    document: dict[str, object] = json.loads(first.payload)
    Draft202012Validator(schema("backlog") | {"additionalProperties": False}).validate(document)
    return document


def test_an_outbox_within_its_limits_is_left_alone(store: Store) -> None:
    """Nothing is dropped and nothing reported."""
    record_visits(store, range(5))
    before = waiting(store)
    assert trim(store, now=NOW) is None
    assert waiting(store) == before


def test_the_oldest_pictures_are_dropped_first_and_reported_in_one_message(store: Store) -> None:
    """Events stay in the outbox; the dropped pictures stay in the store."""
    record_visits(store, range(10))
    newest = waiting(store)[-1]
    trim(store, size_bytes(store, "event") + 5 * len(newest.payload))
    assert leaves(store)[:11] == ["backlog"] + ["event"] * 10
    assert 3 <= leaves(store).count("snapshot") <= 5
    assert waiting(store)[-1] == newest
    document = backlog(store)
    assert (document["events"], document["pictures"]) == (0, 10 - leaves(store).count("snapshot"))
    assert document["sightings"] == document["pictures"]
    assert all(stored.annotated_path and stored.annotated_path.exists() for stored in store.sightings(20))


def test_when_no_picture_is_left_the_oldest_events_are_dropped(store: Store) -> None:
    """The message has the number of sightings, their first and last time, best score, and ids."""
    record_visits(store, range(10))
    trim(store, size_bytes(store, "event") / 2)
    document = backlog(store)
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


def test_an_unsent_backlog_grows_and_counts_no_sighting_twice(store: Store) -> None:
    """Trimming twice makes one message with one id; a visit that lost picture and event counts once."""
    record_visits(store, range(10))
    trim(store, size_bytes(store, "event"))
    first = backlog(store)
    assert first["sightings"] == 10
    trim(store, size_bytes(store, "event") / 2)
    second = backlog(store)
    assert leaves(store).count("backlog") == 1
    assert (second["backlog_id"], second["sightings"], second["pictures"]) == (first["backlog_id"], 10, 10)
    assert int(str(second["events"])) > 0


def test_acknowledging_an_older_version_does_not_remove_the_newer_one(store: Store) -> None:
    """A backlog that grows while it is in flight is sent again in full."""
    record_visits(store, range(10))
    trim(store, size_bytes(store, "event"))
    in_flight = store.pending(1)[0]
    trim(store, size_bytes(store, "event") / 2)
    store.mark_sent(in_flight.id)
    assert int(str(backlog(store)["events"])) > 0


def test_after_a_backlog_was_sent_the_next_one_starts_from_zero(store: Store) -> None:
    """It has another id and reports only what was dropped since; a visit that continues counts again."""
    record_visits(store, range(4))
    trim(store, 1.0)
    first = backlog(store)
    store.mark_sent(store.pending(1)[0].id)
    store.record(*make_visit(3, Phase.UPDATE, seed=77))
    trim(store, 1.0)
    second = backlog(store)
    assert first["backlog_id"] != second["backlog_id"]
    assert (second["sightings"], second["sighting_ids"]) == (1, ["v003"])
    assert (second["events"], second["pictures"]) == (1, 1)


def test_only_the_latest_ids_are_listed(store: Store) -> None:
    """The message stays small however many sightings it reports."""
    record_visits(store, range(50))
    trim(store, 1.0)
    document = backlog(store)
    assert document["sightings"] == 50
    assert document["sighting_ids"] == [f"v{number:03}" for number in range(30, 50)]


def test_messages_that_wait_too_long_are_dropped(store: Store) -> None:
    """Age counts from the first check with a trusted clock that found the entry."""
    record_visits(store, range(3))
    assert trim(store) is None, "without a trusted clock nothing is too old"
    assert trim(store, now=NOW) is None
    record_visits(store, range(3, 5))
    assert trim(store, now=NOW + timedelta(hours=23)) is None
    assert trim(store, now=NOW + timedelta(hours=25)) is not None
    assert backlog(store)["sightings"] == 3
    assert leaves(store) == ["backlog", "event", "event", "snapshot", "snapshot"]


def test_a_clock_set_back_does_not_keep_messages_for_ever(store: Store) -> None:
    """The time of an entry from the future is set again."""
    record_visits(store, [0])
    trim(store, now=NOW + timedelta(days=400))
    trim(store, now=NOW)
    assert store.status().oldest_unsent_at == NOW
    assert trim(store, now=NOW + timedelta(days=2)) is not None


def test_messages_without_a_sighting_are_counted_too(store: Store) -> None:
    """An unsent daily summary is a dropped message; the backlog mentions no sightings."""
    store.queue(Message("hw/h1/summary", b"{}", retained=True))
    trim(store, 1.0)
    document = backlog(store)
    assert (document["events"], document["sightings"], document["first_at"]) == (1, 0, None)
    assert document["text"] == "1 messages and 0 pictures were not sent"


def test_dropped_messages_are_reported_even_if_power_fails_before_the_report(tmp_path: Path) -> None:
    """Dropping and counting are one transaction; the next check makes the message."""
    with Store(tmp_path) as store:
        record_visits(store, range(3))
        store.keep_in_bounds(LOOSE, OutboxConfig(largest_mb=1e-6), None)
    with Store(tmp_path) as store:
        assert trim(store) is not None
        assert backlog(store)["sightings"] == 3


def test_status_has_depth_size_and_age_of_the_outbox(store: Store) -> None:
    """A user needs them when a hive's alerts do not arrive."""
    record_visits(store, range(2))
    trim(store, now=NOON)
    status = store.status()
    assert (status.unsent_messages, status.oldest_unsent_at, status.sightings) == (4, NOON, 2)
    assert status.unsent_bytes == sum(len(message.payload) for message in waiting(store))
    assert status.used_bytes > status.unsent_bytes
    assert status.free_bytes > 0


def test_a_second_report_that_a_salvage_has_left_is_not_swallowed(store: Store) -> None:
    """Two databases may each have had one that was not sent yet; further drops are added to one of them."""
    for id_, sightings in (("one", 5), ("two", 7)):
        values = (id_, sightings, sightings, 0, None, None, None, "[]", None)
        store._records.execute("INSERT INTO backlog VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
    record_visits(store, range(3))
    reports = [dropped for _ in range(3) if (dropped := trim(store, 1.0)) is not None]
    assert sum(report.sightings for report in reports) == 5 + 7 + 3


def test_what_is_set_aside_while_a_report_is_made_is_reported_too(store: Store) -> None:
    """The sending thread sets pictures aside at any time."""
    record_visits(store, range(2))
    pictures = [entry for entry in store.pending(4) if entry.is_picture]
    store.set_aside(pictures[0].id)
    early = store.keep_in_bounds(LOOSE, OutboxConfig(), None)
    assert early is not None
    store.set_aside(pictures[1].id)
    store.queue_backlog(early, backlog_message(early, TOPICS))
    store.mark_sent(store.pending(1)[0].id)
    later = trim(store)
    assert later is not None
    assert later.pictures == 2
