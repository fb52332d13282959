"""Clips run through the daemon's loop, and their sightings compared with the truth."""

from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.training_pictures import write_clip

from hivewatch.config.sections import Config, DecisionConfig, GateConfig, MotionConfig
from hivewatch.errors import DataError
from hivewatch.training.evaluation.clip_report import ClipReport, ClipSighting, summarise_clips
from hivewatch.training.evaluation.clip_truth import ClipTruth, Interval, Truth, read_truth, truth_of
from hivewatch.training.evaluation.clips import ClipRun, measure_clips, report_clip
from hivewatch.vision.classifier import load_classifier


def report(
    sightings: list[ClipSighting], spans: list[Interval] | None, duration_s: float = 60.0
) -> ClipReport:
    run = ClipRun(duration_s=duration_s, frames=300, gated=150, highest=0.9)
    run.sightings = dict(zip("abcdef", sightings, strict=False))
    truth = None if spans is None else ClipTruth(tuple(spans), "truth.csv, line 2")
    return report_clip("clips/a.mp4", run, truth)


def truth_table(clips: dict[str, tuple[Interval, ...]]) -> Truth:
    return {
        name: ClipTruth(spans, f"truth.csv, line {n}") for n, (name, spans) in enumerate(clips.items(), 2)
    }


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
    summary = measure_clips([clip], config, classifier, truth_table({"a.avi": (Interval(0.0, 6.0),)}))
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
    summary = measure_clips([clip], config, classifier, truth_table({"a.avi": (Interval(0.0, 3.0),)}))
    assert (summary.found, summary.missed) == (0, 1)


def test_a_clip_missing_from_the_truth_is_rejected(tiny_model_path: Path, tmp_path: Path) -> None:
    """Otherwise a typo in the table would turn every hornet of the clip into a false sighting."""
    clip = write_clip(tmp_path / "a.avi", seconds=0.5)
    with pytest.raises(DataError, match=r"truth table lacks a\.avi"):
        measure_clips(
            [clip], Config(), load_classifier(tiny_model_path, threads=1), truth_table({"b.avi": ()})
        )


