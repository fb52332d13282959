"""Values that SQLite finds in order but hivewatch cannot use: the rest of the store lives on."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from support.fakes import NOON
from support.visits import make_visit, record_visits

from hivewatch.config.sections import OutboxConfig, StoreConfig
from hivewatch.domain.sightings import Phase
from hivewatch.domain.wire import Message
from hivewatch.store import Store


def execute(path: Path, *statements: str) -> None:
    """Execute statements on the database behind the store's back."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def overwrite(path: Path, offset: int, content: bytes) -> None:
    """Overwrite bytes of a file."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def replace(path: Path, old: bytes, new: bytes) -> None:
    """Replace bytes wherever they are in the file."""
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))


def fill(directory: Path) -> None:
    """Make a store with ten ended visits and an open one; nothing is sent."""
    with Store(directory) as store:
        record_visits(store, range(10))
        store.record(*make_visit(10, Phase.START))
        store.remember("threshold", "0.5")


def use(store: Store) -> list[str]:
    """Use the store as the daemon does; return the ids of the sightings whose events wait."""
    store.interrupted()
    store.sightings(100)
    store.presence_since(NOON, NOON)
    store.correct_times(lambda _: None)
    store.keep_in_bounds(StoreConfig(least_free_mb=1e-6), OutboxConfig(), NOON)
    waiting = [entry.message for entry in store.pending(100)]
    return [json.loads(m.payload)["sighting_id"] for m in waiting if m.topic == "hw/h1/event"]


IDS = [f"v{number:03}" for number in range(11)]
WORDS = {
    "NO_TEXT": "CAST(x'68772fe831' AS TEXT)",  # not UTF-8
    "OF_SIGHTING": "WHERE id = 'v004'",
    "OF_ENTRY": "WHERE sighting_id = 'v004' AND payload IS NOT NULL",
}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE outbox SET topic = NO_TEXT OF_ENTRY",
        "UPDATE outbox SET topic = 'hw/h1/even+' OF_ENTRY",
        "UPDATE outbox SET topic = 'hw/h1/' || char(5) OF_ENTRY",
        "UPDATE outbox SET payload = x'7be9' OF_ENTRY",
        "UPDATE outbox SET payload = CAST(replace(payload, 'hting_id', 'hsing_id') AS BLOB) OF_ENTRY",
        "UPDATE outbox SET sighting_id = NO_TEXT OF_ENTRY",
        "UPDATE outbox SET lane = 7 OF_ENTRY",
        "UPDATE outbox SET size_bytes = -5 OF_ENTRY",
        "UPDATE outbox SET size_bytes = 9223372036854775807 WHERE sighting_id = 'v004' AND payload IS NULL",
        "UPDATE outbox SET queued_at = '2026-09-1t' OF_ENTRY",
        "UPDATE outbox SET picture = NO_TEXT WHERE sighting_id = 'v004' AND payload IS NULL",
        "UPDATE sightings SET id = NO_TEXT OF_SIGHTING",
        "UPDATE sightings SET phase = 'emd' OF_SIGHTING",
        "UPDATE sightings SET started_at = '2026-09-14T12:04:p0.000+00:00' OF_SIGHTING",
        "UPDATE sightings SET last_seen_at = '' OF_SIGHTING",
        "UPDATE sightings SET ended_at = NO_TEXT OF_SIGHTING",
        "UPDATE sightings SET document = NO_TEXT OF_SIGHTING",
        "UPDATE sightings SET document = '{' WHERE id = 'v010'",
        "UPDATE sightings SET document = replace(document, '\"at\"', '\"bt\"') WHERE id = 'v010'",
        "UPDATE sightings SET picture = 'snapshots/' || char(0) OF_SIGHTING",
        "UPDATE sightings SET size_bytes = -1 OF_SIGHTING",
        "UPDATE sightings SET size_bytes = 9223372036854775807 OF_SIGHTING",
        "UPDATE state SET value = NO_TEXT",
        "INSERT INTO backlog VALUES ('b', 1, 1, 0, '2026', NULL, NULL, '[', NULL)",
        "INSERT INTO backlog VALUES ('b', 1, 1, 0, 'x', NULL, NULL, '[\"v001\"]', NULL)",
    ],
)
def test_a_value_that_cannot_be_used_costs_no_visit(
    tmp_path: Path, statement: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The damage is told, the damaged database is kept, and the next start finds nothing wrong."""
    fill(tmp_path)
    execute(tmp_path / "hivewatch.db", re.sub("|".join(WORDS), lambda word: WORDS[word[0]], statement))
    with Store(tmp_path) as store:
        assert use(store) == IDS
        assert [stored.id for stored in store.sightings(100)] == IDS[::-1]
        name = store.status().set_aside
    assert name is not None
    assert (tmp_path / name).exists()
    assert f"salvaged from {name}" in caplog.text
    with Store(tmp_path) as store:
        assert store.status().set_aside is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: overwrite(path, 18, b"\x09"),
        lambda path: overwrite(path, 19, b"\x09"),
        lambda path: overwrite(path, 18, b"\x09\x01"),
        lambda path: overwrite(path, 47, b"\x0c"),
        lambda path: overwrite(path, 59, b"\x03"),
        lambda path: overwrite(path, 63, b"\x03"),
        lambda path: overwrite(path, 60, b"\x22"),
        lambda path: overwrite(path, 20, b"\x01"),
        lambda path: overwrite(path, 16, b"\x30"),
        lambda path: overwrite(path, 52, b"\x00\x00\x00\x01"),
        lambda path: replace(path, b"CREATE TABLE sightings", b"CREATE\xd4TABLE sightings"),
        lambda path: replace(path, b"topic TEXT NOT NULL", b"tppic TEXT NOT NULL"),
        lambda path: replace(path, b"CREATE INDEX outbox_in_order", b"CREATE INDEX outbox\x1fin_order"),
        lambda path: replace(path, b"(payload IS NULL) <> (picture", b"(payload IS NULL) << (picture"),
        lambda path: replace(path, b"best_score REAL,\n    doc", b"best_score TEXT,\n    doc"),
    ],
    ids=[
        "write version",
        "read version",
        "both versions",
        "schema format",
        "encoding",
        "user version",
        "high user version",
        "reserved bytes",
        "page size",
        "vacuum",
        "no SQL",
        "other column",
        "other index",
        "other constraint",
        "other type",
    ],
)
def test_a_flipped_bit_in_header_or_schema_loses_nothing(
    tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    fill(tmp_path)
    damage(tmp_path / "hivewatch.db")
    with Store(tmp_path) as store:
        assert store.status().set_aside is not None
        assert use(store) == IDS
        assert store.recall("threshold") == "0.5"
        record_visits(store, [11])
    with Store(tmp_path) as store:
        assert store.status().set_aside is None


@pytest.mark.parametrize(
    "change",
    [
        "phase = 'emd'",
        "started_at = '2026-09-14T12:04:p0.000+00:00'",
        "last_seen_at = ''",
        "revision = -127",
    ],
)
def test_a_record_has_what_its_event_says_for_a_spoilt_value(tmp_path: Path, change: str) -> None:
    fill(tmp_path)
    with Store(tmp_path) as store:
        expected = store.sightings(100)
    statement = f"UPDATE sightings SET {change} WHERE id IN ('v004', 'v010')"  # noqa: S608  only constants
    execute(tmp_path / "hivewatch.db", statement)
    with Store(tmp_path) as store:
        assert store.sightings(100) == expected


@pytest.mark.parametrize("column", ["lane", "retained"])
def test_no_event_is_lost_from_the_outbox_for_a_spoilt_number(tmp_path: Path, column: str) -> None:
    with Store(tmp_path) as store:
        for phase in Phase:
            store.record(*make_visit(1, phase))
        expected = [entry.message.payload for entry in store.pending(100)]
    statement = f"UPDATE outbox SET {column} = 65"  # noqa: S608  only constants
    execute(tmp_path / "hivewatch.db", statement)
    with Store(tmp_path) as store:
        assert [entry.message.payload for entry in store.pending(100)] == expected


def test_a_picture_whose_hash_is_spoilt_is_still_sent(tmp_path: Path) -> None:
    """The picture itself is in order."""
    fill(tmp_path)
    spoil = "UPDATE outbox SET picture_sha256 = 'x' || substr(picture_sha256, 2) WHERE sighting_id = 'v004'"
    execute(tmp_path / "hivewatch.db", spoil)
    with Store(tmp_path) as store:
        assert len([entry for entry in store.pending(100) if entry.is_picture]) == 11
        assert store.status().pictures_lost == 0


def test_the_next_event_of_a_visit_whose_revision_is_spoilt_is_recorded(tmp_path: Path) -> None:
    fill(tmp_path)
    execute(
        tmp_path / "hivewatch.db", "UPDATE sightings SET revision = 9223372036854775807 WHERE id = 'v010'"
    )
    with Store(tmp_path) as store:
        store.record(*make_visit(10, Phase.END, seed=99))
        assert store.interrupted() == []


def test_everything_that_hivewatch_writes_passes_the_check(tmp_path: Path) -> None:
    """Also events of the clock's provisional times, a backlog, a summary, and records made from pictures."""
    fill(tmp_path)
    with Store(tmp_path) as store:
        store.queue(Message("hw/h1/summary", b'{"visits": 1}', retained=True))
        store.keep_in_bounds(StoreConfig(least_free_mb=1e-6), OutboxConfig(largest_mb=1e-3), NOON)
        store.remember("announced-topics", "a\nb\tü")
        execute(tmp_path / "hivewatch.db", "DELETE FROM sightings WHERE id = 'v003'")
    for _ in range(2):
        with Store(tmp_path) as store:
            assert store.status().set_aside is None


@pytest.mark.slow
def test_flipped_bits_anywhere_in_the_header_are_survived(tmp_path: Path) -> None:
    """Whatever it means: no message is lost, and the store can be used."""
    with Store(tmp_path / "store") as store:
        record_visits(store, range(11))
    data = (tmp_path / "store" / "hivewatch.db").read_bytes()
    for bit in range(0, 800, 3):
        spoilt = bytearray(data)
        spoilt[bit // 8] ^= 1 << bit % 8
        for file in (tmp_path / "store").glob("hivewatch.db*"):
            file.unlink()
        (tmp_path / "store" / "hivewatch.db").write_bytes(spoilt)
        with Store(tmp_path / "store") as store:
            assert use(store) == IDS, bit
