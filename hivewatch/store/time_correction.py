"""Puts right the times of records that were made while the clock could not be trusted."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime

# As it stands in a document whose times are provisional, and in no other.
_MARK = '"clock":{'


def redate(records: sqlite3.Connection, redated: Callable[[str], str | None]) -> int:
    """Correct records and unsent events with ``redated``; return how many sightings that were.

    For use within a transaction. What it returns None for stays as it is.
    """
    count = 0
    rows = records.execute("SELECT id, document FROM sightings WHERE instr(document, ?) > 0", (_MARK,))
    for id_, old in rows.fetchall():
        if (document := redated(old)) is not None:
            _put_right(records, id_, document)
            count += 1
    rows = records.execute("SELECT id, payload FROM outbox WHERE instr(payload, ?) > 0", (_MARK.encode(),))
    for entry_id, payload in rows.fetchall():
        if (document := redated(payload.decode())) is not None:
            records.execute("UPDATE outbox SET payload = ? WHERE id = ?", (document.encode(), entry_id))
    return count


def _put_right(records: sqlite3.Connection, sighting_id: str, document: str) -> None:
    told = json.loads(document)
    names = ("started_at", "last_seen_at", "ended_at")
    times = [_column(told[name]) if name in told else None for name in names]
    records.execute(
        "UPDATE sightings SET started_at = ?, last_seen_at = ?, ended_at = ?, document = ? WHERE id = ?",
        (*times, document, sighting_id),
    )


def _column(iso: str) -> str:
    return datetime.fromisoformat(iso).astimezone(UTC).isoformat(timespec="milliseconds")
