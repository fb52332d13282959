"""Sightings on disk: pictures as files, records and the outbox in one SQLite database.

What ``record`` has returned from survives a power cut. In that order: each picture is written to a temporary
file, synced and renamed, then their folder is synced; then one transaction with ``synchronous = FULL`` holds
the record and its outbox entries. Until that commit nothing refers to the new pictures, after it nothing to
those they replace. A picture never takes the name of another: its revision is part of the name, so what a
record or an outbox entry names is what is sent. ``mark_sent`` needs no sync (``synchronous = NORMAL``): a
power cut may undo it, and then a message is sent twice, which its sighting id and hash make harmless.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from hivewatch.database import Pictures, connect, prepare, put_in_outbox, put_record, transaction
from hivewatch.disk import disk_errors, locked, make_folder, sync_folder, write_durably
from hivewatch.domain import Alert, Message, OutboxEntry, Phase, Sighting
from hivewatch.redating import redate

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StoredSighting:
    """A visit as it lies in the store. ``document`` is the JSON text of its latest event."""

    id: str
    phase: Phase
    started_at: datetime
    last_seen_at: datetime
    ended_at: datetime | None
    best_score: float
    clean_path: Path
    annotated_path: Path
    document: str


class Store:
    """The store in ``directory``, which is made if need be and belongs to one process at a time.

    One thread may call ``pending`` and ``mark_sent`` while another calls everything else. Every method raises
    StoreError, saying why and what to do, where the disk or the database does not do its part.
    """

    def __init__(self, directory: Path) -> None:
        """Open or begin the store; raises StoreError also where another process has it open."""
        self.directory = directory
        self.pictures_lost = 0
        with disk_errors("open the store", directory), ExitStack() as opened:
            make_folder(directory / "snapshots")
            opened.enter_context(locked(directory / "hivewatch.lock"))
            self._records = connect(directory / "hivewatch.db", "FULL")
            opened.callback(self._records.close)
            prepare(self._records, directory)
            self._outbox = connect(directory / "hivewatch.db", "NORMAL")
            opened.callback(self._outbox.close)
            for leftover in directory.glob("snapshots/*/.*.tmp"):
                leftover.unlink()
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        """Return the store itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the store."""
        self.close()

    def close(self) -> None:
        """Release database and lock; a second call does nothing."""
        with disk_errors("close the store", self.directory):
            self._opened.close()

    def record(self, sighting: Sighting, alert: Alert, *, queue: bool = True) -> None:
        """Keep an event of a sighting, its pictures, and (``queue``) its messages for the broker.

        The pictures of an earlier event are replaced, in the outbox too: they were worse ones of the same
        visit. Pictures that have not changed are neither written nor queued again. Where it fails, store and
        outbox are as before.
        """
        with disk_errors(f"record sighting {sighting.id}", self.directory):
            old = self._pictures_of(sighting.id)
            sha256 = _sha256(alert.snapshot.payload)
            if old is not None and old.sha256 == sha256:
                self._commit(sighting, alert.event, old, None, queue=queue)
                return
            new = _pictures(sighting, old.revision + 1 if old else 1, sha256)
            try:
                self._write_pictures(new, alert)
                self._commit(sighting, alert.event, new, alert.snapshot, queue=queue)
            except Exception:
                self._remove(new)
                raise
            if old is not None:
                self._remove(old)

    def pending(self, limit: int) -> list[OutboxEntry]:
        """Return the oldest entries of the outbox, in order. It is empty only when the outbox is.

        An entry whose picture is gone or damaged is dropped, counted in ``pictures_lost`` and logged.
        """
        with disk_errors("read the outbox", self.directory):
            while True:
                rows = self._outbox.execute(
                    "SELECT id, topic, retained, payload, picture, picture_sha256 FROM outbox"
                    " ORDER BY id LIMIT ?",
                    (limit,),
                ).fetchall()
                entries = [entry for row in rows if (entry := self._load(*row)) is not None]
                if entries or not rows:
                    return entries

    def mark_sent(self, entry_id: int) -> None:
        """Remove an entry from the outbox; one that was replaced meanwhile is no error."""
        with disk_errors("update the outbox", self.directory):
            self._outbox.execute("DELETE FROM outbox WHERE id = ?", (entry_id,))

    def outbox_depth(self) -> int:
        """Return how many messages wait for the broker."""
        with disk_errors("read the outbox", self.directory):
            (count,) = self._records.execute("SELECT count(*) FROM outbox").fetchone()
            return int(count)

    def sightings(self, limit: int) -> list[StoredSighting]:
        """Return the latest sightings, newest first."""
        with disk_errors("read the sightings", self.directory):
            rows = self._records.execute(
                "SELECT id, phase, started_at, last_seen_at, ended_at, best_score, picture, document"
                " FROM sightings ORDER BY started_at DESC, id LIMIT ?",
                (limit,),
            ).fetchall()
        return [self._stored(*row) for row in rows]

    def newest(self) -> datetime | None:
        """Return the latest time that is known of a sighting, None without any."""
        with disk_errors("read the sightings", self.directory):
            (latest,) = self._records.execute("SELECT max(last_seen_at) FROM sightings").fetchone()
        return None if latest is None else datetime.fromisoformat(latest)

    def count_since(self, moment: datetime) -> int:
        """Return how many sightings have begun at ``moment`` or later."""
        since = moment.astimezone(UTC).isoformat(timespec="milliseconds")
        with disk_errors("read the sightings", self.directory):
            (count,) = self._records.execute(
                "SELECT count(*) FROM sightings WHERE started_at >= ?", (since,)
            ).fetchone()
        return int(count)

    def redate(self, redated: Callable[[str], str | None]) -> int:
        """Put right the times of records and unsent events; ``redated`` does so for one event's document."""
        with disk_errors("correct times", self.directory), transaction(self._records) as records:
            return redate(records, redated)

    def _stored(
        self, id_: str, phase: str, start: str, last: str, end: str | None, score: float, stem: str, text: str
    ) -> StoredSighting:
        pictures = Pictures(0, stem, "")
        return StoredSighting(
            id=id_,
            phase=Phase(phase),
            started_at=datetime.fromisoformat(start),
            last_seen_at=datetime.fromisoformat(last),
            ended_at=None if end is None else datetime.fromisoformat(end),
            best_score=score,
            clean_path=self.directory / pictures.clean,
            annotated_path=self.directory / pictures.annotated,
            document=text,
        )

    def _pictures_of(self, sighting_id: str) -> Pictures | None:
        row = self._records.execute(
            "SELECT revision, picture, picture_sha256 FROM sightings WHERE id = ?", (sighting_id,)
        ).fetchone()
        return None if row is None else Pictures(*row)

    def _write_pictures(self, pictures: Pictures, alert: Alert) -> None:
        folder = (self.directory / pictures.stem).parent
        make_folder(folder)
        write_durably(self.directory / pictures.clean, alert.clean_jpeg)
        write_durably(self.directory / pictures.annotated, alert.snapshot.payload)
        sync_folder(folder)

    def _commit(
        self,
        sighting: Sighting,
        event: Message,
        pictures: Pictures,
        snapshot: Message | None,
        *,
        queue: bool,
    ) -> None:
        with transaction(self._records) as records:
            put_record(records, sighting, event, pictures)
            if queue:
                put_in_outbox(records, sighting.id, event, snapshot, pictures)

    def _load(
        self,
        id_: int,
        topic: str,
        retained: int,
        payload: bytes | None,
        picture: str | None,
        sha256: str | None,
    ) -> OutboxEntry | None:
        if picture is not None:
            payload = self._read_picture(id_, picture, sha256)
        return None if payload is None else OutboxEntry(id_, Message(topic, payload, bool(retained)))

    def _read_picture(self, entry_id: int, picture: str, sha256: str | None) -> bytes | None:
        try:
            content = (self.directory / picture).read_bytes()
        except OSError:
            content = b""
        if _sha256(content) == sha256:
            return content
        dropped = self._outbox.execute("DELETE FROM outbox WHERE id = ?", (entry_id,)).rowcount
        if dropped:  # else the data path has just replaced it, and its successor waits in the outbox
            self.pictures_lost += 1
            log.error("%s is gone or damaged and will not be published", self.directory / picture)
        return None

    def _remove(self, pictures: Pictures) -> None:
        for name in (pictures.clean, pictures.annotated):
            try:
                (self.directory / name).unlink(missing_ok=True)
            except OSError as error:
                log.warning("cannot remove %s, which is no longer needed: %s", self.directory / name, error)


def _pictures(sighting: Sighting, revision: int, sha256: str) -> Pictures:
    started = sighting.started_at.astimezone(UTC)
    return Pictures(revision, f"snapshots/{started:%Y-%m-%d/%H%M%S}Z-{sighting.id}-{revision}", sha256)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
