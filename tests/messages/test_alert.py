"""Alerts: documents that satisfy the schema, and pictures that show the hornet."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
from datetime import datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import cv2
import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fakes import BOX, MODEL, NOON, make_cam, make_frame, make_pixels, make_prediction, make_sighting
from support.schemas import closed

from hivewatch.domain.frames import WHOLE, Box, Location, Pixels, Point, Prediction
from hivewatch.domain.sightings import Phase, Sighting
from hivewatch.domain.wire import Alert
from hivewatch.errors import StoreError
from hivewatch.messages.alert import compose, interrupted_end, without_pictures
from hivewatch.messages.annotate import BOX_COLOUR, annotate, close_up_area
from hivewatch.messages.documents import schema
from hivewatch.messages.states import availability_message
from hivewatch.messages.topics import HiveTopics

TOPICS = HiveTopics("h1", "Ruche de l'été", "bees/site")


def alert_of(sighting: Sighting) -> Alert:
    """Return the alert of ``sighting`` with default settings."""
    return compose(sighting, TOPICS, MODEL, 90)


def document_of(sighting: Sighting) -> dict[str, Any]:
    """Return the event's document, checked against the schema without unknown properties."""
    document: dict[str, Any] = json.loads(alert_of(sighting).event.payload)
    jsonschema.Draft202012Validator(closed(schema("sighting"))).validate(document)
    return document


def decoded(jpeg: bytes) -> Pixels:
    """Return the RGB pixels of a JPEG."""
    bgr = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(bgr, np.uint8)[..., ::-1]


def test_schema_is_valid_draft_2020_12() -> None:
    jsonschema.Draft202012Validator.check_schema(schema("sighting"))


@pytest.mark.parametrize("phase", list(Phase))
def test_a_sighting_of_the_simulator_is_marked_as_a_test_and_a_real_one_is_not(phase: Phase) -> None:
    """Also its end after a crash: nobody takes a drawing for a hornet."""
    drawn = dataclasses.replace(make_frame(), truth=(BOX,))
    document = document_of(make_sighting(phase=phase, frame=drawn))
    assert document["test"] is True
    assert json.loads(interrupted_end(json.dumps(document), TOPICS).payload)["test"] is True
    assert "test" not in document_of(make_sighting(phase=phase))


@pytest.mark.parametrize("phase", list(Phase))
def test_document_of_every_phase_satisfies_the_schema(phase: Phase) -> None:
    """Only an end has the time at which the sighting ended."""
    document = document_of(make_sighting(phase=phase))
    assert document["event_type"] == phase.value
    assert ("ended_at" in document) == (phase is Phase.END)


def test_document_of_an_alert_without_pictures_is_valid_and_says_so() -> None:
    """A full disk drops the pictures, not the event: a subscriber must know that no picture will come."""
    whole = alert_of(make_sighting())
    bare = without_pictures(whole)
    assert (bare.snapshot, bare.clean_jpeg) == (None, None)
    document = json.loads(bare.event.payload)
    jsonschema.Draft202012Validator(closed(schema("sighting"))).validate(document)
    assert document == json.loads(whole.event.payload) | {"snapshot": None}


@pytest.mark.parametrize("phase", [Phase.START, Phase.UPDATE])
def test_end_of_an_interrupted_sighting_is_valid_and_has_the_time_of_its_last_event(phase: Phase) -> None:
    """No other document has the property interrupted."""
    last = alert_of(make_sighting("v7", phase, at_s=2.25)).event
    end = interrupted_end(last.payload.decode(), TOPICS)
    document = json.loads(end.payload)
    jsonschema.Draft202012Validator(closed(schema("sighting"))).validate(document)
    assert (end.topic, end.retained) == (last.topic, last.retained)
    assert (document["sighting_id"], document["event_type"], document["interrupted"]) == ("v7", "end", True)
    assert document["ended_at"] == document["at"] == "2026-09-14T12:00:02.250Z"
    assert "interrupted" not in document_of(make_sighting(phase=Phase.END))


def test_document_holds_the_values_of_the_sighting() -> None:
    """Times are UTC with milliseconds; positions are given as fractions and in pixels."""
    frame = make_frame(make_pixels(200, 100), at_s=1.5)
    document = document_of(make_sighting("v7", frame=frame, prediction=make_prediction(0.93), at_s=2.25))
    assert document["sighting_id"] == "v7"
    assert document["hive"] == {"id": "h1", "name": "Ruche de l'été"}
    assert document["started_at"] == "2026-09-14T12:00:00.000Z"
    assert document["at"] == "2026-09-14T12:00:02.250Z"
    assert document["frame"] == {"taken_at": "2026-09-14T12:00:01.500Z", "width_px": 200, "height_px": 100}
    assert (document["score"], document["best_score"], document["duration_s"]) == (0.8, 0.93, 2.25)
    assert document["peak_px"] == {"x": 100, "y": 40}
    assert document["box"] == {"x0": 0.4, "y0": 0.3, "x1": 0.6, "y1": 0.5}
    assert document["box_px"] == {"x0": 80, "y0": 30, "x1": 120, "y1": 50}
    assert document["model"] == {"name": "test", "version": "1.0", "sha256": "ab" * 32}


