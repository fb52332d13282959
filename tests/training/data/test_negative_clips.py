"""Clips without hornets as pictures to train on."""

import logging
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from support.training_pictures import RECIPE, write_data, write_weights

from hivewatch.training.data import negative_clips
from hivewatch.training.data.catalogue import read_catalogue
from hivewatch.training.data.negative_clips import negative_clip_shots
from hivewatch.training.train import LAST, Run, train


def write_clip(path: Path, seconds: int = 3, rate_hz: int = 10) -> Path:
    """Grey frames that grow brighter by one level each."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), rate_hz, (160, 96))
    for number in range(seconds * rate_hz):
        writer.write(np.full((96, 160, 3), 60 + number, np.uint8))
    writer.release()
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    data = write_data(tmp_path / "data", per_class=2)
    write_clip(data / "train" / "absence" / "bees_in_june.avi")
    return data


def test_a_frame_a_second_is_taken(tmp_path: Path) -> None:
    shots, problems = negative_clip_shots([write_clip(tmp_path / "bees.avi")], 640)
    assert problems == []
    assert [round(float(pixels.mean())) for _, pixels in shots] == pytest.approx([60, 70, 80], abs=2)
    assert {(p.domain, p.hornet, p.scene, p.split) for p, _ in shots} == {("hive", False, "bees", "train")}


def test_a_long_clip_gives_its_first_frames_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(negative_clips, "MOST_FRAMES", 2)
    assert len(negative_clip_shots([write_clip(tmp_path / "bees.avi")], 640)[0]) == 2


def test_a_clip_that_cannot_be_read_is_named_and_the_others_used(tmp_path: Path) -> None:
    (tmp_path / "bad.avi").write_bytes(b"no video")
    shots, (problem,) = negative_clip_shots([tmp_path / "bad.avi", write_clip(tmp_path / "good.avi")], 640)
    assert "bad.avi" in problem
    assert len(shots) == 3


def test_clips_among_the_pictures_without_hornets_are_footage(data: Path) -> None:
    catalogue = read_catalogue(data)
    assert [clip.name for clip in catalogue.negative_clips] == ["bees_in_june.avi"]
    assert len(catalogue.pictures) == 8


@pytest.mark.parametrize("place", ["train/presence", "val/absence"])
def test_a_clip_elsewhere_is_told_and_not_used(place: str, data: Path) -> None:
    shutil.copy(data / "train" / "absence" / "bees_in_june.avi", data / place / "hornets.avi")
    catalogue = read_catalogue(data)
    assert len(catalogue.negative_clips) == 1
    assert any("hornets.avi: a clip is of use without hornets" in problem for problem in catalogue.problems)


def test_the_index_may_name_footage_too(data: Path, tmp_path: Path) -> None:
    write_clip(data / "bees.avi")
    write_clip(data / "hornets.avi")
    (data / "index.csv").write_text(
        "file,presence,species,domain,source,scene,split\n"
        "train/presence/0.png,1,velutina,hive,me,a,train\n"
        "train/absence/0.png,0,none,hive,me,a,train\n"
        "bees.avi,0,none,hive,me,b,train\n"
        "hornets.avi,1,velutina,hive,me,c,train\n"
    )
    catalogue = read_catalogue(data)
    assert [clip.name for clip in catalogue.negative_clips] == ["bees.avi"]
    assert len(catalogue.pictures) == 2
    assert any("hornets.avi" in problem for problem in catalogue.problems)


def test_false_alarms_in_footage_become_hard_negatives(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("hivewatch.training.validate.ALARM_LOGIT", -100.0)  # anything alarms it
    recipe = RECIPE.model_copy(update={"mined_frames": 100})
    with caplog.at_level(logging.INFO):
        train(data, recipe, tmp_path / "run", weights=write_weights(tmp_path / "weights.pt"))
    hard = Run.restored(torch.load(tmp_path / "run" / LAST, weights_only=True)).hard_negatives
    pictures = len(read_catalogue(data).split("train"))
    assert "3 frames of 1 clips without hornets" in caplog.text
    assert any(place.picture >= pictures for place in hard)
