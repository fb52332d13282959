"""Pictures that no record names: after a damaged database, or after a power cut between two steps."""

from __future__ import annotations

import logging
import sqlite3

from hivewatch.domain.sightings import Phase
from hivewatch.store.database import iso, transaction
from hivewatch.store.pictures import Album, FoundPictures

log = logging.getLogger(__name__)


def relist_orphans(records: sqlite3.Connection, album: Album) -> None:
    """Make records for pictures that have none, and let a record whose own pictures are gone have them.

    Superseded pictures, of a record that has newer ones, are removed: a power cut can leave them behind.
    """
    known = dict(records.execute("SELECT id, picture FROM sightings"))
    orphans = [found for found in album.scan() if known.get(found.sighting_id) != found.pictures.stem]
    if not orphans:
        return
    count = 0
    with transaction(records):
        for found in sorted(orphans, key=lambda found: found.pictures.revision, reverse=True):
            if found.sighting_id in known and album.has(known[found.sighting_id]):
                album.remove(found.pictures)
                continue
            if found.sighting_id in known:
                _give_pictures(records, found)
            else:
                _insert_orphan(records, found)
            known[found.sighting_id] = found.pictures.stem
            count += 1
    if count:
        log.warning("made or completed records of %d sightings from their pictures", count)


def _give_pictures(records: sqlite3.Connection, found: FoundPictures) -> None:
    pictures = found.pictures
    records.execute(
        "UPDATE sightings SET revision = max(revision, ?), picture = ?, picture_sha256 = NULL, size_bytes = ?"
        " WHERE id = ?",
        (pictures.revision, pictures.stem, pictures.size_bytes, found.sighting_id),
    )


def _insert_orphan(records: sqlite3.Connection, found: FoundPictures) -> None:
    at, pictures = iso(found.started_at), found.pictures
    records.execute(
        "INSERT INTO sightings (id, phase, started_at, last_seen_at, revision, picture, size_bytes)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (found.sighting_id, Phase.END, at, at, pictures.revision, pictures.stem, pictures.size_bytes),
    )
