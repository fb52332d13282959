"""The sending thread's access to the outbox."""

from __future__ import annotations

import logging
import sqlite3
import time

from hivewatch.domain.wire import Message, OutboxEntry
from hivewatch.store import backlog
from hivewatch.store.database import transaction
from hivewatch.store.pictures import Album

log = logging.getLogger(__name__)

RETRY_S = 60.0
"""A picture that cannot be read is tried again after this time; meanwhile the others are sent."""


class Outbox:
    """Reads and empties the outbox through a connection of its own. Lets sqlite3.Error through.

    ``pictures_lost`` counts the entries that were dropped because their picture was missing or damaged.
    """

    def __init__(self, database: sqlite3.Connection, album: Album) -> None:
        self.pictures_lost = 0
        self._database = database
        self._album = album
        self._retry_at_s: dict[int, float] = {}

    def pending(self, limit: int) -> list[OutboxEntry]:
        """Return up to ``limit`` entries in the order of sending; empty only if none can be read."""
        while True:
            rows = self._database.execute(
                "SELECT id, topic, retained, sighting_id, payload, picture, picture_sha256 FROM outbox"
                " ORDER BY lane, id LIMIT ?",
                (limit + len(self._retry_at_s),),
            ).fetchall()
            held = {id_: self._retry_at_s[id_] for id_, *_ in rows if id_ in self._retry_at_s}
            self._retry_at_s = held
            due = [row for row in rows if held.get(row[0], 0.0) <= time.monotonic()][:limit]
            entries = [entry for row in due if (entry := self._load(*row)) is not None]
            if entries or not due:
                return entries

    def mark_sent(self, entry_id: int) -> None:
        """Remove an entry; if it has been replaced in the meantime, do nothing."""
        self._database.execute("DELETE FROM outbox WHERE id = ?", (entry_id,))

    def set_aside(self, entry_id: int) -> None:
        """Remove an entry unsent and count it for the next backlog message, unless it has been replaced."""
        with transaction(self._database) as records:
            backlog.drop_entry(records, entry_id)

    def _load(
        self,
        id_: int,
        topic: str,
        retained: int,
        sighting_id: str | None,
        payload: bytes | None,
        picture: str | None,
        sha256: str | None,
    ) -> OutboxEntry | None:
        if picture is not None:
            payload = self._read_picture(id_, picture, sha256)
        if payload is None:
            return None
        message = Message(topic, payload, bool(retained), sighting_id)
        return OutboxEntry(id_, message, is_picture=picture is not None)

    def _read_picture(self, entry_id: int, picture: str, sha256: str | None) -> bytes | None:
        """Return the picture; None if it is lost, or cannot be read now and is held back for a while."""
        try:
            content = self._album.read(picture, sha256)
        except OSError as error:
            if entry_id not in self._retry_at_s:
                log.error("%s cannot be read now: it stays in the outbox (%s)", picture, error)  # noqa: TRY400
            self._retry_at_s[entry_id] = time.monotonic() + RETRY_S
            return None
        self._retry_at_s.pop(entry_id, None)
        if content is None:
            self._drop_lost_picture(entry_id, picture)
        return content

    def _drop_lost_picture(self, entry_id: int, picture: str) -> None:
        dropped = self._database.execute("DELETE FROM outbox WHERE id = ?", (entry_id,)).rowcount
        if dropped:  # otherwise the data path has just replaced it with a newer entry
            self.pictures_lost += 1
            log.error("%s is missing or damaged and will not be published", picture)
