"""The store's SQLite database: its tables, how it is opened, and what is written into it.

The functions let sqlite3.Error through; the store turns it into words.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from hivewatch.disk import corrupt
from hivewatch.domain import Message, Phase, Sighting
from hivewatch.errors import StoreError

DATABASE_VERSION = 1
BUSY_TIMEOUT_S = 10.0

_TABLES = """
CREATE TABLE sightings (
    id TEXT PRIMARY KEY,
    phase TEXT NOT NULL,
    started_at TEXT NOT NULL,
    last_seen_at TEXT NOT NULL,
    ended_at TEXT,
    best_score REAL NOT NULL,
    document TEXT NOT NULL,
    revision INTEGER NOT NULL,
    picture TEXT NOT NULL,
    picture_sha256 TEXT NOT NULL
) STRICT;
CREATE INDEX sightings_by_time ON sightings (started_at);
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    sighting_id TEXT NOT NULL,
    topic TEXT NOT NULL,
    retained INTEGER NOT NULL,
    payload BLOB,
    picture TEXT,
    picture_sha256 TEXT,
    CHECK ((payload IS NULL) <> (picture IS NULL))
) STRICT;
CREATE INDEX outbox_by_sighting ON outbox (sighting_id);
"""


@dataclass(frozen=True, slots=True)
class Pictures:
    """The clean and the annotated JPEG of one revision; ``stem`` is relative to the store's directory."""

    revision: int
    stem: str
    sha256: str

    @property
    def clean(self) -> str:
        """Path of the picture as the camera took it."""
        return f"{self.stem}.jpg"

    @property
    def annotated(self) -> str:
        """Path of the picture with what was found drawn on it."""
        return f"{self.stem}-annotated.jpg"


def connect(path: Path, synchronous: Literal["FULL", "NORMAL"]) -> sqlite3.Connection:
    """Open the database. ``FULL`` syncs every commit; ``NORMAL`` may lose the last ones, never integrity."""
    connection = sqlite3.connect(path, BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
    except BaseException:
        connection.close()
        raise
    return connection


def prepare(connection: sqlite3.Connection, directory: Path) -> None:
    """Check the database and make its tables if it is new."""
    (findings,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if findings != "ok":
        raise corrupt(directory, findings)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > DATABASE_VERSION:
        raise StoreError(
            f"{directory / 'hivewatch.db'} is of a newer hivewatch (version {version} of its tables, "
            f"this one knows {DATABASE_VERSION}): upgrade hivewatch, or choose another store.directory"
        )
    if version == 0:
        with transaction(connection):
            for statement in _TABLES.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {DATABASE_VERSION}")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Commit all that is done within, or none of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # the first error is the one to tell
            connection.execute("ROLLBACK")
        raise


def put_record(records: sqlite3.Connection, sighting: Sighting, event: Message, pictures: Pictures) -> None:
    """Insert or replace the row of a sighting."""
    records.execute(
        "INSERT OR REPLACE INTO sightings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            sighting.id,
            str(sighting.phase),
            _iso(sighting.started_at),
            _iso(sighting.last_seen_at),
            _iso(sighting.at) if sighting.phase is Phase.END else None,
            sighting.best.score,
            event.payload.decode(),
            pictures.revision,
            pictures.stem,
            pictures.sha256,
        ),
    )


def put_in_outbox(
    records: sqlite3.Connection,
    sighting_id: str,
    event: Message,
    snapshot: Message | None,
    pictures: Pictures,
) -> None:
    """Add an event and, where given, the snapshot that takes the place of earlier ones of its sighting."""
    records.execute(
        "INSERT INTO outbox (sighting_id, topic, retained, payload) VALUES (?, ?, ?, ?)",
        (sighting_id, event.topic, event.retained, event.payload),
    )
    if snapshot is None:
        return
    records.execute("DELETE FROM outbox WHERE sighting_id = ? AND picture IS NOT NULL", (sighting_id,))
    records.execute(
        "INSERT INTO outbox (sighting_id, topic, retained, picture, picture_sha256) VALUES (?, ?, ?, ?, ?)",
        (sighting_id, snapshot.topic, snapshot.retained, pictures.annotated, pictures.sha256),
    )


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")
