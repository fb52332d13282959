"""A damaged database is set aside, and what it held is put together again from what can be read."""

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
from hivewatch.store.pictures import Album, Found

log = logging.getLogger(__name__)

_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_COMPANIONS = ("", "-wal", "-shm")


def open_or_begin_anew(directory: Path) -> tuple[sqlite3.Connection, Path | None]:
    """Open the database; a damaged one is set aside and a new one begun with what could be read of it.

    Returns also where the damaged one was put, None if all is well.
    """
    try:
        return open_database(directory), None
    except sqlite3.DatabaseError as error:
        if primary_code(error) not in _DAMAGE:
            raise
        findings = str(error)
    aside = _set_aside(directory)
    log.error("%s was damaged (%s): it was set aside as %s", directory / DATABASE, findings, aside.name)
    records = open_database(directory)
    try:
        counts = _take_over(aside, records)
    except BaseException:
        records.close()
        raise
    log.error("taken over from it: %s", ", ".join(f"{n} rows of {table}" for table, n in counts.items()))
    return records, aside


def list_again(records: sqlite3.Connection, album: Album) -> int:
    """Make records of pictures that have none; return how many sightings that were.

    Superseded pictures of sightings that have a record are removed: a power cut can leave them behind.
    """
    known = dict(records.execute("SELECT id, picture FROM sightings"))
    strays = [found for found in album.found() if known.get(found.sighting_id) != found.pictures.stem]
    if not strays:
        return 0
    listed = 0
    with transaction(records):
        for found in sorted(strays, key=lambda stray: stray.pictures.revision, reverse=True):
            if found.sighting_id in known:
                album.remove(found.pictures)
            else:
                known[found.sighting_id] = found.pictures.stem
                _list(records, found)
                listed += 1
    if listed:
        log.warning("%d sightings without a record were listed again by their pictures", listed)
    return listed


def _list(records: sqlite3.Connection, found: Found) -> None:
    at, pictures = iso(found.started_at), found.pictures
    records.execute(
        "INSERT INTO sightings (id, phase, started_at, last_seen_at, revision, picture, size_bytes)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (found.sighting_id, Phase.END, at, at, pictures.revision, pictures.stem, pictures.size_bytes),
    )


def _set_aside(directory: Path) -> Path:
    """Rename the database; of those set aside only the latest is kept, for they are large."""
    for old in directory.glob(f"{DATABASE}.damaged-*"):
        old.unlink()
    aside = directory / f"{DATABASE}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    for companion in _COMPANIONS:
        with suppress(FileNotFoundError):
            (directory / f"{DATABASE}{companion}").rename(f"{aside}{companion}")
    sync_folder(directory)
    return aside


def _take_over(aside: Path, records: sqlite3.Connection) -> dict[str, int]:
    """Copy the rows that can be read and make sense; return their number for each table."""
    counts = dict.fromkeys(TABLES, 0)
    with closing(sqlite3.connect(aside)) as damaged, transaction(records):
        for table in TABLES:
            for row in _readable(damaged, table):
                with suppress(sqlite3.Error):  # what is left of a damaged row may break any rule
                    counts[table] += _insert(records, table, row)
    return counts


def _insert(records: sqlite3.Connection, table: str, row: dict[str, Any]) -> int:
    columns, marks = ", ".join(row), ", ".join("?" * len(row))
    insert = f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({marks})"  # noqa: S608  our own names
    return records.execute(insert, tuple(row.values())).rowcount


def _readable(damaged: sqlite3.Connection, table: str) -> Iterator[dict[str, Any]]:
    """Yield rows from the first on and from the last back, each time until the damage."""
    for direction in ("ASC", "DESC"):
        with suppress(sqlite3.DatabaseError, UnicodeDecodeError):
            rows = damaged.execute(f"SELECT * FROM {table} ORDER BY rowid {direction}")  # noqa: S608  our own
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
