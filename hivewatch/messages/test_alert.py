"""A test alert: a made-up sighting, marked as a test, that checks the path to a user's phone."""

from __future__ import annotations

import dataclasses
import uuid
from datetime import tzinfo

import numpy as np

from hivewatch.domain.frames import WHOLE, Frame, Location, Point, Prediction
from hivewatch.domain.sightings import ModelIdentity, Phase, Sighting, Stamp
from hivewatch.domain.wire import Message
from hivewatch.messages.alert import document_of
from hivewatch.messages.annotate import captioned
from hivewatch.messages.contract import EVENT, SIGHTING_SNAPSHOT, SNAPSHOT
from hivewatch.messages.jpeg import encode_jpeg
from hivewatch.messages.topics import HiveTopics


def test_alert_messages(
    frame: Frame,
    topics: HiveTopics,
    model: ModelIdentity,
    stamp: Stamp | None,
    *,
    jpeg_quality: int,
    own_topic: bool,
    zone: tzinfo | None = None,
) -> tuple[Message, ...]:
    """Return the start, the pictures and the end of a made-up sighting, each marked as a test.

    None of them is retained. ``stamp``, ``own_topic`` and ``zone`` are as for ``compose``. Raises StoreError
    if a JPEG cannot be encoded.
    """
    sighting = made_up_sighting(frame, f"test-{uuid.uuid4().hex}")
    jpeg = encode_jpeg(captioned(frame, "TEST, no hornet", dated=stamp is None, zone=zone), jpeg_quality)
    picture = SNAPSHOT.message(topics, jpeg, sighting.id)
    picture = dataclasses.replace(picture, retained=False)  # keep the last hornet's snapshot on the broker
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


def made_up_sighting(
    frame: Frame,
    id: str,  # noqa: A002  named as the field is
    prediction: Prediction | None = None,
    phase: Phase = Phase.START,
) -> Sighting:
    """Return a sighting of no hornet, seen in ``frame`` alone.

    Without a ``prediction`` its score is 1, which passes any filter of a subscriber, and it has no box.
    """
    if prediction is None:
        location = Location(Point(0.5, 0.5), None)
        prediction = Prediction(1.0, np.zeros((1, 1), np.float32), WHOLE, location)
    return Sighting(
        id=id,
        phase=phase,
        at=frame.taken_at,
        started_at=frame.taken_at,
        last_seen_at=frame.taken_at,
        duration_s=0.0,
        score=prediction.score,
        best=prediction,
        best_frame=frame,
        votes_for=1,
        votes=1,
    )
