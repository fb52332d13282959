"""The reader of damaged databases finds what SQLite finds in an intact one, and rows past a damage."""

from __future__ import annotations

import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from hivewatch.store.database import connect, create_tables
from hivewatch.store.pages import PAGE_BYTES, Value, committed_pages, read_rows

Row = tuple[int, list[Value]]


def make_database(path: Path, rows: int = 300) -> None:
    """Make a database with rows of every kind of value, short and long."""
    rng = random.Random(1)
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE t (a, b, c)")
        for number in range(rows):
            integer = rng.choice([0, 1, -1, rng.getrandbits(rng.randint(1, 62)), -rng.getrandbits(40)])
            real = rng.choice([None, 0.5, 1e300, float(number)])
            length = rng.choice([0, 1, 50, 400, 1000, 4050, 4070, 5000, 20_000])
            values = (integer, real, rng.randbytes(length) if number % 2 else "ü" * (length // 2))
            database.execute("INSERT INTO t (rowid, a, b, c) VALUES (?, ?, ?, ?)", (number - 5, *values))
        database.execute("DELETE FROM t WHERE rowid % 10 = 3")
        database.commit()


def rows_of_sqlite(path: Path) -> list[Row]:
    """Return the rows as SQLite reads them."""
    with closing(sqlite3.connect(path)) as database:
        return [(rowid, values) for rowid, *values in database.execute("SELECT rowid, a, b, c FROM t")]


def rows_of_reader(path: Path) -> list[Row]:
    """Return the rows of the table as the reader finds them."""
    rows = [(rowid, values) for rowid, values in read_rows(path) if len(values) == 3]
    return sorted(rows, key=lambda row: row[0])


def test_an_intact_database_is_read_as_sqlite_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    make_database(path)
    expected = [(rowid, list(values)) for rowid, values in rows_of_sqlite(path)]
    assert rows_of_reader(path) == expected


def test_what_is_in_the_write_ahead_log_counts(tmp_path: Path) -> None:
    """Only up to the last commit, as SQLite does."""
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE t (a, b, c)")
        database.execute("INSERT INTO t VALUES (1, 'kept', NULL)")
        database.execute("INSERT INTO t VALUES (2, 'in the log', x'00')")
        copy = tmp_path / "copy.db"
        shutil.copy(path, copy)
        shutil.copy(f"{path}-wal", f"{copy}-wal")
    assert rows_of_reader(copy) == [(1, [1, "kept", None]), (2, [2, "in the log", b"\x00"])]


def test_a_damaged_frame_of_the_log_hides_no_later_one(tmp_path: Path) -> None:
    """SQLite ignores everything after it."""
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE t (a)")
        for number in range(5):
            database.execute("INSERT INTO t VALUES (?)", (number,))
        log = bytearray(Path(f"{path}-wal").read_bytes())
    whole = list(committed_pages(bytes(log)))
    frame = 24 + PAGE_BYTES
    log[32 + 3 * frame + 1000] ^= 0x10
    assert len(whole) == len(log) // frame
    assert list(committed_pages(bytes(log))) == whole[:3] + whole[4:]


@pytest.mark.parametrize("damage", ["zeros", "noise"])
def test_rows_on_other_pages_are_found_past_a_damaged_one(tmp_path: Path, damage: str) -> None:
    """Each page in turn is damaged; no row comes back altered unnoticed, and most come back."""
    path = tmp_path / "a.db"
    make_database(path, 60)
    intact, data = rows_of_reader(path), path.read_bytes()
    pages = len(data) // PAGE_BYTES
    found = 0
    for number in range(pages):
        spoilt = bytearray(data)
        noise = random.Random(number).randbytes(PAGE_BYTES) if damage == "noise" else bytes(PAGE_BYTES)
        spoilt[number * PAGE_BYTES : (number + 1) * PAGE_BYTES] = noise
        path.write_bytes(spoilt)
        found += len({rowid for rowid, _ in rows_of_reader(path)} & {rowid for rowid, _ in intact})
    assert found > 0.95 * pages * len(intact)


@pytest.mark.parametrize(
    ("start", "spoilt"),
    [
        *((0, bytes([0x0D ^ 1 << bit])) for bit in range(8)),
        (0, bytes(16)),
        (0, b"\xa5" * 12),
        (3, b"\xff\xff"),
        (8, b"\xff\xff"),
    ],
)
def test_short_rows_of_a_page_whose_header_is_damaged_are_found(
    tmp_path: Path, start: int, spoilt: bytes
) -> None:
    path = tmp_path / "a.db"
    make_database(path, 60)
    data = path.read_bytes()
    short = [(rowid, values) for rowid, values in rows_of_sqlite(path) if len(values[2]) <= 1000]
    leaves = [offset for offset in range(PAGE_BYTES, len(data), PAGE_BYTES) if data[offset] == 0x0D]
    assert len(leaves) > 5
    for leaf in leaves:
        damaged = bytearray(data)
        damaged[leaf + start : leaf + start + len(spoilt)] = spoilt
        path.write_bytes(damaged)
        found = rows_of_reader(path)
        assert [row for row in short if (row[0], list(row[1])) not in found] == []


def test_a_length_beyond_any_file_is_damage(tmp_path: Path) -> None:
    """A row of a text whose length has nine bytes, and a real number after it."""
    header = b"\x0b" + b"\xff" * 9 + b"\x07"
    row = bytes([len(header) + 8, 1]) + header + bytes(8)
    page = bytearray(PAGE_BYTES)
    page[:10] = b"\x0d\0\0\0\x01\0\0\0\x08\0"
    page[2048 : 2048 + len(row)] = row
    (tmp_path / "a.db").write_bytes(bytes(PAGE_BYTES) + page)
    assert list(read_rows(tmp_path / "a.db")) == []


def test_random_files_are_read_without_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    make_database(path, 60)
    data = path.read_bytes()
    for seed in range(100):
        rng = random.Random(seed)
        spoilt = bytearray(data)
        for _ in range(200):
            spoilt[rng.randrange(len(spoilt))] = rng.randrange(256)
        path.write_bytes(spoilt[: rng.randrange(len(spoilt))])
        list(read_rows(path))


def test_a_new_database_has_pages_of_the_size_that_the_reader_expects(tmp_path: Path) -> None:
    with closing(connect(tmp_path / "a.db", "FULL")) as database:
        create_tables(database)
        (size,) = database.execute("PRAGMA page_size").fetchone()
    assert size == PAGE_BYTES
