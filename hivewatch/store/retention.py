"""Removing sightings and pictures from the store: never without a reason, and always logged.

Files are removed before their rows. A power cut in between leaves rows without pictures, which the next run
removes. On a full disk, removing the files first makes room for the change of the rows.
"""

from __future__ import annotations

import logging
import math
import sqlite3
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import NamedTuple

from hivewatch.config.sections import StoreConfig
from hivewatch.store.backlog import drop_pictures_of
from hivewatch.store.database import DATABASE, iso, transaction
from hivewatch.store.disk import MEGABYTE, free_bytes
from hivewatch.store.pictures import Album, Pictures

log = logging.getLogger(__name__)

ALMOST_FULL = 0.25
"""Below this share of store.least_free_mb the disk counts as about to be full."""
# Room that an event needs besides its pictures: its rows, the write-ahead log, and the checkpoint.
_ROOM_FOR_ROWS_BYTES = MEGABYTE
# How many sightings are removed at a time. On a slow card that takes some tenths of a second.
PORTION = 50
_FULL = "the disk is full"
_FILLING = "the disk is filling up"
_DROPPED = "the disk is full: removed the pictures of the"
_SENT = "phase = 'end' AND NOT EXISTS (SELECT 1 FROM outbox WHERE sighting_id = sightings.id)"


class Removed(NamedTuple):
    """How many sightings (or their pictures) were removed, and their size."""

    sightings: int = 0
    size_bytes: int = 0


class Retention:
    """Removes sightings and pictures. Lets sqlite3.Error through.

    ``sightings_removed`` counts the sightings removed by this object.
    """

    def __init__(self, records: sqlite3.Connection, album: Album, directory: Path) -> None:
        self.sightings_removed = 0
        self._records = records
        self._album = album
        self._directory = directory
        self._unlogged: dict[str, Removed] = {}

    def keep_in_bounds(self, config: StoreConfig, now: datetime | None) -> bool:
        """Enforce the limits on free disk space, on age (if ``now`` is known) and on the store's size.

        Removes ``PORTION`` sightings at most, so that frames and watchdog do not wait for long. Return
        whether there may be more to remove.
        """
        for reason, remove in self._steps(config, now):
            removed = remove()
            self._unlogged[reason] = _sum(self._unlogged.get(reason, Removed()), removed)
            if removed.sightings == PORTION:
                return True
            _log(reason, self._unlogged.pop(reason))
        return False

    def make_room(self, wanted_bytes: int, spare: str) -> bool:
        """Remove the oldest pictures, sent ones first, but not those of sighting ``spare``.

        Return whether any were removed.
        """
        wanted_bytes += _ROOM_FOR_ROWS_BYTES
        removed = _until(wanted_bytes, self._remove_sent)
        _log(_FULL, removed)
        if not removed.sightings:
            removed = _until(wanted_bytes, partial(self._drop_pictures, spare=spare))
            _log(_DROPPED, removed)
        return removed.sightings > 0

    def log_removed(self) -> None:
        """Log what was removed and is not in the log yet."""
        while self._unlogged:
            _log(*self._unlogged.popitem())

    def used_bytes(self) -> int:
        """Return the size of all pictures and of the database, without damaged ones that were moved aside."""
        (size_bytes,) = self._records.execute("SELECT coalesce(sum(size_bytes), 0) FROM sightings").fetchone()
        files = [self._directory / f"{DATABASE}{suffix}" for suffix in ("", "-wal", "-shm")]
        return int(size_bytes) + sum(file.stat().st_size for file in files if file.exists())

    def _steps(
        self, config: StoreConfig, now: datetime | None
    ) -> Iterator[tuple[str, Callable[[], Removed]]]:
        least_free_bytes = config.least_free_mb * MEGABYTE
        yield _FILLING, lambda: self._remove_sent(least_free_bytes - self._free_bytes())
        yield _DROPPED, lambda: self._drop_pictures(ALMOST_FULL * least_free_bytes - self._free_bytes())
        if now is not None:
            earliest = now - timedelta(days=config.retention_days)
            yield "store.retention_days", lambda: self._remove_older(earliest)
        largest_bytes = config.largest_mb * MEGABYTE
        yield "store.largest_mb", lambda: self._remove_sent(self.used_bytes() - largest_bytes)

    def _remove_older(self, before: datetime) -> Removed:
        """Remove a portion of the sightings that started earlier than ``before`` and have been sent."""
        return self._remove(self._oldest(f"{_SENT} AND started_at < ?", iso(before)))

    def _remove_sent(self, wanted_bytes: float) -> Removed:
        """Remove a portion of the oldest sent sightings, no more than needed to free ``wanted_bytes``."""
        if wanted_bytes <= 0:
            return Removed()
        return self._remove(_enough(self._oldest(f"{_SENT} AND size_bytes > 0"), wanted_bytes))

    def _drop_pictures(self, wanted_bytes: float, spare: str = "") -> Removed:
        """Remove the pictures of a portion of the oldest sightings, sent or not, except ``spare``."""
        if wanted_bytes <= 0:
            return Removed()
        rows = self._oldest("size_bytes > 0 AND id <> ?", spare)
        return self._remove_pictures(_enough(rows, wanted_bytes))

    def _free_bytes(self) -> float:
        free = free_bytes(self._directory)
        return math.inf if free < 0 else free

    def _oldest(self, condition: str, *values: str) -> list[tuple[str, Pictures]]:
        rows = self._records.execute(
            "SELECT id, revision, picture, picture_sha256, size_bytes FROM sightings"  # noqa: S608  only constant clauses
            f" WHERE {condition} ORDER BY started_at LIMIT {PORTION}",
            values,
        )
        return [(id_, Pictures(*pictures)) for id_, *pictures in rows.fetchall()]

    def _remove(self, rows: list[tuple[str, Pictures]]) -> Removed:
        if not rows:
            return Removed()
        for _, pictures in rows:
            self._album.remove(pictures)
        with transaction(self._records):
            self._records.executemany("DELETE FROM sightings WHERE id = ?", [(id_,) for id_, _ in rows])
        self.sightings_removed += len(rows)
        return Removed(len(rows), sum(pictures.size_bytes for _, pictures in rows))

    def _remove_pictures(self, rows: list[tuple[str, Pictures]]) -> Removed:
        if not rows:
            return Removed()
        for _, pictures in rows:
            self._album.remove(pictures)
        ids = [id_ for id_, _ in rows]
        with transaction(self._records):
            drop_pictures_of(self._records, ids)
            self._records.executemany(
                "UPDATE sightings SET picture = NULL, picture_sha256 = NULL, size_bytes = 0 WHERE id = ?",
                [(id_,) for id_ in ids],
            )
        return Removed(len(rows), sum(pictures.size_bytes for _, pictures in rows))


