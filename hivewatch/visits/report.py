"""The visits of a period, from the store, with their times in the time zone of this machine."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

from hivewatch.config.sections import Config, HiveConfig
from hivewatch.domain.sightings import Phase
from hivewatch.store.disk import is_locked
from hivewatch.store.reading import read_history
from hivewatch.store.records import StoredSighting


@dataclass(frozen=True, slots=True)
class Visit:
    """One visit of a hornet. ``started_at`` is local time.

    ``votes_for`` of ``votes`` classified frames showed a hornet; they and the score are None if only pictures
    were left of a damaged database. ``picture`` is the annotated one, None if it was removed or never stored.
    ``notes`` are what limits the other values.
    """

    id: str
    started_at: datetime
    duration_s: float
    best_score: float | None
    votes_for: int | None
    votes: int | None
    picture: Path | None
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """The visits at a hive that started at ``since`` or later, oldest first.

    ``earlier`` visits started before that, the latest of them at ``latest_earlier_at``. All times are local.
    """

    hive: HiveConfig
    since: datetime
    visits: tuple[Visit, ...]
    earlier: int
    latest_earlier_at: datetime | None


def read_report(config: Config, since: datetime, now: datetime) -> Report:
    """Return the visits that started at ``since`` or later, also while the daemon runs; write nothing.

    A visit that has not ended lasts until ``now``, since the store has the time of its latest picture only.
    Raises StoreError if there is no store, or it cannot be read.
    """
    directory = config.store.directory
    history = read_history(directory, since)
    is_any_open = any(sighting.phase is not Phase.END for sighting in history.sightings)
    is_running = is_any_open and is_locked(directory) is not False
    latest = history.latest_earlier_at
    return Report(
        hive=config.hive,
        since=since.astimezone(config.hive.zone),
        visits=tuple(
            _visit(sighting, now if is_running else None, config.hive.zone) for sighting in history.sightings
        ),
        earlier=history.earlier,
        latest_earlier_at=None if latest is None else latest.astimezone(config.hive.zone),
    )


def _visit(sighting: StoredSighting, now: datetime | None, zone: tzinfo | None) -> Visit:
    """Return the visit in local time; ``now`` is None if no daemon can end it any more."""
    is_open = now is not None and sighting.phase is not Phase.END
    last_at = now if now is not None and is_open else sighting.last_seen_at
    event: dict[str, Any] = json.loads(sighting.document) if sighting.document else {}
    picture = sighting.annotated_path
    return Visit(
        id=sighting.id,
        started_at=sighting.started_at.astimezone(zone),
        duration_s=max(0.0, (last_at - sighting.started_at).total_seconds()),
        best_score=sighting.best_score,
        votes_for=event.get("votes_for"),
        votes=event.get("votes"),
        picture=picture if picture is not None and picture.is_file() else None,
        notes=tuple(_notes(sighting, event, is_open=is_open)),
    )


def _notes(sighting: StoredSighting, event: dict[str, Any], *, is_open: bool) -> list[str]:
    notes = []
    if event.get("test"):
        notes.append("test")
    if is_open:
        notes.append("not ended yet")
    elif sighting.phase is not Phase.END or event.get("interrupted"):
        notes.append("interrupted")
    if "clock" in event:
        notes.append("clock was not set")
    if not event:
        notes.append("recovered from its pictures")
    return notes