def test_document_holds_size_and_hash_of_the_snapshot() -> None:
    """A subscriber can check whether its picture belongs to the event."""
    sighting = make_sighting()
    snapshot = alert_of(sighting).snapshot
    assert document_of(sighting)["snapshot"] == {
        "topic": "bees/site/h1/snapshot",
        "content_type": "image/jpeg",
        "size_bytes": len(snapshot.payload),
        "sha256": hashlib.sha256(snapshot.payload).hexdigest(),
    }


def test_times_of_another_zone_are_converted_to_utc() -> None:
    frame = make_frame()
    summer = timezone(timedelta(hours=2))
    moved = type(frame)(frame.pixels, NOON.astimezone(summer), 0.0, 0, "camera")
    assert document_of(make_sighting(frame=moved))["frame"]["taken_at"] == "2026-09-14T12:00:00.000Z"


def test_box_is_null_for_a_sighting_without_one() -> None:
    document = document_of(make_sighting(prediction=make_prediction(box=None)))
    assert document["box"] is None
    assert document["box_px"] is None


fractions = st.floats(0, 1)
spans = st.tuples(fractions, fractions).map(sorted)
boxes = st.builds(lambda across, down: Box(across[0], down[0], across[1], down[1]), spans, spans)


@given(
    peak=st.builds(Point, fractions, fractions),
    box=st.none() | boxes,
    score=fractions,
    size=st.sampled_from([(1, 1), (3, 2), (64, 48)]),
    phase=st.sampled_from(list(Phase)),
)
def test_any_sighting_satisfies_the_schema_and_stays_within_the_frame(
    peak: Point, box: Box | None, score: float, size: tuple[int, int], phase: Phase
) -> None:
    """The peak in pixels is in the frame, even if it is on the border."""
    prediction = Prediction(score, make_cam(), WHOLE, Location(peak, box))
    document = document_of(
        make_sighting(phase=phase, frame=make_frame(make_pixels(*size)), prediction=prediction)
    )
    assert document["peak_px"]["x"] < size[0]
    assert document["peak_px"]["y"] < size[1]


def test_schema_accepts_additional_properties_and_rejects_missing_ones() -> None:
    """Additions within a version do not break consumers that validate."""
    validator = jsonschema.Draft202012Validator(schema("sighting"))
    document = document_of(make_sighting(phase=Phase.END))
    validator.validate(document | {"new_in_a_later_release": 1})
    for key in document:
        less = copy.deepcopy(document)
        del less[key]
        assert not validator.is_valid(less), key


def test_event_is_not_retained_and_snapshot_is() -> None:
    """A new subscriber gets the last picture, but no old alarm."""
    alert = alert_of(make_sighting())
    assert (alert.event.topic, alert.event.retained) == ("bees/site/h1/event", False)
    assert (alert.snapshot.topic, alert.snapshot.retained) == ("bees/site/h1/snapshot", True)


def test_availability_is_retained() -> None:
    """A new subscriber learns whether the daemon is connected."""
    online, offline = (availability_message(TOPICS, online=on) for on in (True, False))
    assert (online.payload, offline.payload) == (b"online", b"offline")
    assert online.topic == offline.topic == "bees/site/h1/availability"
    assert online.retained
    assert offline.retained


def test_same_best_frame_gives_the_same_pictures_in_every_phase() -> None:
    """The store compares hashes to detect that an end has no new picture."""
    start, end = (
        alert_of(make_sighting(phase=phase, at_s=at)) for phase, at in ((Phase.START, 1), (Phase.END, 9))
    )
    assert start.snapshot.payload == end.snapshot.payload
    assert start.clean_jpeg == end.clean_jpeg


def test_clean_picture_is_the_frame() -> None:
    """It has no annotations, and its colour channels are in order."""
    pixels = np.full((48, 64, 3), (200, 40, 30), np.uint8)
    clean = decoded(alert_of(make_sighting(frame=make_frame(pixels))).clean_jpeg)
    assert clean.shape == pixels.shape
    assert np.abs(clean.astype(int) - pixels).max() < 12


