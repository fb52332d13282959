"""Removing sightings and pictures from the store: never without a reason, and always logged.

Files are removed before their rows. A power cut in between leaves rows without pictures, which the next run
removes. On a full disk, removing the files first makes room for the change of the rows.
"""

from __future__ import annotations

import logging
import math
import sqlite3
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from hivewatch.config.sections import StoreConfig
from hivewatch.store.backlog import drop_pictures_of
from hivewatch.store.database import DATABASE, iso, transaction
from hivewatch.store.disk import free_bytes
from hivewatch.store.pictures import Album, Pictures

log = logging.getLogger(__name__)

MEGABYTE = 1_000_000
ALMOST_FULL = 0.25
"""Below this share of store.least_free_mb the disk counts as about to be full."""
# Room that an event needs besides its pictures: its rows, the write-ahead log, and the checkpoint.
_ROOM_FOR_ROWS_BYTES = MEGABYTE
_BATCH = 50
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

    def keep_in_bounds(self, config: StoreConfig, now: datetime | None) -> None:
        """Enforce the limits on free disk space, on age (if ``now`` is known) and on the store's size."""
        least_free_bytes = config.least_free_mb * MEGABYTE
        _log_removed(self.remove_sent(least_free_bytes - self._free_bytes()), "the disk is filling up")
        _log_dropped(self.drop_pictures(ALMOST_FULL * least_free_bytes - self._free_bytes()))
        if now is not None:
            _log_removed(
                self.remove_older(now - timedelta(days=config.retention_days)), "store.retention_days"
            )
        _log_removed(self.remove_sent(self.used_bytes() - config.largest_mb * MEGABYTE), "store.largest_mb")

    def make_room(self, wanted_bytes: int, spare: str) -> bool:
        """Remove the oldest pictures, sent ones first, but not those of sighting ``spare``.

        Return whether any were removed.
        """
        wanted_bytes += _ROOM_FOR_ROWS_BYTES
        removed = self.remove_sent(wanted_bytes)
        _log_removed(removed, "the disk is full")
        if not removed.sightings:
            removed = self.drop_pictures(wanted_bytes, spare)
            _log_dropped(removed)
        return removed.sightings > 0

    def used_bytes(self) -> int:
        """Return the size of all pictures and of the database."""
        (size_bytes,) = self._records.execute("SELECT coalesce(sum(size_bytes), 0) FROM sightings").fetchone()
        database = [file.stat() for file in self._directory.glob(f"{DATABASE}*")]
        return int(size_bytes) + sum(file.st_size for file in database)

    def remove_older(self, before: datetime) -> Removed:
        """Remove the sightings that started earlier than ``before`` and have been sent."""
        removed = Removed()
        while rows := self._oldest(f"{_SENT} AND started_at < ?", iso(before)):
            removed = _sum(removed, self._remove(rows))
        return removed

    def remove_sent(self, wanted_bytes: float) -> Removed:
        """Remove the oldest sent sightings until ``wanted_bytes`` are freed or none is left."""
        removed = Removed()
        while removed.size_bytes < wanted_bytes:
            rows = self._oldest(f"{_SENT} AND size_bytes > 0")
            if not rows:
                break
            removed = _sum(removed, self._remove(_enough(rows, wanted_bytes - removed.size_bytes)))
        return removed

    def drop_pictures(self, wanted_bytes: float, spare: str = "") -> Removed:
        """Remove the pictures of the oldest sightings, sent or not, except ``spare``; keep their events."""
        removed = Removed()
        while removed.size_bytes < wanted_bytes:
            rows = self._oldest("size_bytes > 0 AND id <> ?", spare)
            if not rows:
                break
            chosen = _enough(rows, wanted_bytes - removed.size_bytes)
            removed = _sum(removed, self._remove_pictures(chosen))
        return removed

    def _free_bytes(self) -> float:
        free = free_bytes(self._directory)
        return math.inf if free < 0 else free

    def _oldest(self, condition: str, *values: str) -> list[tuple[str, Pictures]]:
        rows = self._records.execute(
            "SELECT id, revision, picture, picture_sha256, size_bytes FROM sightings"  # noqa: S608  only constant clauses
            f" WHERE {condition} ORDER BY started_at LIMIT {_BATCH}",
            values,
        )
        return [(id_, Pictures(*pictures)) for id_, *pictures in rows.fetchall()]

    def _remove(self, rows: list[tuple[str, Pictures]]) -> Removed:
        for _, pictures in rows:
            self._album.remove(pictures)
        with transaction(self._records):
            self._records.executemany("DELETE FROM sightings WHERE id = ?", [(id_,) for id_, _ in rows])
        self.sightings_removed += len(rows)
        return Removed(len(rows), sum(pictures.size_bytes for _, pictures in rows))

    def _remove_pictures(self, rows: list[tuple[str, Pictures]]) -> Removed:
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


def _log_removed(removed: Removed, reason: str) -> None:
    if removed.sightings:
        log.warning(
            "removed the %d oldest sent sightings, %.1f MB: %s",
            *(removed.sightings, removed.size_bytes / MEGABYTE, reason),
        )


def _log_dropped(removed: Removed) -> None:
    if removed.sightings:
        log.error(
            "the disk is full: removed the pictures of the %d oldest sightings, sent or unsent, %.1f MB",
            *(removed.sightings, removed.size_bytes / MEGABYTE),
        )


def _sum(one: Removed, two: Removed) -> Removed:
    return Removed(one.sightings + two.sightings, one.size_bytes + two.size_bytes)
