"""Drop messages that have waited too long or are too many, and count them for a backlog message.

All functions but ``queue_backlog`` are for use within a transaction. Dropped messages are counted in one row,
which grows until the backlog message that reports it has been sent.
"""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Iterable
from dataclasses import astuple, dataclass, field
from datetime import datetime, timedelta

from hivewatch.config.sections import OutboxConfig
from hivewatch.domain.status import Backlog
from hivewatch.domain.wire import Message
from hivewatch.store.database import Lane, iso, queue_message, transaction
from hivewatch.store.disk import MEGABYTE

MAX_IDS = 20
PORTION = 500
"""How many entries are dropped at a time, so that frames and watchdog do not wait for long."""
# Trim some way below the limit, so that a full outbox is not trimmed again for every new message.
_SHRINK_TO = 0.9


def keep_in_bounds(records: sqlite3.Connection, bounds: OutboxConfig, now: datetime | None) -> bool:
    """Drop a portion of what exceeds the limits on size and, if ``now`` is known, on age.

    Return whether there may be more to drop.
    """
    is_more = drop_excess(records, bounds.largest_mb * MEGABYTE)
    if now is not None:
        set_queued_at(records, now)
        is_more |= drop_older(records, now - timedelta(days=bounds.longest_days))
    return is_more


def set_queued_at(records: sqlite3.Connection, now: datetime) -> None:
    """Set the time of entries that have none yet, or one that a clock set back has put into the future."""
    times = iso(now), iso(now + timedelta(days=1))
    # SELECT first: most of the time there is nothing to write.
    found = records.execute(
        "SELECT 1 FROM outbox WHERE queued_at IS NULL OR queued_at > ? LIMIT 1", times[1:]
    )
    if found.fetchone():
        records.execute("UPDATE outbox SET queued_at = ? WHERE queued_at IS NULL OR queued_at > ?", times)


def drop_excess(records: sqlite3.Connection, largest_bytes: float) -> bool:
    """Keep the outbox below ``largest_bytes``: drop the oldest pictures first, then the oldest events.

    Return whether there may be more to drop than one portion.
    """
    (size_bytes,) = records.execute("SELECT coalesce(sum(size_bytes), 0) FROM outbox").fetchone()
    if size_bytes <= largest_bytes:
        return False
    chosen: list[tuple[int, str | None, int]] = []
    for id_, sighting_id, lane, entry_bytes in records.execute(
        "SELECT id, sighting_id, lane, size_bytes FROM outbox WHERE lane > 0 ORDER BY lane DESC, id"
    ):
        if size_bytes <= _SHRINK_TO * largest_bytes or len(chosen) == PORTION:
            break
        chosen.append((id_, sighting_id, lane))
        size_bytes -= entry_bytes
    _drop(records, chosen)
    return len(chosen) == PORTION


def drop_older(records: sqlite3.Connection, before: datetime) -> bool:
    """Drop the entries that were queued earlier than ``before``; return whether there may be more of them."""
    rows = records.execute(
        "SELECT id, sighting_id, lane FROM outbox WHERE lane > 0 AND queued_at < ? LIMIT ?",
        (iso(before), PORTION),
    ).fetchall()
    _drop(records, rows)
    return len(rows) == PORTION


def drop_pictures_of(records: sqlite3.Connection, sighting_ids: Iterable[str]) -> None:
    """Drop the unsent pictures of these sightings."""
    for sighting_id in sighting_ids:
        rows = records.execute(
            "SELECT id, sighting_id, lane FROM outbox WHERE sighting_id = ? AND lane = ?",
            (sighting_id, Lane.PICTURE),
        )
        _drop(records, rows.fetchall())


def drop_entry(records: sqlite3.Connection, entry_id: int) -> None:
    """Drop one entry, if it still exists."""
    rows = records.execute("SELECT id, sighting_id, lane FROM outbox WHERE id = ?", (entry_id,))
    _drop(records, rows.fetchall())


def unreported(records: sqlite3.Connection) -> Backlog | None:
    """Return what was dropped and is not in a backlog message yet, None if nothing."""
    row = records.execute("SELECT * FROM backlog WHERE entry_id IS NULL").fetchone()
    if row is None:
        return None
    id_, sightings, events, pictures, first, last, score, ids, _ = row
    first_at, last_at = (None if text is None else datetime.fromisoformat(text) for text in (first, last))
    return Backlog(id_, sightings, events, pictures, first_at, last_at, score, tuple(json.loads(ids)))


def queue_backlog(records: sqlite3.Connection, backlog: Backlog, message: Message) -> None:
    """Queue the message that reports ``backlog`` ahead of everything else, in one transaction.

    Does nothing if the sending thread has dropped more meanwhile: that waits for the next report.
    """
    with transaction(records):
        if unreported(records) != backlog:
            return
        entry_id = queue_message(records, message, lane=Lane.BACKLOG)
        records.execute("UPDATE backlog SET entry_id = ? WHERE id = ?", (entry_id, backlog.id))


@dataclass(slots=True)
class _Counts:
    """A row of the table backlog that is being added to; the fields are its columns."""

    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    sightings: int = 0
    events: int = 0
    pictures: int = 0
    first_at: str | None = None
    last_at: str | None = None
    best_score: float | None = None
    sighting_ids: str = "[]"

    def add(self, sighting_id: str, first_at: str, last_at: str, score: float | None) -> None:
        """Count one more sighting."""
        self.sightings += 1
        self.first_at = min(self.first_at or first_at, first_at)
        self.last_at = max(self.last_at or last_at, last_at)
        if score is not None:
            self.best_score = max(self.best_score or 0.0, score)
        self.sighting_ids = json.dumps([*json.loads(self.sighting_ids), sighting_id][-MAX_IDS:])


def _drop(records: sqlite3.Connection, entries: list[tuple[int, str | None, int]]) -> None:
    if not entries:
        return
    counts = _take_current(records)
    for entry_id, sighting_id, lane in entries:
        records.execute("DELETE FROM outbox WHERE id = ?", (entry_id,))
        counts.pictures += lane == Lane.PICTURE
        counts.events += lane != Lane.PICTURE
        if sighting_id is not None:
            _count_sighting(records, counts, sighting_id)
    records.execute("INSERT INTO backlog VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL)", astuple(counts))


def _take_current(records: sqlite3.Connection) -> _Counts:
    """Remove the row that was not sent yet and its message from their tables; return it, or a new one."""
    row = records.execute(
        "SELECT * FROM backlog WHERE entry_id IS NULL OR entry_id IN (SELECT id FROM outbox)"
    ).fetchone()
    if row is None:
        records.execute("DELETE FROM backlog")
        return _Counts()
    # The next message gets a new entry id: the PUBACK of one already in flight must not remove it. After a
    # salvage there may be another row, which is reported by itself.
    records.execute("DELETE FROM outbox WHERE id = ?", row[-1:])
    records.execute("DELETE FROM backlog WHERE id = ?", row[:1])
    return _Counts(*row[:-1])


def _count_sighting(records: sqlite3.Connection, counts: _Counts, sighting_id: str) -> None:
    row = records.execute(
        "SELECT started_at, last_seen_at, best_score FROM sightings WHERE id = ? AND backlog_id IS NOT ?",
        (sighting_id, counts.id),
    ).fetchone()
    if row is not None:
        counts.add(sighting_id, *row)
        records.execute("UPDATE sightings SET backlog_id = ? WHERE id = ?", (counts.id, sighting_id))