def test_a_picture_is_not_a_clip(tiny_model_path: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(DataError, match="not a clip"):
        measure_clips([tmp_path / "a.png"], Config(), load_classifier(tiny_model_path, threads=1), None)


def spans(truth: Truth) -> dict[str, tuple[Interval, ...]]:
    return {name: of_clip.intervals for name, of_clip in truth.items()}


def test_truth_has_intervals_in_order_and_clips_without_hornets(tmp_path: Path) -> None:
    path = tmp_path / "truth.csv"
    path.write_text("file,start_s,end_s\nb.mp4,20,25.5\nb.mp4,3,7\nbees.mp4,,\n")
    truth = read_truth(path)
    assert spans(truth) == {"b.mp4": (Interval(3, 7), Interval(20, 25.5)), "bees.mp4": ()}
    assert truth["bees.mp4"].where == f"{path}, line 4"


def test_a_truth_table_saved_by_a_spreadsheet_is_read(tmp_path: Path) -> None:
    path = tmp_path / "truth.csv"
    path.write_text("file;start_s;end_s\na.mp4;1,5;2,25\n", encoding="utf-8-sig")
    assert spans(read_truth(path)) == {"a.mp4": (Interval(1.5, 2.25),)}


def test_intervals_that_overlap_are_one_visit(tmp_path: Path) -> None:
    path = tmp_path / "truth.csv"
    path.write_text("file,start_s,end_s\na.mp4,3,7\na.mp4,5,9\na.mp4,3,7\na.mp4,12,13\n")
    assert spans(read_truth(path)) == {"a.mp4": (Interval(3, 9), Interval(12, 13))}


def test_clips_of_the_same_name_are_told_apart_by_their_folders() -> None:
    table = truth_table({"a.mp4": (), "south/a.mp4": (Interval(1, 2),), "hive/south/b.mp4": ()})
    found = truth_of(["x/north/a.mp4", "x/south/a.mp4", "hive/south/b.mp4"], table)
    assert [found[clip].intervals for clip in ("x/north/a.mp4", "x/south/a.mp4")] == [(), (Interval(1, 2),)]


def test_a_line_that_fits_two_clips_is_rejected_with_its_line() -> None:
    table = truth_table({"b.mp4": (), "a.mp4": (Interval(1, 2),)})
    with pytest.raises(DataError, match=r"truth.csv, line 3: a.mp4 may mean north/a.mp4 or south/a.mp4"):
        truth_of(["north/a.mp4", "south/a.mp4", "b.mp4"], table)


def test_lines_of_clips_that_are_not_evaluated_are_told(caplog: pytest.LogCaptureFixture) -> None:
    table = {
        "a.mp4": ClipTruth((), "truth.csv, line 2"),
        "gone.mp4": ClipTruth((Interval(0.0, 1.0),), "truth.csv, line 3"),
    }
    assert list(truth_of(["a.mp4"], table)) == ["a.mp4"]
    assert "truth.csv, line 3: gone.mp4 is none of the clips that are evaluated;" in caplog.text


def test_a_visit_after_the_end_of_its_clip_is_told(caplog: pytest.LogCaptureFixture) -> None:
    report([], [Interval(90.0, 95.0)], duration_s=60.0)
    assert "truth.csv, line 2: a hornet from 90 s on cannot be found: clips/a.mp4 ends" in caplog.text


def test_a_clip_that_is_named_twice_or_linked_to_is_measured_once(
    tiny_model_path: Path, tmp_path: Path
) -> None:
    (tmp_path / "clips").mkdir()
    clip = write_clip(tmp_path / "clips" / "a.avi", seconds=1.0)
    (tmp_path / "clips" / "b.avi").symlink_to(clip)
    classifier = load_classifier(tiny_model_path, threads=1)
    summary = measure_clips([clip, clip.parent], Config(), classifier, None)
    assert [(found.file, found.frames) for found in summary.clips] == [(str(clip), 5)]


def test_a_clip_whose_name_is_not_utf_8_is_measured(tiny_model_path: Path, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.avi", seconds=1.0).rename(tmp_path / os.fsdecode(b"h\xe4.avi"))
    classifier = load_classifier(tiny_model_path, threads=1)
    summary = measure_clips([clip], Config(), classifier, truth_table({r"h\xe4.avi": ()}))
    assert summary.clips[0].frames == 5
    json.dumps(summary.document(), ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("file,from,to\n", "line 1: the columns must be file,start_s,end_s"),
        ("file,start_s,end_s\na.mp4,1,x\n", "line 2: start_s and end_s must be seconds"),
        ("file,start_s,end_s\na.mp4,1,\n", "line 2: start_s and end_s must be seconds"),
        ("file,start_s,end_s\na.mp4,1,inf\n", "line 2: start_s and end_s must be seconds"),
        ("file,start_s,end_s\na.mp4,nan,2\n", "line 2: start_s and end_s must be seconds"),
        ('file,start_s,end_s\na.mp4,"1,250","1,300"\n', "'1,250' may mean 1250 or 1.250"),
        ("file,start_s,end_s\na.mp4,5,4\n", "line 2: start_s must be 0 or more"),
        ("file,start_s,end_s\na.mp4,1,5,2,5\n", "line 2: 5 fields instead of 3"),
        ("file,start_s,end_s\na.mp4,1,2\na.mp4,,\n", "line 3: 'a.mp4' must name a clip"),
        ("file,start_s,end_s\na.mp4,,\na.mp4,1,2\n", "line 3: 'a.mp4' must name a clip"),
        ("file,start_s,end_s\n,1,2\n", "line 2: '' must name a clip"),
    ],
)
def test_a_bad_truth_table_is_rejected_with_its_line(text: str, fault: str, tmp_path: Path) -> None:
    path = tmp_path / "truth.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=fault):
        read_truth(path)
