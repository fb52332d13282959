"""Whatever interrupts a salvage, and whenever, the next start goes on, and no message is lost."""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.disks import fill, small_disk
from support.salvage_trials import damaged_databases, killed_salvages, make_store, spoil_index, waiting_events
from support.visits import make_visit, record_visits

from hivewatch.errors import DiskFullError
from hivewatch.store import Store, salvage

VISITS = 10


class PowerCut(BaseException):
    """Ends everything where it is raised."""


def interrupt(monkeypatch: pytest.MonkeyPatch, owner: object, name: str, call: int) -> None:
    """Cut the power in place of the given call of a function."""
    original: Callable[..., object] = getattr(owner, name)
    calls = 0

    def interrupted(*arguments: object) -> object:
        nonlocal calls
        calls += 1
        if calls == call:
            raise PowerCut
        return original(*arguments)

    monkeypatch.setattr(owner, name, interrupted)


@pytest.mark.parametrize("name", ["rename", "sync_folder", "_insert", "_take", "_sync", "open_database"])
@pytest.mark.parametrize("call", [1, 2, 3, 7])
def test_a_power_cut_at_any_step_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, call: int
) -> None:
    """Neither does one of the next start."""
    expected = make_store(tmp_path, VISITS)
    spoil_index(tmp_path / "hivewatch.db")
    (tmp_path / "hivewatch.db-wal").write_bytes(b"of the old one")
    for _ in range(2):
        with monkeypatch.context() as patch:
            interrupt(patch, Path if name == "rename" else salvage, name, call)
            with contextlib.suppress(PowerCut):
                Store(tmp_path).close()
    with Store(tmp_path) as store:
        assert waiting_events(store) == expected
        assert store.recall("threshold") == "0.875"
        store.check_integrity()
    assert list(tmp_path.glob("*.building*")) == list(tmp_path.glob("*.salvaged-*")) == []
    assert any(path.read_bytes() for path in salvage.damaged_databases(tmp_path))


@pytest.mark.slow
def test_kills_at_random_instants_lose_nothing(tmp_path: Path) -> None:
    outcome = killed_salvages(tmp_path / "trial", runs=10)
    assert outcome.survived, outcome
    assert outcome.runs == 10


@pytest.mark.slow
def test_damaged_databases_open_and_lose_nothing_silently(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "hivewatch")
    outcome = damaged_databases(tmp_path / "trial", count=40)
    assert outcome.survived, outcome


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """The daemon says what to do, and goes on once there is room."""
    with small_disk(tmp_path / "disk", 3) as disk:
        expected = make_store(disk / "store", VISITS)
        spoil_index(disk / "store" / "hivewatch.db")
        ballast = fill(disk)
        with ballast.open("r+b") as file:
            file.truncate(ballast.stat().st_size - 40_000)
        for _ in range(2):
            with pytest.raises(DiskFullError, match="free some space"):
                Store(disk / "store")
        ballast.unlink()
        with Store(disk / "store") as store:
            assert waiting_events(store) == expected


def move_aside_as_0_3_did(directory: Path) -> None:
    """Rename the database as version 0.3 did before it copied any rows."""
    (directory / "hivewatch.db").rename(directory / "hivewatch.db.damaged-20261001T080000Z")


def test_what_0_3_moved_aside_and_never_copied_is_taken_before_what_came_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """0.3 took the empty database for a healthy one, and ids of old and new messages are the same."""
    expected = make_store(tmp_path, VISITS)
    move_aside_as_0_3_did(tmp_path)
    with Store(tmp_path / "new") as store:
        record_visits(store, [20, 21])
        expected += waiting_events(store)
    shutil.copy(tmp_path / "new" / "hivewatch.db", tmp_path)
    with Store(tmp_path) as store:
        assert waiting_events(store) == expected
        assert all(stored.document for stored in store.sightings(100) if stored.id < "v020")
        assert store.status().set_aside == "hivewatch.db.damaged-20261001T080000Z"
    assert "was moved aside, but its rows were not taken" in caplog.text
    with Store(tmp_path) as store:
        assert waiting_events(store) == expected
        assert store.status().set_aside is None


def test_records_made_from_pictures_alone_are_completed(tmp_path: Path) -> None:
    """0.3 made them after its interrupted salvage."""
    make_store(tmp_path, VISITS)
    move_aside_as_0_3_did(tmp_path)
    aside = tmp_path / "hivewatch.db.damaged-20261001T080000Z"
    aside.rename(tmp_path / "away")
    with Store(tmp_path) as store:
        assert [stored.document for stored in store.sightings(100)] == [None] * VISITS
    (tmp_path / "away").rename(aside)
    with Store(tmp_path) as store:
        assert all(stored.document and stored.best_score for stored in store.sightings(100))
        assert len(store.sightings(100)) == VISITS


