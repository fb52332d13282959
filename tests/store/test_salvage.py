"""A damaged database is moved aside, its readable rows are copied, and orphaned pictures get records."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from support.fakes import NOON
from support.salvage_trials import spoil_index
from support.visits import record_visits

from hivewatch.config.sections import OutboxConfig, StoreConfig
from hivewatch.domain.sightings import Phase
from hivewatch.domain.wire import Message
from hivewatch.errors import StoreError
from hivewatch.store import MADE_BY, Store


def fill_store(directory: Path, count: int = 40) -> None:
    """Make a store with ``count`` sightings, of which the later half is unsent."""
    with Store(directory) as store:
        record_visits(store, range(count // 2), sent=True)
        record_visits(store, range(count // 2, count))


def overwrite(path: Path, offset: int, length: int = 3000) -> None:
    """Overwrite part of a file."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xa5" * length)


def execute(path: Path, statement: str) -> None:
    """Execute a statement on the database behind the store's back."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
        connection.commit()


def page_of(database: Path, table: str) -> int:
    """Return the file offset of the root page of a table or index."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    return (int(page) - 1) * 4096


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: overwrite(path, 0),
        lambda path: overwrite(path, 100),
        lambda path: overwrite(path, page_of(path, "sightings")),
        lambda path: overwrite(path, page_of(path, "outbox")),
        lambda path: overwrite(path, page_of(path, "sightings_by_time")),
        lambda path: path.write_bytes(path.read_bytes()[:5000]),
        lambda path: overwrite(path, 60, 4),
        lambda path: execute(path, "PRAGMA user_version = 0"),
        lambda path: execute(path, "DROP TABLE outbox"),
        lambda path: path.write_bytes(b"not a database" * 300),
    ],
    ids=[
        "header",
        "schema",
        "sightings",
        "outbox",
        "index",
        "cut short",
        "version",
        "no version",
        "no outbox",
        "other file",
    ],
)
def test_every_sighting_is_recovered_whatever_was_damaged(
    tmp_path: Path, damage: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    """Records come from readable rows, or else from picture names; the damaged file is kept and named."""
    fill_store(tmp_path)
    damage(tmp_path / "hivewatch.db")
    with Store(tmp_path) as store:
        stored = store.sightings(100)
        status = store.status()
    assert [sighting.id for sighting in stored] == [f"v{number:03}" for number in reversed(range(40))]
    assert all(sighting.clean_path and sighting.clean_path.exists() for sighting in stored)
    assert stored[-1].started_at == NOON
    assert status.set_aside is not None
    assert (tmp_path / status.set_aside).exists()
    assert f"moved aside as {status.set_aside}" in caplog.text


def test_unsent_messages_are_salvaged(tmp_path: Path) -> None:
    """Damage to the sightings loses no message."""
    fill_store(tmp_path)
    overwrite(tmp_path / "hivewatch.db", page_of(tmp_path / "hivewatch.db", "sightings"))
    with Store(tmp_path) as store:
        assert store.outbox_depth() == 40


@pytest.mark.parametrize("table", ["sightings", "outbox", "sightings_by_time"])
def test_state_is_salvaged(tmp_path: Path, table: str) -> None:
    fill_store(tmp_path)
    with Store(tmp_path) as store:
        store.remember("threshold", "0.875")
        store.remember("announced-topics", "a\nb")
    overwrite(tmp_path / "hivewatch.db", page_of(tmp_path / "hivewatch.db", table))
    with Store(tmp_path) as store:
        assert store.status().set_aside is not None
        assert (store.recall("threshold"), store.recall("announced-topics")) == ("0.875", "a\nb")


def test_damaged_state_loses_no_sighting_and_no_message(tmp_path: Path) -> None:
    fill_store(tmp_path)
    with Store(tmp_path) as store:
        store.remember("threshold", "0.875")
    overwrite(tmp_path / "hivewatch.db", page_of(tmp_path / "hivewatch.db", "state"), 4096)
    with Store(tmp_path) as store:
        assert (len(store.sightings(100)), store.outbox_depth()) == (40, 40)
        assert store.recall("threshold") is None
        store.remember("threshold", "0.5")
        assert store.recall("threshold") == "0.5"


def test_a_damaged_database_of_0_3_is_salvaged_and_its_files_are_taken_over(tmp_path: Path) -> None:
    fill_store(tmp_path)
    execute(tmp_path / "hivewatch.db", "DROP TABLE state")
    (tmp_path / "threshold").write_text("0.875\n")
    overwrite(tmp_path / "hivewatch.db", page_of(tmp_path / "hivewatch.db", "outbox"))
    with Store(tmp_path) as store:
        assert store.status().set_aside is not None
        assert len(store.sightings(100)) == 40
        assert store.recall("threshold") == "0.875"


def test_sightings_recovered_from_pictures_alone_count_as_ended(tmp_path: Path) -> None:
    """Nothing would ever end them; score and document are unknown and stay empty."""
    fill_store(tmp_path, 2)
    (tmp_path / "hivewatch.db").unlink()
    with Store(tmp_path) as store:
        latest = store.sightings(1)[0]
        assert store.interrupted() == []
    assert (latest.phase, latest.best_score, latest.document) == (Phase.END, None, None)


def test_a_recovered_store_is_consistent_and_continues(tmp_path: Path) -> None:
    """New sightings are stored as usual, and the next start finds no damage."""
    fill_store(tmp_path)
    overwrite(tmp_path / "hivewatch.db", 0)
    with Store(tmp_path) as store:
        store.check_integrity()
        record_visits(store, [50])
    with Store(tmp_path) as store:
        assert store.status().set_aside is None
        assert len(store.sightings(100)) == 41


def test_no_damaged_database_is_ever_deleted(tmp_path: Path) -> None:
    """Whatever was not salvaged is still in them."""
    fill_store(tmp_path, 4)
    (tmp_path / "hivewatch.db.damaged-20200101T000000Z").write_bytes(b"old")
    overwrite(tmp_path / "hivewatch.db", 0)
    Store(tmp_path).close()
    overwrite(tmp_path / "hivewatch.db", 0)
    Store(tmp_path).close()
    assert len(list(tmp_path.glob("*.damaged-*"))) == 3


def test_damage_found_while_running_raises_an_error_and_the_next_start_recovers(tmp_path: Path) -> None:
    """systemd restarts the daemon."""
    with Store(tmp_path) as store:
        record_visits(store, range(40))
        store._records.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        overwrite(tmp_path / "hivewatch.db", page_of(tmp_path / "hivewatch.db", "sightings"))
        store._records.execute("PRAGMA shrink_memory")
        with pytest.raises(StoreError, match=r"hivewatch\.db is damaged: the next start moves it aside"):
            store.check_integrity()
    with Store(tmp_path) as store:
        assert len(store.sightings(100)) == 40


def test_pictures_that_an_update_replaced_get_no_record(tmp_path: Path) -> None:
    """A power cut between commit and removal leaves them behind; the next start removes them."""
    with Store(tmp_path) as store:
        record_visits(store, [0])
        (stored,) = store.sightings(1)
    assert stored.clean_path is not None
    folder = stored.clean_path.parent
    (folder / "120000Z-v000-0.jpg").write_bytes(b"older")
    with Store(tmp_path) as store:
        assert len(store.sightings(10)) == 1
    assert sorted(path.name for path in folder.iterdir()) == [
        "120000Z-v000-1-annotated.jpg",
        "120000Z-v000-1.jpg",
    ]


def test_files_that_hivewatch_did_not_write_are_left_alone(tmp_path: Path) -> None:
    """A user may keep files there."""
    foreign = [Path("snapshots/2026-09-14/notes.jpg"), Path("snapshots/album/120000Z-x-1.jpg")]
    for name in foreign:
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"mine")
    with Store(tmp_path) as store:
        assert store.sightings(10) == []
    assert all((tmp_path / name).exists() for name in foreign)


