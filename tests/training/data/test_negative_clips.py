"""Negative clips (without hornets) as training pictures."""

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
from hivewatch.training.run import LAST, Run
from hivewatch.training.train import train


def write_clip(path: Path, seconds: int = 3, rate_hz: int = 10) -> Path:
    """Write a clip of grey frames, each one level brighter than the last."""
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


def test_one_frame_a_second_is_used(tmp_path: Path) -> None:
    shots, problems = negative_clip_shots([write_clip(tmp_path / "bees.avi")], 640)
    assert problems == []
    assert [round(float(pixels.mean())) for _, pixels in shots] == pytest.approx([60, 70, 80], abs=2)
    assert {(p.domain, p.hornet, p.scene, p.split) for p, _ in shots} == {("hive", False, "bees", "train")}


def test_only_the_first_frames_of_a_long_clip_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(negative_clips, "MOST_FRAMES", 2)
    assert len(negative_clip_shots([write_clip(tmp_path / "bees.avi")], 640)[0]) == 2


def test_an_unreadable_clip_is_reported_and_the_others_are_used(tmp_path: Path) -> None:
    (tmp_path / "bad.avi").write_bytes(b"no video")
    shots, (problem,) = negative_clip_shots([tmp_path / "bad.avi", write_clip(tmp_path / "good.avi")], 640)
    assert "bad.avi" in problem
    assert len(shots) == 3


def test_clips_among_the_training_pictures_without_hornets_are_negative_clips(data: Path) -> None:
    catalogue = read_catalogue(data)
    assert [clip.name for clip in catalogue.negative_clips] == ["bees_in_june.avi"]
    assert len(catalogue.pictures) == 8


@pytest.mark.parametrize("folder", ["train/presence", "val/absence"])
def test_a_clip_in_another_folder_is_reported_and_not_used(folder: str, data: Path) -> None:
    shutil.copy(data / "train" / "absence" / "bees_in_june.avi", data / folder / "hornets.avi")
    catalogue = read_catalogue(data)
    assert len(catalogue.negative_clips) == 1
    assert any(
        "hornets.avi: clips can be used only without hornets" in problem for problem in catalogue.problems
    )


def test_the_index_may_list_negative_clips_too(data: Path, tmp_path: Path) -> None:
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


@pytest.mark.slow
def test_false_alarms_in_negative_clips_become_hard_negatives(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("hivewatch.training.mining.ALARM_LOGIT", -100.0)  # every peak is an alarm
    recipe = RECIPE.model_copy(update={"mined_frames": 100})
    with caplog.at_level(logging.INFO):
        train(data, recipe, tmp_path / "run", weights=write_weights(tmp_path / "weights.pt"))
    hard = Run.restored(torch.load(tmp_path / "run" / LAST, weights_only=True)).hard_negatives
    pictures = len(read_catalogue(data).split("train"))
    assert "3 frames of 1 negative clips" in caplog.text
    assert any(negative.picture >= pictures for negative in hard)
