"""Reading a store without its lock: beside a running process, after one, and without the right to write."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from support.brokers import wait_until
from support.fakes import NOON
from support.paths import SUPPORT, python_path
from support.users import without_rights
from support.visits import record_visits

from hivewatch.errors import StoreError
from hivewatch.store import Store
from hivewatch.store.database import DATABASE
from hivewatch.store.reading import read_history


def files_of(directory: Path) -> dict[Path, tuple[bytes, int]]:
    """Return content and time of change of every file."""
    return {f: (f.read_bytes(), f.stat().st_mtime_ns) for f in directory.rglob("*") if f.is_file()}


@contextmanager
def endless_writer(directory: Path, prefix: str = "w") -> Iterator[subprocess.Popen[str]]:
    """Record sightings in a process of its own, which is killed at the end of the context."""
    command = [sys.executable, str(SUPPORT / "endless_writer.py"), str(directory), prefix]
    environment = os.environ | {"PYTHONPATH": python_path()}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as writer:
        try:
            assert writer.stdout is not None
            writer.stdout.readline()
            yield writer
        finally:
            writer.kill()


def test_sightings_since_a_time_are_returned_oldest_first_and_earlier_ones_counted(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        record_visits(store, [1, 3, 2, 0])
    history = read_history(tmp_path, NOON + timedelta(minutes=2))
    assert [sighting.id for sighting in history.sightings] == ["v002", "v003"]
    assert history.earlier == 2
    assert history.latest_earlier_at == NOON + timedelta(minutes=1)


def test_a_store_that_no_process_uses_is_read_without_a_change_to_its_folder(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        record_visits(store, [0])
    before = files_of(tmp_path)
    assert len(read_history(tmp_path, NOON).sightings) == 1
    assert files_of(tmp_path) == before


@pytest.mark.slow
def test_a_store_is_read_while_another_process_records_in_it(tmp_path: Path) -> None:
    with endless_writer(tmp_path) as writer:
        counts: list[int] = []

        def grows() -> bool:
            counts.append(len(read_history(tmp_path, NOON).sightings))
            return counts[-1] > counts[0] + 10

        wait_until(grows, "the reader sees what is recorded meanwhile")
        assert writer.poll() is None, "the writer was not disturbed"
    assert counts == sorted(counts)
    assert counts[0] > 0


@pytest.mark.slow
def test_a_store_whose_process_was_killed_is_read_without_a_change(tmp_path: Path) -> None:
    with endless_writer(tmp_path):
        pass
    before = files_of(tmp_path)
    assert tmp_path / f"{DATABASE}-wal" in before, "what was recorded is still in the write-ahead log"
    assert read_history(tmp_path, NOON).sightings
    assert files_of(tmp_path) == before


def test_a_store_is_read_by_a_user_who_may_not_write_to_it(tmp_path: Path) -> None:
    tmp_path.parent.parent.chmod(0o755)
    tmp_path.parent.chmod(0o755)
    directory = tmp_path / "store"
    tmp_path.chmod(0o755)
    with Store(directory) as store:
        record_visits(store, [0])
        directory.chmod(0o555)
        with without_rights(tmp_path):
            assert len(read_history(directory, NOON).sightings) == 1
    with without_rights(tmp_path):
        assert len(read_history(directory, NOON).sightings) == 1
    directory.chmod(0o755)


@pytest.mark.parametrize("locked", ["", DATABASE])
def test_a_store_that_the_user_may_not_read_says_what_to_do(tmp_path: Path, locked: str) -> None:
    with Store(tmp_path) as store:
        record_visits(store, [0])
    (tmp_path / locked).chmod(0)
    try:
        with (
            pytest.raises(StoreError, match=r"permission denied for .*hivewatch\.db: use sudo$"),
            without_rights(tmp_path),
        ):
            read_history(tmp_path, NOON)
    finally:
        (tmp_path / locked).chmod(0o755)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another group")
def test_a_user_outside_of_the_group_of_the_store_is_told_to_join_it(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        record_visits(store, [0])
    os.chown(tmp_path, 0, 44)  # Debian's group video
    tmp_path.chmod(0o750)
    advice = r"use sudo, or join the group video \(`sudo adduser \$USER video`, then log in again\)"
    with pytest.raises(StoreError, match=advice), without_rights(tmp_path):
        read_history(tmp_path, NOON)


def test_a_missing_store_says_that_hivewatch_has_not_run(tmp_path: Path) -> None:
    with pytest.raises(
        StoreError, match=r"there is no store in .*: hivewatch has not run .* or store\.directory"
    ):
        read_history(tmp_path / "nowhere", NOON)


def test_a_store_that_was_copied_without_its_shared_memory_asks_for_a_start(tmp_path: Path) -> None:
    (tmp_path / DATABASE).write_bytes(b"")
    (tmp_path / f"{DATABASE}-wal").write_bytes(b"recent")
    with pytest.raises(StoreError, match=r"was not closed.*: start hivewatch once"):
        read_history(tmp_path, NOON)


def test_a_database_that_is_being_created_holds_no_sightings(tmp_path: Path) -> None:
    (tmp_path / DATABASE).write_bytes(b"")
    assert read_history(tmp_path, NOON).sightings == []


def test_a_damaged_database_is_reported_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / DATABASE).write_bytes(b"no database " * 1000)
    with pytest.raises(StoreError, match=r"cannot read the visits in .*hivewatch\.db is damaged"):
        read_history(tmp_path, NOON)
    assert [file.name for file in tmp_path.iterdir()] == [DATABASE]


def test_the_database_of_a_newer_hivewatch_is_rejected(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / DATABASE)) as newer:
        newer.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match=r"made by a newer hivewatch \(version 99\): upgrade"):
        read_history(tmp_path, NOON)


@pytest.mark.parametrize(
    "change",
    ["started_at = '2026-09-14T12:0o'", "phase = 'emd'", "document = '{'", "document = CAST(x'ff' AS TEXT)"],
)
def test_a_value_that_a_flipped_bit_has_spoilt_is_reported_as_damage(tmp_path: Path, change: str) -> None:
    with Store(tmp_path) as store:
        record_visits(store, [0])
        store._records.execute(f"UPDATE sightings SET {change}")  # noqa: S608  only the changes above
    with pytest.raises(StoreError, match=r"hivewatch\.db is damaged: the next start"):
        read_history(tmp_path, NOON - timedelta(days=365))
