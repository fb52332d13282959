"""The store's SQLite database: its tables, opening it, and writing records and outbox entries.

All functions let sqlite3.Error through; ``Store`` converts it to StoreError.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import Literal

from hivewatch.domain.sightings import Phase, Sighting
from hivewatch.domain.wire import Message
from hivewatch.store.pictures import Pictures

log = logging.getLogger(__name__)

DATABASE = "hivewatch.db"
DATABASE_VERSION = 1
"""A higher version must have other tables, since the number alone may be a flipped bit."""
# hivewatch 0.3 has version 1 without the table "state". The table did not raise the version, so that 0.3 can
# still open the database after a rollback.
LATER_TABLES = {"state"}
TABLES = ("sightings", "outbox", "backlog", "state")
BUSY_TIMEOUT_S = 50.0
"""How long to wait while another program holds the database: just short of WatchdogSec (60 s), so that no
visit is lost because a program takes a while, and the log has the reason if it takes longer."""
_LONG_WAIT_S = 1.0
# Pages of 4 KiB: a checkpoint for every 1 MiB of write-ahead log. Each costs two more syncs.
_CHECKPOINT_PAGES = 256
_LARGEST_LOG_BYTES = 4 * 1024 * 1024

CREATE_STATE = "CREATE TABLE IF NOT EXISTS state (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT"
# The indexes also cover the columns that are summed up every minute, so that no row has to be read for that.
_CREATE_TABLES = f"""
CREATE TABLE sightings (
    id TEXT PRIMARY KEY,
    phase TEXT NOT NULL,
    started_at TEXT NOT NULL,
    last_seen_at TEXT NOT NULL,
    ended_at TEXT,
    best_score REAL,
    document TEXT,
    revision INTEGER NOT NULL,
    picture TEXT,
    picture_sha256 TEXT,
    size_bytes INTEGER NOT NULL,
    backlog_id TEXT
) STRICT;
CREATE INDEX sightings_by_time ON sightings (started_at, size_bytes);
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    lane INTEGER NOT NULL,
    sighting_id TEXT,
    topic TEXT NOT NULL,
    retained INTEGER NOT NULL,
    payload BLOB,
    picture TEXT,
    picture_sha256 TEXT,
    size_bytes INTEGER NOT NULL,
    queued_at TEXT,
    CHECK ((payload IS NULL) <> (picture IS NULL))
) STRICT;
CREATE INDEX outbox_by_sighting ON outbox (sighting_id);
CREATE INDEX outbox_in_order ON outbox (lane, id, size_bytes, queued_at);
CREATE TABLE backlog (
    id TEXT PRIMARY KEY,
    sightings INTEGER NOT NULL,
    events INTEGER NOT NULL,
    pictures INTEGER NOT NULL,
    first_at TEXT,
    last_at TEXT,
    best_score REAL,
    sighting_ids TEXT NOT NULL,
    entry_id INTEGER
) STRICT;
{CREATE_STATE};
"""


class Lane(IntEnum):
    """Outbox entries are sent in the order of their lanes, and within a lane in the order of their ids."""

    BACKLOG = 0
    EVENT = 1
    PICTURE = 2


class DamagedError(sqlite3.DatabaseError):
    """The database can be opened but is inconsistent, or has a value that cannot be used."""

    sqlite_errorcode = sqlite3.SQLITE_CORRUPT


def connect(path: Path, synchronous: Literal["FULL", "NORMAL"]) -> sqlite3.Connection:
    """Open the database. ``FULL`` syncs every commit; with ``NORMAL`` a power cut may lose the last ones."""
    connection = sqlite3.connect(path, BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit = {_LARGEST_LOG_BYTES}")
        connection.execute("PRAGMA temp_store = MEMORY")
    except BaseException:
        connection.close()
        raise
    return connection


def create_tables(connection: sqlite3.Connection) -> None:
    """Create the tables of an empty database, in one transaction."""
    with transaction(connection):
        for statement in _CREATE_TABLES.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {DATABASE_VERSION}")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Commit everything that is done within the context, or nothing if it raises."""
    start_s = time.monotonic()
    connection.execute("BEGIN IMMEDIATE")
    if (waited_s := time.monotonic() - start_s) > _LONG_WAIT_S:
        log.warning("another program held %s for %.0f s: nothing was watched meanwhile", DATABASE, waited_s)
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # the first error is the one to report
            connection.execute("ROLLBACK")
        raise


def put_record(records: sqlite3.Connection, sighting: Sighting, event: Message, pictures: Pictures) -> None:
    """Insert or update the row of a sighting."""
    records.execute(
        "INSERT INTO sightings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)"
        " ON CONFLICT (id) DO UPDATE SET phase = excluded.phase, started_at = excluded.started_at,"
        " last_seen_at = excluded.last_seen_at, ended_at = excluded.ended_at,"
        " best_score = excluded.best_score, document = excluded.document, revision = excluded.revision,"
        " picture = excluded.picture, picture_sha256 = excluded.picture_sha256,"
        " size_bytes = excluded.size_bytes",
        (
            sighting.id,
            str(sighting.phase),
            iso(sighting.started_at),
            iso(sighting.last_seen_at),
            iso(sighting.at) if sighting.phase is Phase.END else None,
            sighting.best.score,
            event.payload.decode(),
            pictures.revision,
            pictures.stem,
            pictures.sha256,
            pictures.size_bytes,
        ),
    )


def put_end(records: sqlite3.Connection, sighting_id: str, event: Message, *, queue: bool) -> None:
    """End a sighting as its end event says and, if ``queue``, queue the event, in one transaction."""
    document = event.payload.decode()
    ended_at = datetime.fromisoformat(json.loads(document)["ended_at"])
    with transaction(records):
        records.execute(
            "UPDATE sightings SET phase = ?, ended_at = ?, document = ? WHERE id = ?",
            (Phase.END, iso(ended_at), document, sighting_id),
        )
        if queue:
            queue_message(records, event, sighting_id)


def queue_message(
    records: sqlite3.Connection, message: Message, sighting_id: str | None = None, lane: Lane = Lane.EVENT
) -> int:
    """Add a message to the outbox and return the id of its entry."""
    records.execute(
        "INSERT INTO outbox (lane, sighting_id, topic, retained, payload, size_bytes)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (lane, sighting_id, message.topic, message.retained, message.payload, len(message.payload)),
    )
    (entry_id,) = records.execute("SELECT last_insert_rowid()").fetchone()
    return int(entry_id)


def queue_pictures(
    records: sqlite3.Connection, sighting_id: str, snapshots: Iterable[Message], pictures: Pictures
) -> None:
    """Add the messages with the annotated picture to the outbox, replacing earlier ones of the sighting."""
    records.execute("DELETE FROM outbox WHERE sighting_id = ? AND picture IS NOT NULL", (sighting_id,))
    for snapshot in snapshots:
        records.execute(
            "INSERT INTO outbox (lane, sighting_id, topic, retained, picture, picture_sha256, size_bytes)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                *(Lane.PICTURE, sighting_id, snapshot.topic, snapshot.retained),
                *(pictures.annotated, pictures.sha256, len(snapshot.payload)),
            ),
        )


def iso(moment: datetime) -> str:
    """Return a time in the tables' format: UTC, so that the texts sort in the order of the times."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")
