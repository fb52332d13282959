"""An alert that only tries the way to a person's phone, and says so wherever it can."""

from __future__ import annotations

import dataclasses
import uuid

import numpy as np

from hivewatch.domain.frames import WHOLE, Frame, Location, Point, Prediction
from hivewatch.domain.sightings import ModelIdentity, Phase, Sighting, Stamp
from hivewatch.domain.wire import Message
from hivewatch.messages.alert import document_of, encode_jpeg
from hivewatch.messages.annotate import captioned
from hivewatch.messages.contract import EVENT, SIGHTING_SNAPSHOT, SNAPSHOT
from hivewatch.messages.topics import HiveTopics


def test_alert_messages(
    frame: Frame,
    topics: HiveTopics,
    model: ModelIdentity,
    stamp: Stamp | None,
    *,
    jpeg_quality: int,
    own_topic: bool,
) -> tuple[Message, ...]:
    """Return start, picture and end of a visit that never was, each marked; nothing of it is retained.

    ``stamp`` as for ``compose``. Raises StoreError where no JPEG can be made.
    """
    caption = captioned(frame, "TEST, no hornet", dated=stamp is None)
    jpeg = encode_jpeg(caption, jpeg_quality)
    sighting = _visit(frame)
    picture = SNAPSHOT.message(topics, jpeg, sighting.id)
    picture = dataclasses.replace(picture, retained=False)  # the last hornet's stays on the broker
    events = []
    for phase in (Phase.START, Phase.END):
        document = document_of(dataclasses.replace(sighting, phase=phase), topics, model, picture)
        document["test"] = True
        if stamp is not None:
            document["clock"] = dataclasses.asdict(stamp)
        events.append(EVENT.message(topics, document, sighting.id))
    pictures = [picture]
    if own_topic:
        pictures.append(SIGHTING_SNAPSHOT.message(topics, jpeg, sighting.id))
    return events[0], *pictures, events[1]


def _visit(frame: Frame) -> Sighting:
    """Return a visit as sure as can be, for what reacts to sure ones only, and at no place."""
    found = Prediction(1.0, np.zeros((1, 1), np.float32), WHOLE, Location(Point(0.5, 0.5), None))
    return Sighting(
        id=f"test-{uuid.uuid4().hex}",
        phase=Phase.START,
        at=frame.taken_at,
        started_at=frame.taken_at,
        last_seen_at=frame.taken_at,
        duration_s=0.0,
        score=found.score,
        best=found,
        best_frame=frame,
        votes_for=1,
        votes=1,
    )
