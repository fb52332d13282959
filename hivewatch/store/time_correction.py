"""Correct the times of records that were made before the clock was set."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from datetime import datetime

from hivewatch.store.database import iso

# Found in documents whose times are provisional, and in no others.
_PROVISIONAL = '"clock":{'


def correct_times(records: sqlite3.Connection, corrected: Callable[[str], str | None]) -> int:
    """Correct the times of records and unsent events; return how many sightings were corrected.

    ``corrected`` takes an event's document and returns it with correct times, or None to leave it unchanged.
    For use within a transaction.
    """
    count = 0
    rows = records.execute("SELECT id, document FROM sightings WHERE instr(document, ?) > 0", (_PROVISIONAL,))
    for id_, old in rows.fetchall():
        if (document := corrected(old)) is not None:
            _update_record(records, id_, document)
            count += 1
    rows = records.execute(
        "SELECT id, payload FROM outbox WHERE instr(payload, ?) > 0", (_PROVISIONAL.encode(),)
    )
    for entry_id, payload in rows.fetchall():
        if (document := corrected(payload.decode())) is not None:
            update = "UPDATE outbox SET payload = ?, size_bytes = ? WHERE id = ?"
            records.execute(update, (document.encode(), len(document.encode()), entry_id))
    return count


def _update_record(records: sqlite3.Connection, sighting_id: str, document: str) -> None:
    event = json.loads(document)
    names = ("started_at", "last_seen_at", "ended_at")
    times = [iso(datetime.fromisoformat(event[name])) if name in event else None for name in names]
    records.execute(
        "UPDATE sightings SET started_at = ?, last_seen_at = ?, ended_at = ?, document = ? WHERE id = ?",
        (*times, document, sighting_id),
    )
