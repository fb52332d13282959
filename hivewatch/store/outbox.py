"""The outbox as the thread that sends sees it."""

from __future__ import annotations

import logging
import sqlite3

from hivewatch.domain.wire import Message, OutboxEntry
from hivewatch.store.pictures import Album

log = logging.getLogger(__name__)


class Outbox:
    """Reads and empties the outbox through a connection of its own. Faults of SQLite are let through."""

    def __init__(self, database: sqlite3.Connection, album: Album) -> None:
        """``pictures_lost`` counts the entries whose pictures were gone or damaged."""
        self.pictures_lost = 0
        self._database = database
        self._album = album

    def pending(self, limit: int) -> list[OutboxEntry]:
        """Return the entries to be sent first, in order. It is empty only when the outbox is."""
        while True:
            rows = self._database.execute(
                "SELECT id, topic, retained, sighting_id, payload, picture, picture_sha256 FROM outbox"
                " ORDER BY lane, id LIMIT ?",
                (limit,),
            ).fetchall()
            entries = [entry for row in rows if (entry := self._load(*row)) is not None]
            if entries or not rows:
                return entries

    def mark_sent(self, entry_id: int) -> None:
        """Remove an entry; one that was replaced meanwhile is no error."""
        self._database.execute("DELETE FROM outbox WHERE id = ?", (entry_id,))

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
            payload = self._album.read(picture, sha256)
            if payload is None:
                self._give_up(id_, picture)
        if payload is None:
            return None
        return OutboxEntry(id_, Message(topic, payload, bool(retained), sighting_id))

    def _give_up(self, entry_id: int, picture: str) -> None:
        dropped = self._database.execute("DELETE FROM outbox WHERE id = ?", (entry_id,)).rowcount
        if dropped:  # else the data path has just replaced it, and its successor waits in the outbox
            self.pictures_lost += 1
            log.error("%s is gone or damaged and will not be published", picture)