def test_picture_too_large_for_jpeg_is_a_store_error_with_its_size() -> None:
    frame = make_frame(np.zeros((1, 70_000, 3), np.uint8))
    with pytest.raises(StoreError, match="cannot encode a picture of 70000 x 1 pixels as JPEG"):
        alert_of(make_sighting(frame=frame))


def test_annotation_adds_a_panel_and_does_not_change_the_frame() -> None:
    """The panel is below the frame, so coordinates stay valid."""
    frame = make_frame(make_pixels(640, 360))
    before = frame.pixels.copy()
    picture = annotate(frame, make_prediction())
    assert picture.shape[1] == 640
    assert picture.shape[0] > 360
    assert np.array_equal(frame.pixels, before)


def test_annotation_changes_only_the_outline_and_never_the_animal() -> None:
    """A tint would give a black thorax the colour of another species."""
    frame = make_frame(make_pixels(640, 360))
    x0, y0, x1, y1 = BOX.pixels(640, 360)
    changed = (annotate(frame, make_prediction(), heat=True)[:360] != frame.pixels).any(axis=2)
    assert changed.any()
    assert not changed[y0:y1, x0:x1].any()
    changed[y0 - 8 : y1 + 8, x0 - 8 : x1 + 8] = False
    assert not changed.any()


def test_the_close_up_shows_the_untouched_animal_enlarged() -> None:
    pixels = np.full((360, 640, 3), (90, 120, 60), np.uint8)
    x0, y0, x1, y1 = BOX.pixels(640, 360)
    pixels[y0:y1, x0:x1] = (20, 18, 25)  # a dark animal on green
    frame = make_frame(pixels)
    picture = annotate(frame, make_prediction())
    left, top, right, bottom = close_up_area(frame, make_prediction())
    assert left <= x0 < x1 <= right
    assert top <= y0 < y1 <= bottom
    panel = picture[360:]
    margin_px = max(2, panel.shape[0] // 24)
    close_up = panel[margin_px:-margin_px, margin_px : panel.shape[0] - margin_px].astype(int)
    middle = close_up[close_up.shape[0] // 2, close_up.shape[1] // 2]
    assert np.abs(middle - (20, 18, 25)).max() < 6
    assert (np.abs(close_up - BOX_COLOUR).sum(axis=2) > 100).all(), "no outline in it"


def test_the_heat_is_beside_the_close_up_only_on_request() -> None:
    frame = make_frame(np.full((360, 640, 3), 90, np.uint8))
    plain, heated = (annotate(frame, make_prediction(), heat=heat) for heat in (False, True))
    assert np.array_equal(plain[:360], heated[:360])
    side_px = plain.shape[0] - 360
    assert np.array_equal(plain[:, : side_px - 4], heated[:, : side_px - 4])
    assert (plain[360:, side_px : 2 * side_px] != heated[360:, side_px : 2 * side_px]).any()


def test_the_time_is_that_of_the_hive_with_its_offset(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    put_text = cv2.putText
    monkeypatch.setattr(
        cv2, "putText", lambda canvas, text, *rest: written.append(text) or put_text(canvas, text, *rest)
    )
    annotate(make_frame(make_pixels(1280, 720)), make_prediction(), zone=ZoneInfo("Europe/Paris"))
    annotate(make_frame(make_pixels(160, 120)), make_prediction(), zone=ZoneInfo("America/Bogota"))
    assert "2026-09-14 14:00:00 +02:00" in written
    assert not any("UTC" in text for text in written)


def test_without_a_box_the_peak_is_marked_and_enlarged() -> None:
    frame = make_frame(make_pixels(640, 360))
    prediction = make_prediction(box=None)
    left, top, right, bottom = close_up_area(frame, prediction)
    x, y = prediction.location.peak.x * 640, prediction.location.peak.y * 360
    assert left <= x <= right
    assert top <= y <= bottom
    assert (annotate(frame, prediction)[:360] != frame.pixels).any()


@pytest.mark.parametrize(
    "size", [(1, 1), (5, 300), (160, 120), (3000, 40), (240, 2000), (2000, 160), (320, 240)]
)
@pytest.mark.parametrize("box", [BOX, None, WHOLE, Box(0.5, 0.5, 0.5, 0.5)])
def test_annotation_fits_any_size(size: tuple[int, int], box: Box | None) -> None:
    """Tiny and narrow frames, boxes on the border and empty boxes are drawn without error."""
    frame = make_frame(make_pixels(*size))
    assert (
        annotate(frame, Prediction(0.5, make_cam(), WHOLE, Location(Point(1, 1), box)), heat=True).shape[1]
        == size[0]
    )


def test_times_can_be_parsed_by_datetime() -> None:
    text = document_of(make_sighting())["at"]
    assert datetime.fromisoformat(text) == NOON + timedelta(seconds=2)
