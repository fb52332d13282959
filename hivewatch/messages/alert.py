"""From a Sighting to what goes on the wire.

Under ``<base topic>/<hive id>/``:

=============  ========  ==================================================================
topic          retained  payload
=============  ========  ==================================================================
availability   yes       ``online`` or ``offline``
event          no        JSON document of a sighting event (``schema/sighting-1.json``)
snapshot       yes       annotated JPEG of the best frame; its SHA-256 stands in the event
backlog        no        JSON document that stands for messages never sent (``schema/backlog-1.json``)
=============  ========  ==================================================================
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import cv2

from hivewatch.config import HiveConfig
from hivewatch.domain import (
    Alert,
    Backlog,
    Frame,
    Location,
    Message,
    ModelIdentity,
    Phase,
    Pixels,
    Sighting,
    Stamp,
)
from hivewatch.errors import StoreError
from hivewatch.messages.annotate import annotate
from hivewatch.messages.wire import compact, head, iso, topic

SCHEMA = "hivewatch.sighting"
BACKLOG_SCHEMA = "hivewatch.store.backlog"
SCHEMA_VERSION = 1
JPEG = "image/jpeg"
_TIMES = {"at", "started_at", "last_seen_at", "ended_at", "taken_at"}


def compose(
    sighting: Sighting,
    hive: HiveConfig,
    model: ModelIdentity,
    base_topic: str,
    jpeg_quality: int,
    stamp: Stamp | None = None,
) -> Alert:
    """Return the messages and pictures that tell of ``sighting``.

    With a ``stamp`` its times are provisional: the document says so, and the picture carries none. A pure
    function: the same best frame and prediction give the same JPEGs, byte for byte. Raises StoreError where a
    JPEG cannot be made.
    """
    try:
        clean_jpeg = _jpeg(sighting.best_frame.pixels, jpeg_quality)
        annotated_jpeg = _jpeg(
            annotate(sighting.best_frame, sighting.best, dated=stamp is None), jpeg_quality
        )
    except cv2.error as error:
        frame = sighting.best_frame
        raise StoreError(
            f"the snapshot of sighting {sighting.id} ({frame.width_px} x {frame.height_px} pixels) "
            f"cannot be made into a JPEG: {error}"
        ) from error
    snapshot = Message(topic(base_topic, hive.id, "snapshot"), annotated_jpeg, retained=True)
    document = _document(sighting, hive, model, snapshot)
    if stamp is not None:
        document["clock"] = dataclasses.asdict(stamp)
    # Home Assistant ignores retained events, and a stale one would alarm every new subscriber.
    event = Message(topic(base_topic, hive.id, "event"), compact(document).encode(), retained=False)
    return Alert(event, snapshot, clean_jpeg)


def redated(event: str, date: Callable[[Stamp], datetime | None]) -> str | None:
    """Return an event's document with its provisional times put right; None where there is nothing to do.

    ``date``: when something with this stamp was noted, None where nobody can know.
    """
    document = json.loads(event)
    noted_at = date(Stamp(**stamp)) if (stamp := document.pop("clock", None)) is not None else None
    if noted_at is None:
        return None
    shift = noted_at - datetime.fromisoformat(document["at"])
    for part in (document, document["frame"]):
        part |= {key: iso(datetime.fromisoformat(part[key]) + shift) for key in part.keys() & _TIMES}
    return compact(document)


def without_pictures(alert: Alert) -> Alert:
    """Return the alert as it is where there is no room for its pictures: the event says so."""
    document = json.loads(alert.event.payload) | {"snapshot": None}
    event = dataclasses.replace(alert.event, payload=compact(document).encode())
    return Alert(event, None, None)


def interrupted_end(document: str, hive: HiveConfig, base_topic: str) -> Message:
    """Return the end event of a sighting that a crash broke off, made of the ``document`` of its last event.

    It ended when it was last told of: what came after that nobody saw.
    """
    told = json.loads(document)
    end = told | {"event_type": str(Phase.END), "ended_at": told["at"], "interrupted": True}
    return Message(topic(base_topic, hive.id, "event"), compact(end).encode(), retained=False)


def backlog_message(backlog: Backlog, hive: HiveConfig, base_topic: str) -> Message:
    """Return the message that stands for all that will not be sent any more."""
    document = {
        **head("backlog", hive),
        "backlog_id": backlog.id,
        "sightings": backlog.sightings,
        "events": backlog.events,
        "pictures": backlog.pictures,
        "first_at": backlog.first_at and iso(backlog.first_at),
        "last_at": backlog.last_at and iso(backlog.last_at),
        "best_score": None if backlog.best_score is None else round(backlog.best_score, 4),
        "sighting_ids": list(backlog.sighting_ids),
        "text": _in_words(backlog),
    }
    return Message(topic(base_topic, hive.id, "backlog"), compact(document).encode(), retained=False)


def _in_words(backlog: Backlog) -> str:
    unsent = f"{backlog.events} messages and {backlog.pictures} pictures were not sent"
    if backlog.first_at is None or backlog.last_at is None:
        return unsent
    between = f"between {iso(backlog.first_at)} and {iso(backlog.last_at)}"
    return f"{backlog.sightings} sightings {between}: {unsent}"


def availability(base_topic: str, hive_id: str, *, online: bool) -> Message:
    """Return the message that says whether the daemon of this hive is there."""
    payload = b"online" if online else b"offline"
    return Message(topic(base_topic, hive_id, "availability"), payload, retained=True)


def _jpeg(pixels: Pixels, quality: int) -> bytes:
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    done, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise cv2.error("the encoder gave no reason")
    return encoded.tobytes()


def _document(
    sighting: Sighting, hive: HiveConfig, model: ModelIdentity, snapshot: Message
) -> dict[str, Any]:
    frame = sighting.best_frame
    document = {
        **head("sighting", hive),
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
        **_place(sighting.best.location, frame),
        "model": {"name": model.name, "version": model.version, "sha256": model.sha256},
        "snapshot": {
            "topic": snapshot.topic,
            "content_type": JPEG,
            "size_bytes": len(snapshot.payload),
            "sha256": hashlib.sha256(snapshot.payload).hexdigest(),
        },
    }
    if sighting.phase is Phase.END:
        document["ended_at"] = document["at"]
    return document


def _place(location: Location, frame: Frame) -> dict[str, Any]:
    """Return peak and box of the best frame, both as shares of the frame and in its pixels."""
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
