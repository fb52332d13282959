"""Recovery from a damaged database: move it aside, and copy what can be read into a new one."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hivewatch.domain.sightings import Phase
from hivewatch.store.database import DATABASE, TABLES, iso, open_database, transaction
from hivewatch.store.disk import primary_code, sync_folder
from hivewatch.store.pictures import Album, FoundPictures

log = logging.getLogger(__name__)

_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_SUFFIXES = ("", "-wal", "-shm")


def open_or_salvage(directory: Path) -> tuple[sqlite3.Connection, Path | None]:
    """Open the database; move a damaged one aside, and start a new one with what could be read from it.

    Return the connection and the path of the damaged database, None if it was not damaged.
    """
    try:
        return open_database(directory), None
    except sqlite3.DatabaseError as error:
        if primary_code(error) not in _DAMAGE:
            raise
        findings = str(error)
    damaged = _move_aside(directory)
    log.error("%s was damaged (%s): moved aside as %s", directory / DATABASE, findings, damaged.name)
    records = open_database(directory)
    try:
        counts = _copy_rows(damaged, records)
    except BaseException:
        records.close()
        raise
    log.error("salvaged from it: %s", ", ".join(f"{n} rows of {table}" for table, n in counts.items()))
    return records, damaged


def relist_orphans(records: sqlite3.Connection, album: Album) -> None:
    """Make records for pictures that have none.

    Superseded pictures of sightings that have a record are removed: a power cut can leave them behind.
    """
    known = dict(records.execute("SELECT id, picture FROM sightings"))
    orphans = [found for found in album.scan() if known.get(found.sighting_id) != found.pictures.stem]
    if not orphans:
        return
    count = 0
    with transaction(records):
        for found in sorted(orphans, key=lambda found: found.pictures.revision, reverse=True):
            if found.sighting_id in known:
                album.remove(found.pictures)
            else:
                known[found.sighting_id] = found.pictures.stem
                _insert_orphan(records, found)
                count += 1
    if count:
        log.warning("made records for %d sightings of which only the pictures were left", count)


def _insert_orphan(records: sqlite3.Connection, found: FoundPictures) -> None:
    at, pictures = iso(found.started_at), found.pictures
    records.execute(
        "INSERT INTO sightings (id, phase, started_at, last_seen_at, revision, picture, size_bytes)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (found.sighting_id, Phase.END, at, at, pictures.revision, pictures.stem, pictures.size_bytes),
    )


def _move_aside(directory: Path) -> Path:
    """Rename the damaged database and return its path; keep only the latest, because they are large."""
    for old in directory.glob(f"{DATABASE}.damaged-*"):
        old.unlink()
    damaged = directory / f"{DATABASE}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    for suffix in _SUFFIXES:
        with suppress(FileNotFoundError):
            (directory / f"{DATABASE}{suffix}").rename(f"{damaged}{suffix}")
    sync_folder(directory)
    return damaged


def _copy_rows(source: Path, records: sqlite3.Connection) -> dict[str, int]:
    """Copy the rows that can be read and are valid; return their number by table."""
    counts = dict.fromkeys(TABLES, 0)
    with closing(sqlite3.connect(source)) as damaged, transaction(records):
        for table in TABLES:
            for row in _readable_rows(damaged, table):
                with suppress(sqlite3.Error):  # a damaged row may violate any constraint
                    counts[table] += _insert(records, table, row)
    return counts


def _insert(records: sqlite3.Connection, table: str, row: dict[str, Any]) -> int:
    columns, marks = ", ".join(row), ", ".join("?" * len(row))
    insert = f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({marks})"  # noqa: S608  only our own names
    return records.execute(insert, tuple(row.values())).rowcount


def _readable_rows(damaged: sqlite3.Connection, table: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of ``table`` from the first one up and from the last one down, each up to the damage."""
    for direction in ("ASC", "DESC"):
        with suppress(sqlite3.DatabaseError, UnicodeDecodeError):
            rows = damaged.execute(f"SELECT * FROM {table} ORDER BY rowid {direction}")  # noqa: S608
            names = [column[0] for column in rows.description]
            for values in rows:
                row = dict(zip(names, values, strict=True))
                if all(_is_json(row.get(name)) for name in ("document", "payload", "sighting_ids")):
                    yield row


def _is_json(text: str | bytes | None) -> bool:
    try:
        return text is None or json.loads(text) is not None
    except ValueError:
        return False
