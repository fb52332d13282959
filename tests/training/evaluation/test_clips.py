"""Clips run through the daemon's loop, and their sightings compared with the truth."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.training_pictures import write_clip

from hivewatch.config.sections import Config, DecisionConfig, GateConfig, MotionConfig
from hivewatch.errors import DataError
from hivewatch.training.evaluation.clip_report import ClipReport, ClipSighting, summarise_clips
from hivewatch.training.evaluation.clip_truth import Interval, read_truth
from hivewatch.training.evaluation.clips import ClipRun, measure_clips, report_clip
from hivewatch.vision.classifier import load_classifier


def report(
    sightings: list[ClipSighting], spans: list[Interval] | None, duration_s: float = 60.0
) -> ClipReport:
    run = ClipRun(duration_s=duration_s, frames=300, gated=150, highest=0.9)
    run.sightings = dict(zip("abcdef", sightings, strict=False))
    return report_clip("clips/a.mp4", run, None if spans is None else {"a.mp4": tuple(spans)})


def sighting(start_s: float, end_s: float, alert_s: float) -> ClipSighting:
    return ClipSighting(Interval(start_s, end_s), alert_s, best_score=0.9)


def test_a_sighting_during_a_visit_finds_it_with_a_delay_from_the_start_of_the_visit() -> None:
    found = report([sighting(11.0, 18.0, alert_s=12.5)], [Interval(10.0, 20.0)])
    assert (len(found.missed), len(found.false), found.delays_s) == (0, 0, (2.5,))


def test_a_visit_without_a_sighting_is_missed() -> None:
    found = report([], [Interval(10.0, 20.0), Interval(40.0, 45.0)])
    assert found.missed == (Interval(10.0, 20.0), Interval(40.0, 45.0))


def test_a_sighting_while_no_hornet_is_in_view_is_false() -> None:
    found = report([sighting(1.0, 3.0, 2.0), sighting(12.0, 13.0, 12.5)], [Interval(10.0, 20.0)])
    assert [false.alert_s for false in found.false] == [2.0]


def test_one_sighting_across_two_visits_finds_both_and_the_second_without_delay() -> None:
    found = report([sighting(11.0, 32.0, alert_s=12.0)], [Interval(10.0, 20.0), Interval(30.0, 35.0)])
    assert (found.missed, found.delays_s) == ((), (2.0, 0.0))


def test_without_truth_no_sighting_is_found_or_false() -> None:
    found = report([sighting(1.0, 3.0, 2.0)], None)
    assert (found.truth, found.false, found.delays_s) == (None, (), ())
    summary = summarise_clips([found], 5.0)
    assert summary.false_per_hour is None
    assert "not compared" in summary.table()


def test_only_clips_with_known_truth_are_summed() -> None:
    clips = [
        report([sighting(1.0, 3.0, 2.0)], [], duration_s=1800.0),
        report([sighting(11.0, 18.0, 12.0)], [Interval(10.0, 20.0)], duration_s=1800.0),
        report([sighting(1.0, 3.0, 2.0)], None, duration_s=3600.0),
    ]
    summary = summarise_clips(clips, 5.0)
    assert (summary.found, summary.missed, summary.false) == (1, 0, 1)
    assert summary.false_per_hour == pytest.approx(1.0)
    assert summary.median_delay_s == 2.0
    assert "1 found, 0 missed, median delay 2.0 s; 1 false in 60.0 minutes" in summary.table()


def test_clips_go_through_gate_classifier_and_votes(tiny_model_path: Path, tmp_path: Path) -> None:
    """At a threshold of 0 the untrained model calls everything a hornet, so there must be a sighting."""
    clip = write_clip(tmp_path / "a.avi", seconds=6.0)
    config = Config(
        decision=DecisionConfig(threshold=0.0, release=0.0),
        gate=GateConfig(motion=MotionConfig(hold_s=0.3)),
    )
    classifier = load_classifier(tiny_model_path, threads=1)
    summary = measure_clips([clip], config, classifier, {"a.avi": (Interval(0.0, 6.0),)})
    (found,) = summary.clips
    assert found.frames == 30, "six seconds at the default of five frames a second"
    assert 0 < found.gated_share < 1, "the gate holds frames back while nothing moves"
    assert (summary.found, summary.false) == (1, 0)
    assert 0 < found.delays_s[0] < 6
    assert found.duration_s == pytest.approx(6.0, abs=0.3)
    json.dumps(summary.document(), allow_nan=False)


def test_a_visit_the_model_does_not_detect_is_missed(tiny_model_path: Path, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.avi", seconds=3.0)
    config = Config(decision=DecisionConfig(threshold=1.0, release=1.0))
    classifier = load_classifier(tiny_model_path, threads=1)
    summary = measure_clips([clip], config, classifier, {"a.avi": (Interval(0.0, 3.0),)})
    assert (summary.found, summary.missed) == (0, 1)


def test_a_clip_missing_from_the_truth_is_rejected(tiny_model_path: Path, tmp_path: Path) -> None:
    """Otherwise a typo in the table would turn every hornet of the clip into a false sighting."""
    clip = write_clip(tmp_path / "a.avi", seconds=0.5)
    with pytest.raises(DataError, match=r"truth table lacks a\.avi"):
        measure_clips([clip], Config(), load_classifier(tiny_model_path, threads=1), {"b.avi": ()})


def test_a_picture_is_not_a_clip(tiny_model_path: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(DataError, match="not a clip"):
        measure_clips([tmp_path / "a.png"], Config(), load_classifier(tiny_model_path, threads=1), None)


def test_truth_has_intervals_in_order_and_clips_without_hornets(tmp_path: Path) -> None:
    path = tmp_path / "truth.csv"
    path.write_text("file,start_s,end_s\nb.mp4,20,25.5\nb.mp4,3,7\nbees.mp4,,\n")
    assert read_truth(path) == {"b.mp4": (Interval(3, 7), Interval(20, 25.5)), "bees.mp4": ()}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("file,from,to\n", "line 1: the columns must be file,start_s,end_s"),
        ("file,start_s,end_s\na.mp4,1,x\n", "line 2: start_s and end_s must be seconds"),
        ("file,start_s,end_s\na.mp4,1,\n", "line 2: start_s and end_s must be seconds"),
        ("file,start_s,end_s\na.mp4,5,4\n", "line 2: start_s must be 0 or more"),
    ],
)
def test_a_bad_truth_table_is_rejected_with_its_line(text: str, fault: str, tmp_path: Path) -> None:
    path = tmp_path / "truth.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=fault):
        read_truth(path)
