"""Sightings on disk: pictures as files; records, the outbox and small state in one SQLite database.

Once ``record`` returns, the event survives a power cut. The order of writes is:

1. Each picture is written to a temporary file, synced and renamed; then their folder is synced.
2. One transaction with ``synchronous = FULL`` writes the record and its outbox entries.

Before that commit nothing refers to the new pictures, and after it nothing refers to those they replace. The
revision is part of a picture's name, so no name is used twice: a record or an outbox entry always refers to
the picture it was written for. ``mark_sent`` needs no sync (``synchronous = NORMAL``): if a power cut undoes
it, the message is sent twice, which is harmless because of its sighting id and hash.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from hivewatch import __version__
from hivewatch.config.sections import OutboxConfig, StoreConfig
from hivewatch.domain.sightings import Presence, Sighting
from hivewatch.domain.status import Backlog, StoreStatus
from hivewatch.domain.wire import Alert, Message, OutboxEntry
from hivewatch.errors import DiskFullError
from hivewatch.store import backlog, state
from hivewatch.store.database import (
    DATABASE,
    connect,
    iso,
    put_end,
    put_record,
    queue_message,
    queue_pictures,
    transaction,
)
from hivewatch.store.disk import LOCK, disk_errors, free_bytes, locked, make_folder
from hivewatch.store.opening import check_integrity
from hivewatch.store.orphans import relist_orphans
from hivewatch.store.outbox import Outbox
from hivewatch.store.pictures import NO_PICTURES, Album, Pictures, name_pictures
from hivewatch.store.records import StoredSighting, count_of, latest_seen_at, presence, select, totals
from hivewatch.store.retention import Retention
from hivewatch.store.salvage import open_or_salvage
from hivewatch.store.time_correction import correct_times

# How often the oldest pictures are removed for one action. If it does not fit then, it never will.
_MAX_RETRIES = 3
MADE_BY = "made-by"
"""Key of the state that says which hivewatch made the store; there is none if it was made before 0.4."""


class Store:
    """The store in ``directory``, which is made if it is missing; one process at a time may use it.

    One thread may call ``pending``, ``mark_sent`` and ``set_aside`` while another calls everything else. If
    disk or database fail, every method raises StoreError with the reason and a remedy; if the disk is full,
    its subclass DiskFullError.

    ``exceeds_bounds``: whether the latest ``keep_in_bounds`` has left something to remove.
    """

    def __init__(self, directory: Path) -> None:
        """Open the store or make a new one; raises StoreError also if another process has it open.

        A damaged database is moved aside and salvaged; the log and ``status`` say so.
        """
        self.directory = directory
        self.exceeds_bounds = False
        with disk_errors("open the store", directory), ExitStack() as opened:
            make_folder(directory)
            opened.enter_context(locked(directory / LOCK))
            # Neither is there one that was damaged and moved, nor was one of 0.3 deleted.
            is_new = not any(directory.glob(f"{DATABASE}*")) and not state.has_old_files(directory)
            self._records, self._damaged = open_or_salvage(directory)
            opened.callback(self._records.close)
            self._inode = (directory / DATABASE).stat().st_ino
            sender = connect(directory / DATABASE, "NORMAL")
            opened.callback(sender.close)
            self._album = Album(directory)
            relist_orphans(self._records, self._album)
            self._outbox = Outbox(sender, self._album)
            self._retention = Retention(self._records, self._album, directory)
            opened.callback(self._retention.log_removed)
            self._with_room("open the store", partial(state.prepare, self._records, directory))
            if is_new:
                self.remember(MADE_BY, __version__)
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        """Return the store."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the store."""
        self.close()

    def close(self) -> None:
        """Close the database and release the lock; a second call does nothing."""
        with disk_errors("close the store", self.directory):
            self._opened.close()

    def record(self, sighting: Sighting, alert: Alert, *, queue: bool = True) -> None:
        """Store an event of a sighting and its pictures and, if ``queue``, queue its messages for the broker.

        The pictures replace those of an earlier event, which were worse ones of the same visit, in the outbox
        too. Unchanged pictures are neither written nor queued again. On a full disk the oldest pictures of
        other sightings are removed to make room. If recording fails, nothing of this event is left.
        """
        pictures = (alert.clean_jpeg, alert.snapshot and alert.snapshot.payload)
        wanted_bytes = sum(len(picture) for picture in pictures if picture)
        record = partial(self._record, sighting, alert, queue=queue)
        self._with_room(f"record sighting {sighting.id}", record, wanted_bytes, spare=sighting.id)

    def queue(self, message: Message) -> None:
        """Queue a message that belongs to no sighting; it is sent in order with the events."""
        self._with_room("queue a message", partial(queue_message, self._records, message))

    def interrupted(self) -> list[StoredSighting]:
        """Return the sightings that have not ended: at start, those interrupted by a crash or power cut."""
        with disk_errors("read the sightings", self.directory):
            return select(self._records, self.directory, "WHERE phase <> 'end' ORDER BY started_at")

    def end(self, sighting_id: str, event: Message, *, queue: bool = True) -> None:
        """Store the end event of an interrupted sighting and, if ``queue``, queue it for the broker."""
        put = partial(put_end, self._records, sighting_id, event, queue=queue)
        self._with_room(f"end sighting {sighting_id}", put)

    def pending(self, limit: int) -> list[OutboxEntry]:
        """Return up to ``limit`` outbox entries in the order of sending; empty only if none can be read.

        All events come before all pictures. An entry whose picture is missing or damaged is dropped, counted
        and logged.
        """
        with disk_errors("read the outbox", self.directory):
            return self._outbox.pending(limit)

    def mark_sent(self, entry_id: int) -> None:
        """Remove an entry from the outbox; if it has been replaced in the meantime, do nothing."""
        with disk_errors("update the outbox", self.directory):
            self._outbox.mark_sent(entry_id)

    def set_aside(self, entry_id: int) -> None:
        """Remove an entry unsent and count it for the next backlog message, unless it has been replaced."""
        with disk_errors("update the outbox", self.directory):
            self._outbox.set_aside(entry_id)

    def outbox_depth(self) -> int:
        """Return the number of messages in the outbox."""
        with disk_errors("read the outbox", self.directory):
            return count_of(self._records, "outbox")

    def sightings(self, limit: int) -> list[StoredSighting]:
        """Return the latest ``limit`` sightings, newest first."""
        with disk_errors("read the sightings", self.directory):
            return select(self._records, self.directory, "ORDER BY started_at DESC, id LIMIT ?", limit)

    def latest_seen_at(self) -> datetime | None:
        """Return when a hornet was last seen, None if there are no sightings."""
        with disk_errors("read the sightings", self.directory):
            return latest_seen_at(self._records)

    def count_since(self, earliest: datetime) -> int:
        """Return how many sightings started at ``earliest`` or later."""
        with disk_errors("read the sightings", self.directory):
            return count_of(self._records, "sightings WHERE started_at >= ?", iso(earliest))

    def presence_since(self, earliest: datetime, now: datetime) -> Presence:
        """Return how many sightings started since ``earliest``, and how long hornets were seen since then.

        An open sighting counts as seen until ``now``; one that started earlier counts from ``earliest`` on.
        """
        with disk_errors("read the sightings", self.directory):
            return presence(self._records, earliest, now)

    def correct_times(self, corrected: Callable[[str], str | None]) -> int:
        """Correct the times of records and unsent events; return how many sightings were corrected.

        ``corrected`` takes an event's document and returns it with correct times, None to leave it unchanged.
        """
        with disk_errors("correct times", self.directory), transaction(self._records) as records:
            return correct_times(records, corrected)

    def remember(self, key: str, value: str | None) -> None:
        """Store a short text under ``key`` as durably as a record; None deletes it."""

        def put() -> None:
            with transaction(self._records) as records:
                state.remember(records, key, value)

        self._with_room(f"store the state {key!r}", put)

    def recall(self, key: str) -> str | None:
        """Return the text stored under ``key``, None if there is none."""
        with disk_errors("read the state", self.directory):
            return state.recall(self._records, key)

    def keep_in_bounds(
        self, store: StoreConfig, outbox: OutboxConfig, now: datetime | None
    ) -> Backlog | None:
        """Remove what exceeds the limits of store and outbox; without ``now``, ignore those on age.

        Removes a portion, so that the data path goes on; ``exceeds_bounds`` says whether to call this again
        soon. After the last portion, return what was dropped from the outbox and is not in a backlog message
        yet: pass it, with a message that reports it, to ``queue_backlog``.
        """
        with disk_errors("keep the store within its limits", self.directory):
            self._require_database()
            self.exceeds_bounds = self._retention.keep_in_bounds(store, now)
            with transaction(self._records) as records:
                is_more = backlog.keep_in_bounds(records, outbox, now)
                self.exceeds_bounds |= is_more
                return None if is_more else backlog.unreported(records)

    def queue_backlog(self, dropped: Backlog, message: Message) -> None:
        """Queue the message that reports what ``keep_in_bounds`` dropped."""
        self._with_room("update the outbox", partial(backlog.queue_backlog, self._records, dropped, message))

    def check_integrity(self) -> None:
        """Read the whole database; raises StoreError if it is inconsistent."""
        with disk_errors("check the store", self.directory):
            check_integrity(self._records)

    def status(self) -> StoreStatus:
        """Return the status of the store; takes milliseconds."""
        with disk_errors("read the status of the store", self.directory):
            return StoreStatus(
                **totals(self._records)._asdict(),
                used_bytes=self._retention.used_bytes(),
                free_bytes=free_bytes(self.directory),
                pictures_lost=self._outbox.pictures_lost,
                sightings_removed=self._retention.sightings_removed,
                set_aside=self._damaged.name if self._damaged else None,
            )

    def _with_room(
        self, doing: str, action: Callable[[], object], wanted_bytes: int = 0, spare: str = ""
    ) -> None:
        """Do ``action``; on a full disk, remove the oldest pictures (except those of ``spare``) and retry."""
        retries_left = _MAX_RETRIES
        while True:
            try:
                with disk_errors(doing, self.directory):
                    action()
                    return self._require_database()
            except DiskFullError:
                with disk_errors("make room", self.directory):
                    if not retries_left or not self._retention.make_room(wanted_bytes, spare):
                        raise
                retries_left -= 1

    def _record(self, sighting: Sighting, alert: Alert, *, queue: bool) -> None:
        old = self._pictures_of(sighting.id)
        if alert.snapshot is None or alert.clean_jpeg is None:
            self._commit(sighting, alert.event, old, (), queue=queue)
            return
        new = name_pictures(sighting, old.revision + 1, alert.clean_jpeg, alert.snapshot.payload)
        if old.sha256 == new.sha256:
            self._commit(sighting, alert.event, old, (), queue=queue)
            return
        try:
            self._album.write(new, alert.clean_jpeg, alert.snapshot.payload)
            self._commit(sighting, alert.event, new, alert.snapshots, queue=queue)
        except Exception:
            self._album.remove(new)
            raise
        self._album.remove(old)

    def _pictures_of(self, sighting_id: str) -> Pictures:
        row = self._records.execute(
            "SELECT revision, picture, picture_sha256, size_bytes FROM sightings WHERE id = ?", (sighting_id,)
        ).fetchone()
        return NO_PICTURES if row is None else Pictures(*row)

    def _commit(
        self,
        sighting: Sighting,
        event: Message,
        pictures: Pictures,
        snapshots: tuple[Message, ...],
        *,
        queue: bool,
    ) -> None:
        with transaction(self._records) as records:
            put_record(records, sighting, event, pictures)
            if queue:
                queue_message(records, event, sighting.id)
            if queue and snapshots:
                queue_pictures(records, sighting.id, snapshots, pictures)

    def _require_database(self) -> None:
        """Raise OSError if the database was removed or replaced: SQLite would write to the deleted file."""
        path = self.directory / DATABASE
        if path.stat().st_ino != self._inode:
            raise FileNotFoundError(errno.ENOENT, "the file was replaced", str(path))
