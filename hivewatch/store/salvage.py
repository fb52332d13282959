"""Recovery from a damaged database: a new one is built from every row that can be read, and takes its place.

Whenever this is interrupted, nothing is lost, and the next start goes on:

1. The new database is built beside the damaged one as ``.building``, synced, and renamed to
   ``.salvaged-<time>``. Until then the damaged one is in place, and building starts again.
2. The damaged one is renamed to ``.damaged-<time>``, then the new one gets its name. The next start finishes
   these renames if it finds a ``.salvaged-<time>``.

The new database names the damaged one in its table ``state``, in the transaction that takes the rows. Any
other ``.damaged-*`` is salvaged at the next start: hivewatch 0.3 renamed first and copied afterwards, so an
interruption left one whose rows were in no other database. None is ever deleted.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from hivewatch.store.database import CREATE_STATE, DATABASE, TABLES, create_tables, transaction
from hivewatch.store.disk import disk_errors, move_if_there, sync_folder, tolerate_full_disk
from hivewatch.store.opening import is_damage, open_database
from hivewatch.store.pages import read_rows
from hivewatch.store.requeue import requeue_lost_events
from hivewatch.store.rows import Row, mend, table_of
from hivewatch.store.state import recall, remember

log = logging.getLogger(__name__)

_BUILDING = f"{DATABASE}.building"
_SALVAGED = f"{DATABASE}.salvaged-"
_DAMAGED = f"{DATABASE}.damaged-"
_COMPANIONS = ("-wal", "-shm")

Rows = dict[str, list[Row]]


def open_or_salvage(directory: Path) -> tuple[sqlite3.Connection, Path | None]:
    """Open the database; put a new one with every row that can be read in the place of a damaged one.

    Rows of databases that were moved aside earlier, but not taken, are added. Return the connection and the
    path of the database that was salvaged last, None if there was none.
    """
    _finish_replacement(directory)
    _finish_move_of_0_3(directory)
    salvaged = None
    try:
        records = open_database(directory / DATABASE)
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        if not is_damage(error, directory / DATABASE):
            raise
        salvaged = _replace(directory, str(error))
        records = open_database(directory / DATABASE)
    try:
        # The latest first, because what is added later is sent earlier.
        kept = sorted(damaged_databases(directory), reverse=True)
        for damaged in kept:
            if not _is_taken(records, damaged):
                log.error("%s was moved aside, but its rows were not taken: salvaging it", damaged)
                with (
                    tolerate_full_disk(f"{damaged.name} waits for the next start"),
                    disk_errors("salvage", directory),
                ):
                    _take(damaged, damaged.name, records)
                salvaged = salvaged or damaged
    except BaseException:
        records.close()
        raise
    _log_kept(kept)
    return records, salvaged


def damaged_databases(directory: Path) -> list[Path]:
    """Return the databases that were moved aside."""
    return [path for path in directory.glob(f"{_DAMAGED}*") if not path.name.endswith(_COMPANIONS)]


def _log_kept(kept: list[Path]) -> None:
    if kept:
        size_mb = sum(path.stat().st_size for path in kept) / 1e6
        log.warning(
            "damaged databases are kept, %.1f MB: delete them when you need nothing more from them: %s",
            *(size_mb, ", ".join(path.name for path in kept)),
        )


def _replace(directory: Path, findings: str) -> Path:
    """Build a new database from the damaged one and let it take its place; return where the old one is."""
    database = directory / DATABASE
    damaged = _unused(directory / f"{_DAMAGED}{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
    log.error("%s is damaged (%s): salvaging what can be read", database, findings)
    building = directory / _BUILDING
    try:
        building.unlink(missing_ok=True)
        with closing(sqlite3.connect(building, isolation_level=None)) as records:
            # An interrupted building is thrown away, so it needs no journal.
            records.execute("PRAGMA journal_mode = MEMORY")
            records.execute("PRAGMA synchronous = OFF")
            create_tables(records)
            _take(database, damaged.name, records)
        _sync(building)
    except BaseException:
        building.unlink(missing_ok=True)
        raise
    building.rename(directory / damaged.name.replace(_DAMAGED, _SALVAGED))
    sync_folder(directory)
    _finish_replacement(directory)
    log.error("%s was damaged: moved aside as %s", database, damaged.name)
    return damaged


def _finish_replacement(directory: Path) -> None:
    """Move the damaged database aside, and give its name to the one that was built from it."""
    for salvaged in sorted(directory.glob(f"{_SALVAGED}*")):
        damaged = directory / salvaged.name.replace(_SALVAGED, _DAMAGED)
        if directory / DATABASE in directory.iterdir():
            damaged = _unused(damaged)
        for companion in (*_COMPANIONS, ""):
            move_if_there(directory / f"{DATABASE}{companion}", Path(f"{damaged}{companion}"))
        # The new database must never be found beside the log of the old one.
        sync_folder(directory)
        salvaged.rename(directory / DATABASE)
        sync_folder(directory)


def _finish_move_of_0_3(directory: Path) -> None:
    """Move the log after the database that hivewatch 0.3 had just moved aside: SQLite would delete it."""
    if (damaged := damaged_databases(directory)) and directory / DATABASE not in directory.iterdir():
        move_if_there(directory / f"{DATABASE}-wal", _unused(Path(f"{max(damaged)}-wal")))


def _unused(path: Path) -> Path:
    """Return ``path``, with a number at its end if there is such a file already."""
    unused, number, used = path, 2, set(path.parent.iterdir())
    while unused in used:
        unused = path.with_name(f"{path.name}-{number}")
        number += 1
    return unused


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _key(damaged_name: str) -> str:
    return f"salvaged:{damaged_name}"


def _is_taken(records: sqlite3.Connection, damaged: Path) -> bool:
    try:
        return recall(records, _key(damaged.name)) is not None
    except sqlite3.OperationalError:  # a database of 0.3 has no such table yet
        return False


def _take(source: Path, name: str, records: sqlite3.Connection) -> None:
    """Take the rows of the damaged database ``source`` and note its future ``name``, in one transaction."""
    rows, damaged_count, last_id = _readable_rows(source)
    with transaction(records):
        records.execute(CREATE_STATE)
        if _holds_any(records, rows):  # hivewatch 0.3 did not note what it had taken
            log.warning("the rows of %s had been taken before", name)
        else:
            is_new = records.execute("SELECT 1 FROM sightings LIMIT 1").fetchone() is None
            _insert_all(records, rows)
            counts = ", ".join(f"{len(rows[table])} rows of {table}" for table in TABLES)
            log.error("salvaged from %s: %s; %d damaged rows are left in it", name, counts, damaged_count)
            if is_new and (requeued := requeue_lost_events(records, last_id)):
                log.error("queued the latest events of %d visits again, which the outbox had lost", requeued)
        remember(records, _key(name), datetime.now(UTC).isoformat())


def _readable_rows(source: Path) -> tuple[Rows, int, int | None]:
    """Return the usable rows by table in their order, and how many rows could be read but not used.

    Then the last id that SQLite has given to an outbox entry, None if that cannot be read.
    """
    rows: Rows = {table: [] for table in TABLES}
    damaged_count, last_id = 0, None
    for rowid, values in sorted(read_rows(source), key=lambda row: row[0]):
        if values[:1] == ["outbox"] and len(values) == 2 and isinstance(values[1], int):  # sqlite_sequence
            last_id = values[1]
        if (found := table_of(rowid, values)) is None:
            continue
        if (row := mend(*found)) is not None:
            rows[found[0]].append(row)
        else:
            damaged_count += 1
    return rows, damaged_count, last_id


def _holds_any(records: sqlite3.Connection, rows: Rows) -> bool:
    """Return whether a sighting of ``rows`` has a record that was not made from its pictures alone."""
    known = {id_ for (id_,) in records.execute("SELECT id FROM sightings WHERE document IS NOT NULL")}
    return any(row["id"] in known for row in rows["sightings"] if row["document"] is not None)


def _insert_all(records: sqlite3.Connection, rows: Rows) -> None:
    _put_before(records, rows)
    for row in rows["sightings"]:
        _insert(records, "sightings", row)
        _complete(records, row)
    for table in ("outbox", "backlog", "state"):
        for row in rows[table]:
            _insert(records, table, row)
    # A report whose message is not in the outbox has been sent, or the message was lost: report it again.
    records.execute("UPDATE backlog SET entry_id = NULL WHERE entry_id NOT IN (SELECT id FROM outbox)")


def _put_before(records: sqlite3.Connection, rows: Rows) -> None:
    """Give the outbox entries ids below those in use: they are older, and must replace none."""
    (lowest,) = records.execute("SELECT min(id) FROM outbox").fetchone()
    if lowest is None or not rows["outbox"]:
        return
    shift = min(0, lowest - 1 - max(entry["id"] for entry in rows["outbox"]))
    for entry in rows["outbox"]:
        entry["id"] += shift
    for row in rows["backlog"]:
        row["entry_id"] = row["entry_id"] and row["entry_id"] + shift


def _insert(records: sqlite3.Connection, table: str, row: Row) -> None:
    columns, marks = ", ".join(row), ", ".join("?" * len(row))
    insert = f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({marks})"  # noqa: S608  only our own names
    records.execute(insert, tuple(row.values()))


def _complete(records: sqlite3.Connection, row: Row) -> None:
    """Replace the record of a sighting that was made from its pictures alone."""
    columns = ", ".join(f"{name} = ?" for name in row)
    update = f"UPDATE sightings SET {columns} WHERE id = ? AND document IS NULL"  # noqa: S608  only our own names
    records.execute(update, (*row.values(), row["id"]))
