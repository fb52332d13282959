"""A short run of the fuzzing that ``scripts/faults`` does at length, and one through the real ``replay``."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from support.fuzz_trials import fuzz_clips, fuzz_configurations, fuzz_pictures, fuzz_replay

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "hivewatch")


def test_damaged_pictures_are_read_or_reported_without_a_traceback(tmp_path: Path) -> None:
    assert fuzz_pictures(tmp_path, 300).problems == []


def test_damaged_clips_yield_frames_or_an_error_without_a_traceback(tmp_path: Path) -> None:
    assert fuzz_clips(tmp_path, 60).problems == []


def test_malformed_configurations_are_rejected_or_read_as_written(tmp_path: Path) -> None:
    assert fuzz_configurations(tmp_path, 100).problems == []


def test_replay_of_a_folder_of_damaged_files_classifies_every_intact_one(
    tmp_path: Path, tiny_model_path: Path
) -> None:
    assert fuzz_replay(tmp_path, tiny_model_path, 120).problems == []
