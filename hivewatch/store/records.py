"""The records of sightings as they are read from the store."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from hivewatch.domain.sightings import Phase, Presence
from hivewatch.store.database import iso
from hivewatch.store.pictures import Pictures

# So that the index by time serves: only so much of the table is read.
_LONGEST_VISIT = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class StoredSighting:
    """A visit as it lies in the store. ``document`` is the JSON text of its latest event.

    Pictures that were removed, or never kept for want of room, are None; so are score and document of a visit
    of which only pictures were left when the database was damaged.
    """

    id: str
    phase: Phase
    started_at: datetime
    last_seen_at: datetime
    ended_at: datetime | None
    best_score: float | None
    clean_path: Path | None
    annotated_path: Path | None
    document: str | None


def select(records: sqlite3.Connection, directory: Path, which: str, *values: object) -> list[StoredSighting]:
    """Return the sightings that the SQL text ``which`` names; paths begin with ``directory``."""
    columns = "id, phase, started_at, last_seen_at, ended_at, best_score, picture, document"
    rows = records.execute(f"SELECT {columns} FROM sightings {which}", values)  # noqa: S608  our own texts
    return [_stored(directory, *row) for row in rows.fetchall()]


def presence(records: sqlite3.Connection, earliest: datetime, now: datetime) -> Presence:
    """Return what is known of hornets between ``earliest`` and ``now``; no visit lasts longer than a day."""
    since, until = iso(earliest), iso(now)
    rows = records.execute(
        "SELECT started_at, CASE phase WHEN 'end' THEN last_seen_at ELSE ? END FROM sightings"
        " WHERE started_at BETWEEN ? AND ? AND (last_seen_at >= ? OR phase <> 'end')",
        (until, iso(earliest - _LONGEST_VISIT), until, since),
    ).fetchall()
    began = [max(start, since) for start, _ in rows]
    seconds = sum(
        max(0.0, (datetime.fromisoformat(last) - datetime.fromisoformat(start)).total_seconds())
        for start, (_, last) in zip(began, rows, strict=True)
    )
    return Presence(sum(start >= since for start, _ in rows), seconds)


def moment(text: str | None) -> datetime | None:
    """Return a time of the tables."""
    return None if text is None else datetime.fromisoformat(text)


def _stored(
    directory: Path,
    id_: str,
    phase: str,
    start: str,
    last: str,
    end: str | None,
    score: float | None,
    stem: str | None,
    document: str | None,
) -> StoredSighting:
    pictures = Pictures(0, stem, None, 0)
    return StoredSighting(
        id=id_,
        phase=Phase(phase),
        started_at=datetime.fromisoformat(start),
        last_seen_at=datetime.fromisoformat(last),
        ended_at=moment(end),
        best_score=score,
        clean_path=directory / pictures.clean if pictures.clean else None,
        annotated_path=directory / pictures.annotated if pictures.annotated else None,
        document=document,
    )
