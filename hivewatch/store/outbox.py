"""The sending thread's access to the outbox."""

from __future__ import annotations

import logging
import sqlite3

from hivewatch.domain.wire import Message, OutboxEntry
from hivewatch.store import backlog
from hivewatch.store.database import transaction
from hivewatch.store.pictures import Album

log = logging.getLogger(__name__)


class Outbox:
    """Reads and empties the outbox through a connection of its own. Lets sqlite3.Error through.

    ``pictures_lost`` counts the entries that were dropped because their picture was missing or damaged.
    """

    def __init__(self, database: sqlite3.Connection, album: Album) -> None:
        self.pictures_lost = 0
        self._database = database
        self._album = album

    def pending(self, limit: int) -> list[OutboxEntry]:
        """Return up to ``limit`` entries in the order of sending; empty only if the outbox is empty."""
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
            payload = self._album.read(picture, sha256)
            if payload is None:
                self._drop_lost_picture(id_, picture)
        if payload is None:
            return None
        message = Message(topic, payload, bool(retained), sighting_id)
        return OutboxEntry(id_, message, is_picture=picture is not None)

    def _drop_lost_picture(self, entry_id: int, picture: str) -> None:
        dropped = self._database.execute("DELETE FROM outbox WHERE id = ?", (entry_id,)).rowcount
        if dropped:  # otherwise the data path has just replaced it with a newer entry
            self.pictures_lost += 1
            log.error("%s is missing or damaged and will not be published", picture)
