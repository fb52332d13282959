"""Reading the records of sightings from the database."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from hivewatch.domain.sightings import Phase, Presence
from hivewatch.store.database import DamagedError, iso
from hivewatch.store.pictures import Pictures

# Bounds the start times that are searched, so that the index by time limits what is read.
_LONGEST_VISIT = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class StoredSighting:
    """A sighting in the store. ``document`` is the JSON text of its latest event.

    The paths are None if the pictures were removed, or never stored because the disk was full. Score and
    document are None if the database was damaged and only the pictures of the sighting were left.
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


class Totals(NamedTuple):
    """The part of ``StoreStatus`` that is in the database."""

    sightings: int
    oldest_sighting_at: datetime | None
    unsent_messages: int
    unsent_bytes: int
    oldest_unsent_at: datetime | None


def select(records: sqlite3.Connection, directory: Path, which: str, *values: object) -> list[StoredSighting]:
    """Return the sightings selected by the SQL clauses ``which``; paths start with ``directory``."""
    columns = "id, phase, started_at, last_seen_at, ended_at, best_score, picture, document"
    rows = records.execute(f"SELECT {columns} FROM sightings {which}", values)  # noqa: S608  only constant clauses
    return [_stored(directory, *row) for row in rows.fetchall()]


def presence(records: sqlite3.Connection, earliest: datetime, now: datetime) -> Presence:
    """Return how many sightings started and how long hornets were seen from ``earliest`` to ``now``.

    Assumes that no sighting lasts longer than a day.
    """
    since, until = iso(earliest), iso(now)
    rows = records.execute(
        "SELECT started_at, CASE phase WHEN 'end' THEN last_seen_at ELSE ? END FROM sightings"
        " WHERE started_at BETWEEN ? AND ? AND (last_seen_at >= ? OR phase <> 'end')",
        (until, iso(earliest - _LONGEST_VISIT), until, since),
    ).fetchall()
    starts = [max(start, since) for start, _ in rows]
    seconds = sum(
        max(0.0, (_time(last) - _time(start)).total_seconds())
        for start, (_, last) in zip(starts, rows, strict=True)
    )
    return Presence(sum(start >= since for start, _ in rows), seconds)


def count_of(records: sqlite3.Connection, which: str, *values: object) -> int:
    """Return how many rows the SQL clauses ``which`` select: a table, and its conditions."""
    (count,) = records.execute(f"SELECT count(*) FROM {which}", values).fetchone()  # noqa: S608  only constant clauses
    return int(count)


def latest_seen_at(records: sqlite3.Connection) -> datetime | None:
    """Return when a hornet was last seen, None if there are no sightings."""
    (latest,) = records.execute("SELECT max(last_seen_at) FROM sightings").fetchone()
    return parse_time(latest)


def totals(records: sqlite3.Connection) -> Totals:
    """Return how much there is in the tables of sightings and of the outbox."""
    count, oldest = records.execute("SELECT count(*), min(started_at) FROM sightings").fetchone()
    unsent, unsent_bytes, since = records.execute(
        "SELECT count(*), coalesce(sum(size_bytes), 0), min(queued_at) FROM outbox"
    ).fetchone()
    return Totals(count, parse_time(oldest), unsent, unsent_bytes, parse_time(since))


def parse_time(text: str | None) -> datetime | None:
    """Return the time that a column of the tables holds, None for NULL; raises DamagedError if it is none."""
    return None if text is None else _time(text)


def _time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise DamagedError(str(error)) from error


def _document(text: str | None) -> str | None:
    try:
        if text is not None:
            json.loads(text)
    except ValueError as error:
        raise DamagedError(str(error)) from error
    return text


def _phase(text: str) -> Phase:
    try:
        return Phase(text)
    except ValueError as error:
        raise DamagedError(str(error)) from error


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
        phase=_phase(phase),
        started_at=_time(start),
        last_seen_at=_time(last),
        ended_at=parse_time(end),
        best_score=score,
        clean_path=directory / pictures.clean if pictures.clean else None,
        annotated_path=directory / pictures.annotated if pictures.annotated else None,
        document=_document(document),
    )
