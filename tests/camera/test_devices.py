"""Finding the cameras of this machine; tests/integration runs picamera2 itself."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.users import without_rights

from hivewatch.camera import devices
from hivewatch.camera.devices import CaptureDevice, PiCamera, capture_devices, device_name, pi_cameras
from hivewatch.errors import CameraError

CAPTURE, CAPTURE_MPLANE, OUTPUT, METADATA = 0x1, 0x1000, 0x2, 0x0080_0000
PER_NODE = 0x8000_0000


def capability(of_this_node: int, driver: str = "uvcvideo", of_all_nodes: int = CAPTURE | PER_NODE) -> bytes:
    """Return a ``struct v4l2_capability`` as linux/videodev2.h defines it."""
    text = driver.encode(), b"HD Webcam C270", b"usb-0000:01:00.0-1.1"
    return struct.pack("=16s32s32sIII3I", *text, 0x060000, of_all_nodes, of_this_node, 0, 0, 0)


@pytest.mark.parametrize("flag", [CAPTURE, CAPTURE_MPLANE])
def test_a_device_that_captures_is_named_as_its_driver_does(flag: int) -> None:
    assert device_name(capability(flag)) == "HD Webcam C270"


@pytest.mark.parametrize("flag", [OUTPUT, METADATA])
def test_a_node_without_pictures_is_no_camera(flag: int) -> None:
    assert device_name(capability(flag)) is None


def test_an_old_driver_states_its_capabilities_for_all_nodes() -> None:
    assert device_name(capability(0, of_all_nodes=CAPTURE)) == "HD Webcam C270"


@pytest.mark.parametrize("driver", ["unicam", "bcm2835-isp", "rp1-cfe", "pispbe"])
def test_the_raw_nodes_of_a_raspberry_pi_are_no_cameras(driver: str) -> None:
    assert device_name(capability(CAPTURE, driver)) is None


def test_the_cameras_are_listed_by_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("video10", "video2", "video0", "video-front"):
        (tmp_path / name).touch()
    answers = {"video10": CAPTURE, "video2": METADATA, "video0": CAPTURE}
    monkeypatch.setattr(devices, "query", lambda path: capability(answers[path.name]))
    found, denied = capture_devices(tmp_path)
    assert found == [CaptureDevice(tmp_path / name, "HD Webcam C270") for name in ("video0", "video10")]
    assert denied == []


def test_a_file_that_is_no_device_is_not_listed(tmp_path: Path) -> None:
    (tmp_path / "video0").touch()
    assert capture_devices(tmp_path) == ([], [])


def test_a_device_that_the_user_may_not_open_is_listed_apart(tmp_path: Path) -> None:
    for folder in (tmp_path.parent.parent, tmp_path.parent, tmp_path):
        folder.chmod(0o755)
    (tmp_path / "video0").touch(mode=0)
    with without_rights(tmp_path):
        assert capture_devices(tmp_path) == ([], [tmp_path / "video0"])


def install(monkeypatch: pytest.MonkeyPatch, global_camera_info: Any) -> None:
    """Put a picamera2 in place that has only this function."""
    module = SimpleNamespace(
        Picamera2=SimpleNamespace(global_camera_info=global_camera_info), __spec__=SimpleNamespace()
    )
    monkeypatch.setitem(sys.modules, "picamera2", module)


def test_the_cameras_of_libcamera_keep_their_numbers_without_usb_cameras(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    listed = [
        {"Model": "Webcam", "Id": "/base/axi/pcie@1000120000/rp1/usb@200000-1:1.0-046d:0825"},
        {"Model": "imx708", "Id": "/base/axi/pcie@1000120000/rp1/i2c@88000/imx708@1a"},
    ]
    install(monkeypatch, lambda: listed)
    assert pi_cameras() == [PiCamera(1, "imx708")]


def test_without_picamera2_there_is_no_camera_of_a_raspberry_pi(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "find_spec", lambda _name: None)
    assert pi_cameras() == []


def test_a_picamera2_that_fails_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("no pipeline handler")

    install(monkeypatch, fail)
    with pytest.raises(CameraError, match="picamera2 cannot list the Raspberry Pi's cameras: no pipeline"):
        pi_cameras()
