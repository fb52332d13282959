"""A damaged database is set aside, what can be read is taken over, and pictures are listed again."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from support.fakes import NOON
from support.visits import record_visits

from hivewatch.domain.sightings import Phase
from hivewatch.errors import StoreError
from hivewatch.store import Store


def filled(directory: Path, count: int = 40) -> None:
    """Make a store with sightings, of which the later half waits to be sent."""
    with Store(directory) as store:
        record_visits(store, range(count // 2), sent=True)
        record_visits(store, range(count // 2, count))


def overwrite(path: Path, offset: int, length: int = 3000) -> None:
    """Damage a file."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xa5" * length)


def execute(path: Path, statement: str) -> None:
    """Do to a database what nobody should."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)


def page_of(database: Path, table: str) -> int:
    """Return the offset of a leaf page of a table."""
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
        lambda path: path.write_bytes(b"not a database, whatever it may have been" * 100),
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
def test_every_sighting_is_listed_again_whatever_was_damaged(
    tmp_path: Path, damage: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    """Records come from what can be read, else from the pictures' names; the old file is kept and named."""
    filled(tmp_path)
    damage(tmp_path / "hivewatch.db")
    with Store(tmp_path) as store:
        stored = store.sightings(100)
        status = store.status()
    assert [sighting.id for sighting in stored] == [f"v{number:03}" for number in reversed(range(40))]
    assert all(sighting.clean_path and sighting.clean_path.exists() for sighting in stored)
    assert stored[-1].started_at == NOON
    assert status.set_aside is not None
    assert (tmp_path / status.set_aside).exists()
    assert f"it was set aside as {status.set_aside}" in caplog.text


def test_unsent_messages_are_taken_over_from_what_can_be_read(tmp_path: Path) -> None:
    """Damage among the sightings costs no message: all that waited still waits."""
    filled(tmp_path)
    overwrite(tmp_path / "hivewatch.db", page_of(tmp_path / "hivewatch.db", "sightings"))
    with Store(tmp_path) as store:
        assert store.outbox_depth() == 40


@pytest.mark.parametrize("table", ["sightings", "outbox", "sightings_by_time"])
def test_state_is_taken_over_from_what_can_be_read(tmp_path: Path, table: str) -> None:
    filled(tmp_path)
    with Store(tmp_path) as store:
        store.remember("threshold", "0.875")
        store.remember("announced-topics", "a\nb")
    overwrite(tmp_path / "hivewatch.db", page_of(tmp_path / "hivewatch.db", table))
    with Store(tmp_path) as store:
        assert store.status().set_aside is not None
        assert (store.recall("threshold"), store.recall("announced-topics")) == ("0.875", "a\nb")


def test_damaged_state_costs_no_sighting_and_no_message(tmp_path: Path) -> None:
    filled(tmp_path)
    with Store(tmp_path) as store:
        store.remember("threshold", "0.875")
    overwrite(tmp_path / "hivewatch.db", page_of(tmp_path / "hivewatch.db", "state"))
    with Store(tmp_path) as store:
        assert (len(store.sightings(100)), store.outbox_depth()) == (40, 40)
        assert store.recall("threshold") is None
        store.remember("threshold", "0.5")
        assert store.recall("threshold") == "0.5"


def test_a_damaged_database_of_0_3_is_salvaged_and_its_files_are_taken_over(tmp_path: Path) -> None:
    filled(tmp_path)
    execute(tmp_path / "hivewatch.db", "DROP TABLE state")
    (tmp_path / "threshold").write_text("0.875\n")
    overwrite(tmp_path / "hivewatch.db", page_of(tmp_path / "hivewatch.db", "outbox"))
    with Store(tmp_path) as store:
        assert store.status().set_aside is not None
        assert len(store.sightings(100)) == 40
        assert store.recall("threshold") == "0.875"


def test_sightings_known_by_their_pictures_alone_are_taken_for_ended(tmp_path: Path) -> None:
    """Nobody waits for an end of what nobody remembers; what is not known is not made up."""
    filled(tmp_path, 2)
    (tmp_path / "hivewatch.db").unlink()
    with Store(tmp_path) as store:
        latest = store.sightings(1)[0]
        assert store.interrupted() == []
    assert (latest.phase, latest.best_score, latest.document) == (Phase.END, None, None)


def test_a_mended_store_is_in_order_and_works_on(tmp_path: Path) -> None:
    """The next start finds nothing to mend, and new sightings are kept as ever."""
    filled(tmp_path)
    overwrite(tmp_path / "hivewatch.db", 0)
    with Store(tmp_path) as store:
        store.check_integrity()
        record_visits(store, [50])
    with Store(tmp_path) as store:
        assert store.status().set_aside is None
        assert len(store.sightings(100)) == 41


def test_of_damaged_databases_only_the_latest_is_kept(tmp_path: Path) -> None:
    """A card that goes bad must not fill itself with them."""
    filled(tmp_path, 4)
    (tmp_path / "hivewatch.db.damaged-20200101T000000Z").write_bytes(b"old")
    overwrite(tmp_path / "hivewatch.db", 0)
    Store(tmp_path).close()
    assert len([path for path in tmp_path.glob("*.damaged-*") if path.suffix != ".tmp"]) == 1


def test_damage_found_while_running_ends_the_daemon_in_words(tmp_path: Path) -> None:
    """It is mended at the next start, which systemd sees to."""
    with Store(tmp_path) as store:
        record_visits(store, range(40))
        store._records.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        overwrite(tmp_path / "hivewatch.db", page_of(tmp_path / "hivewatch.db", "sightings"))
        store._records.execute("PRAGMA shrink_memory")
        with pytest.raises(StoreError, match=r"hivewatch\.db is damaged: at the next start it is set aside"):
            store.check_integrity()
    with Store(tmp_path) as store:
        assert len(store.sightings(100)) == 40


def test_pictures_that_an_update_replaced_are_not_listed_again(tmp_path: Path) -> None:
    """What a power cut leaves between commit and removal goes at the next start."""
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


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    """Whatever a person puts there."""
    strangers = [Path("snapshots/2026-09-14/notes.jpg"), Path("snapshots/album/120000Z-x-1.jpg")]
    for name in strangers:
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"mine")
    with Store(tmp_path) as store:
        assert store.sightings(10) == []
    assert all((tmp_path / name).exists() for name in strangers)
