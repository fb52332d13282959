"""The messages of a sighting: its events, its snapshots, and the backlog that reports dropped ones."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from datetime import datetime, tzinfo
from typing import Any

from hivewatch.domain.frames import Frame, Location
from hivewatch.domain.sightings import ModelIdentity, Phase, Sighting, Stamp
from hivewatch.domain.status import Backlog
from hivewatch.domain.wire import Alert, Message
from hivewatch.messages.annotate import annotate
from hivewatch.messages.contract import BACKLOG, EVENT, JPEG, SIGHTING_SNAPSHOT, SNAPSHOT
from hivewatch.messages.documents import header, iso, to_json
from hivewatch.messages.jpeg import encode_jpeg
from hivewatch.messages.topics import HiveTopics

_TIMES = {"at", "started_at", "last_seen_at", "ended_at", "taken_at"}


def compose(
    sighting: Sighting,
    topics: HiveTopics,
    model: ModelIdentity,
    jpeg_quality: int,
    stamp: Stamp | None = None,
    *,
    own_topic: bool = False,
    zone: tzinfo | None = None,
    heat: bool = False,
) -> Alert:
    """Return the alert of ``sighting``: its event and its pictures.

    With ``own_topic`` the snapshot is also sent on the sighting's own topic. With a ``stamp`` the times are
    provisional: the document carries the stamp, and the snapshot shows no time; otherwise its time is that of
    ``zone``. With ``heat`` the snapshot shows the activation map. The same arguments give the same JPEGs,
    byte for byte. Raises StoreError if a JPEG cannot be encoded.
    """
    clean_jpeg = encode_jpeg(sighting.best_frame.pixels, jpeg_quality)
    annotated = annotate(sighting.best_frame, sighting.best, dated=stamp is None, zone=zone, heat=heat)
    annotated_jpeg = encode_jpeg(annotated, jpeg_quality)
    snapshot = SNAPSHOT.message(topics, annotated_jpeg, sighting.id)
    own = SIGHTING_SNAPSHOT.message(topics, annotated_jpeg, sighting.id) if own_topic else None
    document = document_of(sighting, topics, model, snapshot)
    if own is not None:
        document["snapshot"]["own_topic"] = own.topic
    if stamp is not None:
        document["clock"] = dataclasses.asdict(stamp)
    event = EVENT.message(topics, document, sighting.id)
    return Alert(event, snapshot, clean_jpeg, own)


def with_corrected_times(event: str, date_of: Callable[[Stamp], datetime | None]) -> str | None:
    """Return the event's document with its provisional times corrected; None if there is nothing to correct.

    Also None if a flipped bit has moved a time so far that they cannot be. ``date_of`` returns the true time
    of a stamp, or None if it is unknown.
    """
    document = json.loads(event)
    true_at = date_of(Stamp(**stamp)) if (stamp := document.pop("clock", None)) is not None else None
    if true_at is None:
        return None
    shift = true_at - datetime.fromisoformat(document["at"])
    try:
        for part in (document, document["frame"]):
            part |= {key: iso(datetime.fromisoformat(part[key]) + shift) for key in part.keys() & _TIMES}
    except OverflowError:
        return None
    return to_json(document)


def without_pictures(alert: Alert) -> Alert:
    """Return the alert without its pictures, for a full disk; the event's ``snapshot`` is then null."""
    document = json.loads(alert.event.payload) | {"snapshot": None}
    event = dataclasses.replace(alert.event, payload=to_json(document).encode())
    return Alert(event, None, None)


def interrupted_end(document: str, topics: HiveTopics) -> Message:
    """Return the end event of a sighting that a crash interrupted, from the ``document`` of its last event.

    It ends at the time of that event, because nothing after it was recorded.
    """
    last = json.loads(document)
    ended_at = max(last["at"], last["started_at"])  # a record of an older version may have them in any order
    end = last | {"event_type": str(Phase.END), "ended_at": ended_at, "interrupted": True}
    return EVENT.message(topics, end, last["sighting_id"])


def backlog_message(backlog: Backlog, topics: HiveTopics) -> Message:
    """Return the message that reports what was dropped from the outbox."""
    document = {
        **header("backlog", topics),
        "backlog_id": backlog.id,
        "sightings": backlog.sightings,
        "events": backlog.events,
        "pictures": backlog.pictures,
        "first_at": backlog.first_at and iso(backlog.first_at),
        "last_at": backlog.last_at and iso(backlog.last_at),
        "best_score": None if backlog.best_score is None else round(backlog.best_score, 4),
        "sighting_ids": list(backlog.sighting_ids),
        "text": _backlog_text(backlog),
    }
    return BACKLOG.message(topics, document)


def _backlog_text(backlog: Backlog) -> str:
    unsent = f"{backlog.events} messages and {backlog.pictures} pictures were not sent"
    if backlog.first_at is None or backlog.last_at is None:
        return unsent
    between = f"between {iso(backlog.first_at)} and {iso(backlog.last_at)}"
    return f"{backlog.sightings} sightings {between}: {unsent}"


def document_of(
    sighting: Sighting, topics: HiveTopics, model: ModelIdentity, snapshot: Message
) -> dict[str, Any]:
    """Return the document of the event; ``snapshot`` is the message with its picture."""
    frame = sighting.best_frame
    document = {
        **header("sighting", topics),
        "event_type": str(sighting.phase),
        "sighting_id": sighting.id,
        "source": frame.source,
        "at": iso(sighting.at),
        "started_at": iso(sighting.started_at),
        "last_seen_at": iso(sighting.last_seen_at),
        "duration_s": round(sighting.duration_s, 3),
        "score": round(sighting.score, 4),
        "best_score": round(sighting.best.score, 4),
        "votes_for": sighting.votes_for,
        "votes": sighting.votes,
        "frame": {
            "taken_at": iso(frame.taken_at),
            "width_px": frame.width_px,
            "height_px": frame.height_px,
        },
        **_location(sighting.best.location, frame),
        "model": {"name": model.name, "version": model.version, "sha256": model.sha256},
        "snapshot": {
            "topic": snapshot.topic,
            "content_type": JPEG,
            "size_bytes": len(snapshot.payload),
            "sha256": hashlib.sha256(snapshot.payload).hexdigest(),
        },
    }
    if frame.is_drawn:
        document["test"] = True
    if sighting.phase is Phase.END:
        document["ended_at"] = document["at"]
    return document


def _location(location: Location, frame: Frame) -> dict[str, Any]:
    """Return peak and box, both as fractions of the frame and in its pixels."""
    (x, y), box = location.peak, location.box
    last_x_px, last_y_px = frame.width_px - 1, frame.height_px - 1
    return {
        "peak": {"x": round(x, 4), "y": round(y, 4)},
        "peak_px": {
            "x": min(int(x * frame.width_px), last_x_px),
            "y": min(int(y * frame.height_px), last_y_px),
        },
        "box": None if box is None else {side: round(v, 4) for side, v in box._asdict().items()},
        "box_px": None
        if box is None
        else dict(zip(box._fields, box.pixels(frame.width_px, frame.height_px), strict=True)),
    }