def send_all(directory: Path) -> None:
    """Open the store, and remove every message as if it had been sent."""
    with Store(directory) as store:
        while waiting := store.pending(100):
            for entry in waiting:
                store.mark_sent(entry.id)


def test_what_0_3_had_copied_is_not_taken_twice(tmp_path: Path) -> None:
    """Its messages may have been sent since."""
    make_store(tmp_path, VISITS)
    shutil.copy(tmp_path / "hivewatch.db", tmp_path / "hivewatch.db.damaged-20261001T080000Z")
    send_all(tmp_path)
    with Store(tmp_path) as store:
        assert store.pending(10) == []


def test_messages_that_were_sent_after_a_salvage_are_not_sent_again(tmp_path: Path) -> None:
    make_store(tmp_path, VISITS)
    spoil_index(tmp_path / "hivewatch.db")
    send_all(tmp_path)
    with Store(tmp_path) as store:
        assert store.pending(10) == []


def test_what_is_only_in_the_log_is_salvaged(tmp_path: Path) -> None:
    """The process was killed, so nothing had copied the log into the database."""
    with Store(tmp_path / "live") as store:
        record_visits(store, range(3))
        shutil.copytree(tmp_path / "live", tmp_path / "killed")
        expected = waiting_events(store)
    (tmp_path / "killed" / "hivewatch.db").write_bytes(b"")
    with Store(tmp_path / "killed") as store:
        assert waiting_events(store) == expected


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
def test_of_a_file_that_was_cut_short_the_rest_is_salvaged(tmp_path: Path, share: float) -> None:
    """SQLite itself reads nothing of it."""
    expected = make_store(tmp_path, 40)
    database = tmp_path / "hivewatch.db"
    data = database.read_bytes()
    database.write_bytes(data[: int(share * len(data))])
    with Store(tmp_path) as store:
        found = waiting_events(store)
    assert len(found) > (share - 0.2) * len(expected)
    assert found == [event for event in expected if event in set(found)]


def test_a_picture_whose_name_was_damaged_in_its_record_is_kept(tmp_path: Path) -> None:
    """It belongs to a record, but is not the one that the record names: it must not count as superseded."""
    with Store(tmp_path) as store:
        store.record(*make_visit(0))
        (stored,) = store.sightings(1)
        store._records.execute("UPDATE sightings SET picture = replace(picture, '-1', '-3')")
    assert stored.annotated_path is not None
    with Store(tmp_path) as store:
        (again,) = store.sightings(1)
        assert again.annotated_path == stored.annotated_path
        assert stored.annotated_path.exists()
        assert [entry.message.topic for entry in store.pending(10)] == ["hw/h1/event", "hw/h1/snapshot"]


@pytest.mark.parametrize("offset", [0, 18, 32 + 3 * 4120 + 1000, 32 + 3 * 4120 + 10, 32 + 3 * 4120 + 18])
def test_a_flipped_bit_in_the_log_hides_no_later_visit(tmp_path: Path, offset: int) -> None:
    """SQLite would ignore the rest of the log without a word."""
    with Store(tmp_path / "live") as store:
        record_visits(store, range(10))
        shutil.copytree(tmp_path / "live", tmp_path / "killed")
        expected = waiting_events(store)
    log = tmp_path / "killed" / "hivewatch.db-wal"
    content = bytearray(log.read_bytes())
    content[offset] ^= 4
    log.write_bytes(content)
    with Store(tmp_path / "killed") as store:
        assert store.status().set_aside is not None
        assert waiting_events(store) == expected


def test_a_transaction_that_a_power_cut_interrupted_is_no_damage(tmp_path: Path) -> None:
    """Its pages are at the end of the log, without a commit after them."""
    with Store(tmp_path / "live") as store:
        record_visits(store, range(10))
        shutil.copytree(tmp_path / "live", tmp_path / "killed")
    log = tmp_path / "killed" / "hivewatch.db-wal"
    log.write_bytes(log.read_bytes()[:-3000] + bytes(3000))
    with Store(tmp_path / "killed") as store:
        assert store.status().set_aside is None
        assert len(waiting_events(store)) == 9


def test_a_log_that_0_3_did_not_get_to_move_belongs_to_the_database_that_it_moved(tmp_path: Path) -> None:
    """It renamed the files one after the other; SQLite would delete a log without its database."""
    with Store(tmp_path / "live") as store:
        record_visits(store, range(5))
        store._records.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        record_visits(store, range(5, 10))
        shutil.copytree(tmp_path / "live", tmp_path / "killed")
        expected = waiting_events(store)
    move_aside_as_0_3_did(tmp_path / "killed")
    with Store(tmp_path / "killed") as store:
        assert waiting_events(store) == expected
