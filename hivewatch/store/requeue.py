"""Queue events again that a damaged database has lost from the outbox, but has as the latest of a visit.

Visits come one after another, and their events are sent in that order. So of every visit after one that has
an event in the outbox, no event was sent yet: if the latest is not in the outbox, it was on a damaged page.
Then its id is free as well: no id is free where visits were recorded that were never queued, with MQTT off.
"""

from __future__ import annotations

import json
import sqlite3

from hivewatch.store.database import Lane


def requeue_lost_events(records: sqlite3.Connection, last_id: int | None) -> int:
    """Queue the latest events that were lost, each before those of later visits; return how many.

    ``last_id`` is the last id that an entry ever had, None if that is lost too. For use within a transaction,
    on a database whose sightings have been inserted in their order.
    """
    waiting = records.execute(
        "SELECT sightings.rowid, outbox.id, topic, retained FROM outbox"
        " JOIN sightings ON sighting_id = sightings.id WHERE lane = ? ORDER BY 1, 2",
        (Lane.EVENT,),
    ).fetchall()
    if not waiting:
        return 0
    first, _, topic, retained = waiting[0]
    lost = _lost(records, first)
    used = {id_ for (id_,) in records.execute("SELECT id FROM outbox")}
    following = max(*used, last_id or max(used) + len(lost)) + 1
    count = 0
    for rowid, sighting_id, payload in reversed(lost):
        while waiting[-1][0] > rowid:
            following = waiting.pop()[1]
        free = (id_ for id_ in range(following - 1, waiting[-1][1], -1) if id_ not in used)
        if (entry_id := next(free, None)) is None:
            continue
        records.execute(
            "INSERT INTO outbox (id, lane, sighting_id, topic, retained, payload, size_bytes)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (entry_id, Lane.EVENT, sighting_id, topic, retained, payload, len(payload)),
        )
        used.add(entry_id)
        following = entry_id
        count += 1
    return count


def _lost(records: sqlite3.Connection, first: int) -> list[tuple[int, str, bytes]]:
    """Return row, id and latest event of the visits after row ``first`` whose event is not in the outbox."""
    waiting = records.execute(
        "SELECT payload FROM outbox WHERE lane = ? AND payload IS NOT NULL", (Lane.EVENT,)
    )
    known = {_key(payload) for (payload,) in waiting}
    visits = records.execute(
        "SELECT rowid, id, CAST(document AS BLOB) FROM sightings"
        " WHERE rowid > ? AND document IS NOT NULL ORDER BY rowid",
        (first,),
    )
    return [(rowid, id_, event) for rowid, id_, event in visits.fetchall() if _key(event) not in known]


def _key(event: bytes) -> tuple[str | None, ...]:
    """Return what identifies an event, even if a flipped bit has changed another part of it."""
    document = json.loads(event)
    names = ("sighting_id", "event_type", "at")
    return tuple(document.get(name) for name in names) if isinstance(document, dict) else ()
