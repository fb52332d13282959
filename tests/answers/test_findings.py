"""What is collected while sources are replayed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from support.fakes import NOON, make_frame, make_prediction, make_sighting

from hivewatch.answers.findings import Findings, Span
from hivewatch.camera.sources.folder import FolderCamera
from hivewatch.daemon.loop import Step
from hivewatch.daemon.replay import Replayed, Source
from hivewatch.domain.sightings import Phase
from hivewatch.errors import CameraError

CAMERA = FolderCamera([], rate_hz=5.0, paced=False)  # never opened
CLIP = Source(CAMERA, 10, True, "c.mp4")
FOLDER = Source(CAMERA, 3, False, "p")


def frame_of(source: Source, number: int, score: float | None = 0.9, file: str = "c.mp4") -> Replayed:
    frame = make_frame(at_s=number / 5, sequence=number, source=file)
    return Replayed(source, file, number, Step(frame, None if score is None else make_prediction(score)))


def test_a_visit_is_in_the_time_of_its_clip() -> None:
    """The best picture is 20 s into the clip, which was taken at noon."""
    findings = Findings([CLIP], 0.8)
    findings.add(frame_of(CLIP, 0))
    best = make_frame(at_s=20.0, source="c.mp4")
    sighting = make_sighting(phase=Phase.END, frame=best)
    sighting = replace(
        sighting, started_at=NOON + timedelta(seconds=18), last_seen_at=NOON + timedelta(seconds=25)
    )
    hornet = findings.add_sighting(sighting)
    assert hornet.span == Span(18.0, 25.0, 20.0)
    assert findings.end(CLIP, None).hornets == [hornet]


def test_frames_are_counted_and_the_highest_score_is_kept() -> None:
    findings = Findings([CLIP], 0.8)
    for number, score in enumerate([0.2, None, 0.7, 0.5]):
        findings.add(frame_of(CLIP, number, score))
    answer = findings.end(CLIP, None)
    assert (answer.frames, answer.gated, answer.highest) == (4, 1, 0.7)
    assert answer.duration_s == pytest.approx(0.8)


def test_the_pictures_of_a_folder_are_hornets_rejected_or_unreadable() -> None:
    findings = Findings([FOLDER], 0.8)
    findings.add(frame_of(FOLDER, 0, 0.3, "1.jpg"))
    findings.add(frame_of(FOLDER, 1, 0.9, "2.jpg"))
    hornet = findings.add_sighting(make_sighting(phase=Phase.END, frame=make_frame(source="2.jpg")))
    answer = findings.end(FOLDER, None)
    assert hornet.span is None
    assert (answer.hornets, answer.rejected, answer.unreadable) == ([hornet], {"1.jpg": 0.3}, 1)


def test_a_source_without_a_frame_has_an_answer_with_its_error() -> None:
    findings = Findings([CLIP, FOLDER], 0.8)
    answer = findings.end(CLIP, CameraError("no clip"))
    assert (answer.frames, answer.error) == (0, "no clip")
    findings.add(frame_of(FOLDER, 0, 0.3, "1.jpg"))
    assert [answer.name for answer in findings.answers] == ["c.mp4", "p"]
    assert findings.ended == 1, "the folder has not ended"
