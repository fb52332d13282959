"""What an answer to the question for the camera means."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest
from support.fakes import make_pixels
from support.users import without_rights

from hivewatch.camera.devices import CaptureDevice, PiCamera
from hivewatch.errors import CameraError, ConfigError
from hivewatch.setup_wizard import cameras
from hivewatch.setup_wizard.cameras import CameraChoice, find_cameras, parse_camera

FOUND = [CameraChoice("first", {"kind": "picamera2"}), CameraChoice("second", {"kind": "video"})]


def test_what_is_found_is_offered_with_the_obstacles_to_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cameras, "pi_cameras", lambda: [PiCamera(0, "imx708")])
    usb = CaptureDevice(Path("/dev/video0"), "HD Webcam")
    monkeypatch.setattr(cameras, "capture_devices", lambda: ([usb], [Path("/dev/video2")]))
    found, problems = find_cameras()
    assert found == [
        CameraChoice("Raspberry Pi camera 0 (imx708)", {"kind": "picamera2", "picamera2": {"index": 0}}),
        CameraChoice("/dev/video0 (HD Webcam)", {"kind": "video", "video": {"source": "/dev/video0"}}),
    ]
    assert problems == [
        "This user may not open /dev/video2: join the group video"
        " (`sudo adduser $USER video`, then log in again)."
    ]


def test_a_camera_that_cannot_be_listed_is_an_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> list[PiCamera]:
        raise CameraError("picamera2 cannot list the Raspberry Pi's cameras")

    monkeypatch.setattr(cameras, "pi_cameras", fail)
    assert find_cameras()[1][0] == "picamera2 cannot list the Raspberry Pi's cameras"


def test_a_number_chooses_from_the_list() -> None:
    assert parse_camera(" 2 ", FOUND) is FOUND[1]


def test_the_simulator_must_be_named_and_is_not_a_hive() -> None:
    choice = parse_camera("simulator", [])
    assert choice.options == {"kind": "simulator"}
    assert choice.warning == "The simulator watches no hive."


def test_a_stream_is_kept_with_its_password_which_is_not_shown() -> None:
    choice = parse_camera("rtsp://bee:s3cret@192.168.1.20:554/h264", [])
    assert choice.options == {
        "kind": "video",
        "video": {"source": "rtsp://bee:s3cret@192.168.1.20:554/h264"},
    }
    assert choice.label == "rtsp://192.168.1.20:554"


def test_a_folder_of_pictures_is_named_with_its_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pictures").mkdir()
    cv2.imwrite(str(tmp_path / "pictures" / "1.png"), make_pixels())
    monkeypatch.chdir(tmp_path)
    choice = parse_camera("pictures", [])
    assert choice.options == {"kind": "folder", "folder": {"path": str(tmp_path / "pictures")}}
    assert choice.label.endswith("pictures (1 picture)")


def test_a_video_file_is_named_with_its_absolute_path(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").touch()
    assert parse_camera(f"{tmp_path}/clip.mp4", []).options["video"] == {"source": f"{tmp_path}/clip.mp4"}


def test_a_device_that_is_not_connected_is_accepted_with_a_warning() -> None:
    choice = parse_camera("/dev/video87", [])
    assert choice.options["video"] == {"source": "/dev/video87"}
    assert choice.warning == "There is no /dev/video87 now: connect the camera before you start hivewatch."


def test_a_device_that_the_user_may_not_open_is_accepted_with_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def deny(_path: Path) -> bytes:
        raise PermissionError

    monkeypatch.setattr(cameras, "query", deny)
    assert "may not open /dev/video0: join the group video" in parse_camera("/dev/video0", []).warning


def test_picamera2_is_accepted_with_a_warning_if_it_is_not_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cameras, "find_spec", lambda _name: None)
    choice = parse_camera("picamera2", [])
    assert choice.options == {"kind": "picamera2", "picamera2": {"index": 0}}
    assert choice.warning.startswith("This Python has no picamera2")


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ("3", "there is no camera 3 in the list"),
        ("0", "there is no camera 0 in the list"),
        ("/dev/null", "/dev/null is not a camera: Inappropriate ioctl for device"),
        ("ftp://camera/clip", r"an address begins with one of rtsp://"),
        ("rtsp:///path", "an address has a host or host:port"),
        ("rtsp://camera:port/", "an address has a host or host:port"),
        ("/nowhere/at/all", "that does not exist; answer with a number"),
        ("rtsp://cam\x1bera", "contains characters that cannot be printed"),
    ],
)
def test_an_answer_that_names_no_camera_is_answered_with_a_sentence(answer: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        parse_camera(answer, FOUND)


def test_a_node_that_delivers_no_pictures_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cameras, "query", lambda _path: b"")
    monkeypatch.setattr(cameras, "device_name", lambda _capability: None)
    with pytest.raises(ConfigError, match="/dev/video1 delivers no pictures: it belongs to a codec"):
        parse_camera("/dev/video1", [])


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no picture"):
        parse_camera(str(tmp_path), [])


def test_a_folder_that_the_user_may_not_read_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path.parent.parent, tmp_path.parent):
        folder.chmod(0o755)
    tmp_path.chmod(0)
    with pytest.raises(ConfigError, match="cannot be listed: Permission denied"), without_rights(tmp_path):
        parse_camera(str(tmp_path), [])


def test_a_picture_is_refused_in_favour_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "one.jpg").touch()
    with pytest.raises(ConfigError, match=r"one\.jpg is not a video; for pictures, name their folder"):
        parse_camera(str(tmp_path / "one.jpg"), [])