def _enough(rows: list[tuple[str, Pictures]], wanted_bytes: float) -> list[tuple[str, Pictures]]:
    """Return the first of ``rows`` that together have ``wanted_bytes``, or all of them if they have less."""
    size_bytes = 0
    for number, (_, pictures) in enumerate(rows, 1):
        size_bytes += pictures.size_bytes
        if size_bytes >= wanted_bytes:
            return rows[:number]
    return rows


def _until(wanted_bytes: float, remove: Callable[[float], Removed]) -> Removed:
    """Remove portions until ``wanted_bytes`` are freed or nothing is left."""
    removed = Removed()
    while removed.size_bytes < wanted_bytes:
        portion = remove(wanted_bytes - removed.size_bytes)
        if not portion.sightings:
            break
        removed = _sum(removed, portion)
    return removed


def _log(reason: str, removed: Removed) -> None:
    if not removed.sightings:
        return
    if reason == _DROPPED:
        log.error("%s %d oldest sightings, sent or unsent, %.1f MB", reason, *_in_mb(removed))
    else:
        log.warning("removed the %d oldest sent sightings, %.1f MB: %s", *_in_mb(removed), reason)


def _in_mb(removed: Removed) -> tuple[int, float]:
    return removed.sightings, removed.size_bytes / MEGABYTE


def _sum(one: Removed, two: Removed) -> Removed:
    return Removed(one.sightings + two.sightings, one.size_bytes + two.size_bytes)