def test_the_latest_event_of_a_visit_is_queued_again_if_only_its_record_is_left(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Visits after the oldest unsent one cannot have been sent; the order is kept."""
    fill_store(tmp_path)
    execute(tmp_path / "hivewatch.db", "DELETE FROM outbox WHERE sighting_id IN ('v025', 'v026', 'v039')")
    spoil_index(tmp_path / "hivewatch.db")
    with Store(tmp_path) as store:
        events = [json.loads(event.message.payload)["sighting_id"] for event in store.pending(20)]
    assert events == [f"v{number:03}" for number in range(20, 40)]
    assert "queued the latest events of 3 visits again" in caplog.text


def test_what_was_sent_is_not_queued_again(tmp_path: Path) -> None:
    """The oldest events are sent first, and the others are still in the outbox."""
    with Store(tmp_path) as store:
        record_visits(store, range(10))
        for entry in store.pending(4):
            store.mark_sent(entry.id)
    spoil_index(tmp_path / "hivewatch.db")
    with Store(tmp_path) as store:
        assert len([entry for entry in store.pending(100) if entry.message.topic == "hw/h1/event"]) == 6


@pytest.mark.parametrize("later", [0, 3])
def test_visits_that_were_never_queued_are_not_queued_by_a_salvage(tmp_path: Path, later: int) -> None:
    """They were recorded while MQTT was off, after one that could not be sent."""
    with Store(tmp_path) as store:
        record_visits(store, range(2))
        record_visits(store, range(2, 30), sent=True)
        record_visits(store, range(30, 30 + later))
    spoil_index(tmp_path / "hivewatch.db")
    with Store(tmp_path) as store:
        assert store.outbox_depth() == 2 * (2 + later)


def test_of_visits_that_were_never_queued_and_others_only_the_lost_are_queued_again(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        record_visits(store, range(10))
        record_visits(store, range(10, 30), sent=True)
    execute(tmp_path / "hivewatch.db", "DELETE FROM outbox WHERE sighting_id = 'v005'")
    spoil_index(tmp_path / "hivewatch.db")
    with Store(tmp_path) as store:
        events = [json.loads(event.message.payload)["sighting_id"] for event in store.pending(10)]
        assert store.outbox_depth() == 10 + 9
    assert events == [f"v{number:03}" for number in range(10)]


def test_an_event_is_not_queued_again_because_a_bit_of_its_record_has_changed(tmp_path: Path) -> None:
    fill_store(tmp_path)
    change = "UPDATE sightings SET document = replace(document, '\"votes\"', '\"vodes\"')"
    execute(tmp_path / "hivewatch.db", change)
    spoil_index(tmp_path / "hivewatch.db")
    with Store(tmp_path) as store:
        assert store.outbox_depth() == 40


def test_a_report_whose_message_was_lost_is_made_again(tmp_path: Path) -> None:
    """What was dropped does not count as reported because a damaged page had the report."""
    bounds = StoreConfig(least_free_mb=1e-6), OutboxConfig(largest_mb=1e-6), NOON
    with Store(tmp_path) as store:
        record_visits(store, range(3))
        dropped = store.keep_in_bounds(*bounds)
        assert dropped is not None
        store.queue_backlog(dropped, Message("hw/h1/backlog", b"{}", retained=False))
    execute(tmp_path / "hivewatch.db", "DELETE FROM outbox")
    spoil_index(tmp_path / "hivewatch.db")
    with Store(tmp_path) as store:
        assert store.keep_in_bounds(*bounds) == dropped


@pytest.mark.parametrize("offset", [0, 4, 8, 9])
def test_a_flipped_bit_in_the_header_of_a_page_loses_nothing(tmp_path: Path, offset: int) -> None:
    """Neither a visit nor the state, with the mark on which the ids of the installation depend."""
    fill_store(tmp_path / "store", 10)
    database = tmp_path / "store" / "hivewatch.db"
    data = database.read_bytes()
    for start in range(4096, len(data), 4096):
        spoilt = bytearray(data)
        spoilt[start + offset] ^= 0x08
        database.write_bytes(spoilt)
        with Store(tmp_path / "store") as store:
            assert store.recall(MADE_BY) is not None
            assert len([stored for stored in store.sightings(20) if stored.document]) == 10
            assert store.outbox_depth() == 10


def test_ids_in_any_order_keep_no_salvage_from_its_end(tmp_path: Path) -> None:
    """A flipped bit can change the id of an entry as well."""
    fill_store(tmp_path)
    path = tmp_path / "hivewatch.db"
    execute(path, "UPDATE outbox SET id = 500 WHERE sighting_id = 'v030' AND payload IS NOT NULL")
    execute(path, "UPDATE outbox SET id = 503 WHERE sighting_id = 'v028' AND payload IS NOT NULL")
    execute(path, "DELETE FROM outbox WHERE sighting_id = 'v027' OR sighting_id > 'v030'")
    execute(path, "UPDATE sqlite_sequence SET seq = 502 WHERE name = 'outbox'")
    spoil_index(path)
    with Store(tmp_path) as store:
        events = [json.loads(e.message.payload)["sighting_id"] for e in store.pending(99) if not e.is_picture]
    assert {"v028", "v030"} < set(events)
    assert len(events) == len(set(events))
