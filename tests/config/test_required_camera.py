"""No camera is guessed: a file that names none is refused, and the simulator must be named."""

from __future__ import annotations

from pathlib import Path

import pytest

from hivewatch.camera.base import open_camera
from hivewatch.config.reader import load
from hivewatch.config.sections import CameraConfig
from hivewatch.errors import ConfigError

KINDS = ("picamera2", "video", "folder", "simulator")


@pytest.mark.parametrize(
    "text", ["", "hive: {id: north}\n", "camera:\n  rate_hz: 2\n", "camera: {kind: null}"]
)
def test_a_file_that_names_no_camera_is_refused_with_the_four_kinds(text: str, tmp_path: Path) -> None:
    file = tmp_path / "hive.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(file)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{file}:1: camera.kind: no camera is named")
    assert all(f"{kind}`" in problem for kind in KINDS)


@pytest.mark.parametrize("text", ["camera: {kind: usb}", "camera: video", "camera: {kind: video"])
def test_a_camera_that_is_named_wrongly_is_not_called_missing(text: str, tmp_path: Path) -> None:
    file = tmp_path / "hive.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert len(caught.value.problems) == 1
    assert "no camera is named" not in str(caught.value)


def test_tools_that_need_no_camera_read_a_file_without_one(tmp_path: Path) -> None:
    file = tmp_path / "hive.yaml"
    file.write_text("hive: {id: north}\n")
    assert load(file, needs_camera=False).hive.id == "north"


def test_no_camera_is_opened_in_place_of_one_that_is_not_named() -> None:
    with pytest.raises(ConfigError, match=r"camera\.kind: no camera is named"):
        open_camera(CameraConfig())
