"""A short pass of the fuzzing that ``scripts/faults`` does at length, and one through the real ``replay``."""

from __future__ import annotations

import json
import logging
import random
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
import yaml
from damage import cut, damaged
from fakes import make_pixels
from fuzz_trials import fuzz_clips, fuzz_configurations, fuzz_pictures


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "hivewatch")


def test_damaged_pictures_are_read_or_named_and_never_a_traceback(tmp_path: Path) -> None:
    assert fuzz_pictures(tmp_path, 300).problems == []


def test_damaged_clips_give_frames_or_an_error_and_never_a_traceback(tmp_path: Path) -> None:
    assert fuzz_clips(tmp_path, 60).problems == []


def test_miswritten_configurations_are_refused_or_mean_what_they_say(tmp_path: Path) -> None:
    assert fuzz_configurations(tmp_path, 100).problems == []


def test_a_folder_of_damaged_files_goes_through_replay_and_every_whole_one_is_judged(
    tmp_path: Path, tiny_model_path: Path
) -> None:
    rng = random.Random(7)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for n in range(40):
        whole = cv2.imencode(".jpg" if n % 2 else ".png", make_pixels(160, 120, seed=n))[1].tobytes()
        suffix = "jpg" if n % 2 else "png"
        (folder / f"{n}-whole.{suffix}").write_bytes(whole)
        (folder / f"{n}-cut.{suffix}").write_bytes(cut(whole, rng))
        (folder / f"{n}-damaged.{suffix}").write_bytes(damaged(whole, rng))
    config = tmp_path / "hivewatch.yaml"
    config.write_text(yaml.safe_dump({"classifier": {"model": str(tiny_model_path), "threads": 1}}))
    command = [sys.executable, "-m", "hivewatch", "replay", "--config", str(config), "--ungated", "--json"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "out"), str(folder)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    frames = [line for line in map(json.loads, done.stdout.splitlines()) if "frame" in line]
    judged = {Path(line["file"]).name for line in frames if line["score"] is not None}
    assert {path.name for path in folder.glob("*-whole.*")} <= judged
    assert not [name for name in judged if "-cut." in name]
    for path in folder.glob("*-cut.*"):
        assert str(path) in done.stderr, "a cut picture is named"
