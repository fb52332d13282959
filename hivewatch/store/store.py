"""Sightings on disk: pictures as files, records and the outbox in one SQLite database.

What ``record`` has returned from survives a power cut. In that order: each picture is written to a temporary
file, synced and renamed, then their folder is synced; then one transaction with ``synchronous = FULL`` holds
the record and its outbox entries. Until that commit nothing refers to the new pictures, after it nothing to
those they replace. A picture never takes the name of another: its revision is part of the name, so what a
record or an outbox entry names is what is sent. ``mark_sent`` needs no sync (``synchronous = NORMAL``): a
power cut may undo it, and then a message is sent twice, which its sighting id and hash make harmless.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from hivewatch.config.sections import OutboxConfig, StoreConfig
from hivewatch.domain.sightings import Presence, Sighting
from hivewatch.domain.status import Backlog, StoreStatus
from hivewatch.domain.wire import Alert, Message, OutboxEntry
from hivewatch.errors import DiskFullError
from hivewatch.store import backlog, state
from hivewatch.store.database import (
    DATABASE,
    check_integrity,
    connect,
    iso,
    put_end,
    put_record,
    queue_message,
    queue_pictures,
    transaction,
)
from hivewatch.store.disk import LOCK, disk_errors, free_bytes, locked, make_folder
from hivewatch.store.outbox import Outbox
from hivewatch.store.pictures import NO_PICTURES, Album, Pictures, name_pictures
from hivewatch.store.records import StoredSighting, moment, presence, select
from hivewatch.store.retention import MEGABYTE, Retention
from hivewatch.store.salvage import list_again, open_or_begin_anew
from hivewatch.store.time_correction import redate

# How often the oldest pictures are removed for one event; what still does not fit then would not fit either.
_MOST_CLEARINGS = 3


class Store:
    """The store in ``directory``, which is made if need be and belongs to one process at a time.

    One thread may call ``pending`` and ``mark_sent`` while another calls everything else. Every method raises
    StoreError, saying why and what to do, where the disk or the database does not do its part; DiskFullError,
    which is one, where there is no room.
    """

    def __init__(self, directory: Path) -> None:
        """Open or begin the store; raises StoreError also where another process has it open.

        A damaged database is set aside, told of in the log and in ``status``, and begun anew.
        """
        self.directory = directory
        with disk_errors("open the store", directory), ExitStack() as opened:
            make_folder(directory)
            opened.enter_context(locked(directory / LOCK))
            self._records, self._set_aside = open_or_begin_anew(directory)
            opened.callback(self._records.close)
            self._inode = (directory / DATABASE).stat().st_ino
            sender = connect(directory / DATABASE, "NORMAL")
            opened.callback(sender.close)
            self._album = Album(directory)
            list_again(self._records, self._album)
            self._outbox = Outbox(sender, self._album)
            self._retention = Retention(self._records, self._album, directory)
            state.prepare(self._records, directory)
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
        visit. Pictures that have not changed are neither written nor queued again. On a full disk the oldest
        pictures of other visits make room. Where it fails, nothing of this event is left.
        """
        pictures = (alert.clean_jpeg, alert.snapshot and alert.snapshot.payload)
        wanted_bytes = sum(len(picture) for picture in pictures if picture)
        record = partial(self._record, sighting, alert, queue=queue)
        self._with_room(f"record sighting {sighting.id}", record, wanted_bytes, spare=sighting.id)

    def queue(self, message: Message) -> None:
        """Keep a message for the broker that belongs to no sighting; it goes out in order with the events."""
        self._with_room("queue a message", partial(queue_message, self._records, message))

    def interrupted(self) -> list[StoredSighting]:
        """Return the sightings that were never ended: at start, what a crash or a power cut broke off."""
        with disk_errors("read the sightings", self.directory):
            return select(self._records, self.directory, "WHERE phase <> 'end' ORDER BY started_at")

    def end(self, sighting_id: str, event: Message, *, queue: bool = True) -> None:
        """Keep the end event of a sighting that was interrupted, and (``queue``) let it be sent."""
        put = partial(put_end, self._records, sighting_id, event, queue=queue)
        self._with_room(f"end sighting {sighting_id}", put)

    def pending(self, limit: int) -> list[OutboxEntry]:
        """Return the outbox entries to be sent first, in order. It is empty only when the outbox is.

        All events come before all pictures. An entry whose picture is gone or damaged is dropped, counted and
        logged.
        """
        with disk_errors("read the outbox", self.directory):
            return self._outbox.pending(limit)

    def mark_sent(self, entry_id: int) -> None:
        """Remove an entry from the outbox; one that was replaced meanwhile is no error."""
        with disk_errors("update the outbox", self.directory):
            self._outbox.mark_sent(entry_id)

    def outbox_depth(self) -> int:
        """Return how many messages wait for the broker."""
        with disk_errors("read the outbox", self.directory):
            (count,) = self._records.execute("SELECT count(*) FROM outbox").fetchone()
            return int(count)

    def sightings(self, limit: int) -> list[StoredSighting]:
        """Return the latest sightings, newest first."""
        with disk_errors("read the sightings", self.directory):
            return select(self._records, self.directory, "ORDER BY started_at DESC, id LIMIT ?", limit)

    def newest(self) -> datetime | None:
        """Return the latest time that is known of a sighting, None without any."""
        with disk_errors("read the sightings", self.directory):
            (latest,) = self._records.execute("SELECT max(last_seen_at) FROM sightings").fetchone()
            return moment(latest)

    def count_since(self, earliest: datetime) -> int:
        """Return how many sightings have begun at ``earliest`` or later."""
        with disk_errors("read the sightings", self.directory):
            (count,) = self._records.execute(
                "SELECT count(*) FROM sightings WHERE started_at >= ?", (iso(earliest),)
            ).fetchone()
            return int(count)

    def presence_since(self, earliest: datetime, now: datetime) -> Presence:
        """Return how many sightings have begun since ``earliest``, and how long hornets were seen since then.

        An open sighting counts as seen until ``now``; one that began before counts with its rest.
        """
        with disk_errors("read the sightings", self.directory):
            return presence(self._records, earliest, now)

    def redate(self, redated: Callable[[str], str | None]) -> int:
        """Put right the times of records and unsent events; ``redated`` does so for one event's document."""
        with disk_errors("correct times", self.directory), transaction(self._records) as records:
            return redate(records, redated)

    def remember(self, key: str, value: str | None) -> None:
        """Keep a short text under ``key`` as durably as a record; None deletes it."""
        self._with_room(f"keep the state {key!r}", partial(state.remember, self._records, key, value))

    def recall(self, key: str) -> str | None:
        """Return the text kept under ``key``, None if there is none."""
        with disk_errors("read the state", self.directory):
            return state.recall(self._records, key)

    def keep_in_bounds(
        self, store: StoreConfig, outbox: OutboxConfig, now: datetime | None
    ) -> Backlog | None:
        """Remove what is too old or too much; without ``now`` nothing is judged by its age.

        Returns what was dropped from the outbox and stands in no message yet: ``tell`` wants one.
        """
        with disk_errors("tidy the store", self.directory):
            self._find_database()
            self._retention.keep_in_bounds(store, now)
            with transaction(self._records) as records:
                backlog.drop_excess(records, outbox.largest_mb * MEGABYTE)
                if now is not None:
                    backlog.note_waiting(records, now)
                    backlog.drop_older(records, now - timedelta(days=outbox.longest_days))
                return backlog.untold(records)

    def tell(self, dropped: Backlog, message: Message) -> None:
        """Queue the message that stands for what ``keep_in_bounds`` dropped."""
        self._with_room("update the outbox", partial(backlog.tell, self._records, dropped, message))

    def check_integrity(self) -> None:
        """Read the whole database; raises StoreError where it does not hold together."""
        with disk_errors("check the store", self.directory):
            check_integrity(self._records)

    def status(self) -> StoreStatus:
        """Return how the store stands; takes milliseconds."""
        with disk_errors("look over the store", self.directory):
            count, oldest = self._records.execute(
                "SELECT count(*), min(started_at) FROM sightings"
            ).fetchone()
            unsent, unsent_bytes, since = self._records.execute(
                "SELECT count(*), coalesce(sum(size_bytes), 0), min(queued_at) FROM outbox"
            ).fetchone()
            return StoreStatus(
                sightings=count,
                oldest_sighting_at=moment(oldest),
                used_bytes=self._retention.used_bytes(),
                free_bytes=free_bytes(self.directory),
                unsent_messages=unsent,
                unsent_bytes=unsent_bytes,
                oldest_unsent_at=moment(since),
                pictures_lost=self._outbox.pictures_lost,
                sightings_removed=self._retention.sightings_removed,
                set_aside=self._set_aside.name if self._set_aside else None,
            )

    def _with_room(
        self, doing: str, action: Callable[[], object], wanted_bytes: int = 0, spare: str = ""
    ) -> None:
        """Do ``action``; on a full disk again once the oldest pictures, but those of ``spare``, are gone."""
        clearings_left = _MOST_CLEARINGS
        while True:
            try:
                with disk_errors(doing, self.directory):
                    action()
                    return self._find_database()
            except DiskFullError:
                with disk_errors("make room", self.directory):
                    if not clearings_left or not self._retention.make_room(wanted_bytes, spare):
                        raise
                clearings_left -= 1

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

    def _find_database(self) -> None:
        """Raise OSError where somebody has removed the database: SQLite would go on writing into nowhere."""
        path = self.directory / DATABASE
        if path.stat().st_ino != self._inode:
            raise FileNotFoundError(errno.ENOENT, "another file has taken its place", str(path))
