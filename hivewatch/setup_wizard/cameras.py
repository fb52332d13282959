"""The cameras of this machine, and what an answer to the question for the camera means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hivewatch.camera.devices import capture_devices, device_name, pi_cameras, query
from hivewatch.config.addresses import checked_address
from hivewatch.domain.redaction import public_name
from hivewatch.errors import CameraError, ConfigError
from hivewatch.setup_wizard.answers import printable

SCHEMES = ("rtsp", "rtsps", "rtmp", "http", "https", "udp", "tcp")
# The answer by default if no camera is found: hivewatch reports that it is missing, until it is connected.
FIRST_DEVICE = "/dev/video0"


@dataclass(frozen=True, slots=True)
class CameraChoice:
    """A camera, ``label`` for people, with its options under ``camera`` in the YAML file.

    ``warning`` is what must be done before it works, if anything.
    """

    label: str
    options: dict[str, Any]
    warning: str = ""


def find_cameras() -> tuple[list[CameraChoice], list[str]]:
    """Return the cameras of this machine, and a sentence for each obstacle to using one."""
    found, problems = [], []
    try:
        found += [
            CameraChoice(f"Raspberry Pi camera {camera.index} ({camera.model})", _pi_options(camera.index))
            for camera in pi_cameras()
        ]
    except CameraError as error:
        problems.append(str(error))
    devices, denied = capture_devices()
    found += [CameraChoice(f"{one.path} ({one.name})", _video_options(str(one.path))) for one in devices]
    if denied:
        names = ", ".join(map(str, denied))
        problems.append(
            f"This user may not open {names}: join the group video"
            " (`sudo adduser $USER video`, then log in again)."
        )
    return found, problems


def parse_camera(answer: str, found: Sequence[CameraChoice]) -> CameraChoice:
    """Return the camera that ``answer`` means: a number in the list ``found``, or what it names.

    Raises ConfigError if there is no such camera.
    """
    answer = printable(answer)
    if answer.isdecimal():
        if 1 <= int(answer) <= len(found):
            return found[int(answer) - 1]
        raise ConfigError([f"there is no camera {answer} in the list"])
    if answer == "simulator":
        return CameraChoice("the simulator", {"kind": "simulator"}, "The simulator watches no hive.")
    if answer == "picamera2":
        return CameraChoice("Raspberry Pi camera 0", _pi_options(0), _missing_picamera2())
    if "://" in answer:
        return _stream(answer)
    if answer.startswith("/dev/"):
        return _device(Path(answer))
    return _files(Path(answer).expanduser())


def _stream(address: str) -> CameraChoice:
    if address.partition("://")[0].lower() not in SCHEMES:
        known = ", ".join(f"{scheme}://" for scheme in SCHEMES)
        raise ConfigError([f"an address begins with one of {known}"])
    try:
        checked_address(address)
    except ValueError as error:
        example = "rtsp://user:password@192.168.1.20/path"
        raise ConfigError([f"{error}; it should be like {example}"]) from error
    return CameraChoice(public_name(address), _video_options(address))


def _device(path: Path) -> CameraChoice:
    warning = ""
    try:
        if device_name(query(path)) is None:
            raise ConfigError([f"{path} delivers no pictures: it belongs to a codec, or to another camera"])
    except FileNotFoundError:
        warning = f"There is no {path} now: connect the camera before you start hivewatch."
    except PermissionError:
        warning = f"This user may not open {path}: join the group video (`sudo adduser $USER video`)."
    except OSError as error:
        raise ConfigError([f"{path} is not a camera: {error.strerror}"]) from error
    return CameraChoice(str(path), _video_options(str(path)), warning)


def _files(path: Path) -> CameraChoice:
    """Return the camera that reads a folder of pictures or a video file."""
    path = path.absolute()
    try:
        is_there = path.exists()
    except OSError as error:
        raise ConfigError([f"{path} cannot be read: {error.strerror}"]) from error
    if not is_there:
        raise ConfigError(
            [
                "that does not exist; answer with a number in the list, a device such as /dev/video0,"
                " an address such as rtsp://192.168.1.20/path, a folder of pictures, or simulator"
            ]
        )
    from hivewatch.camera.sources.files import CLIP_SUFFIXES
    from hivewatch.camera.sources.folder import find_pictures

    if path.is_dir():
        try:
            count = len(find_pictures(path))
        except CameraError as error:
            raise ConfigError([str(error)]) from error
        label = f"{path} ({count} picture{'s' if count > 1 else ''})"
        return CameraChoice(label, {"kind": "folder", "folder": {"path": str(path)}})
    if path.suffix.lower() not in CLIP_SUFFIXES:
        raise ConfigError([f"{path} is not a video; for pictures, name their folder"])
    return CameraChoice(str(path), _video_options(str(path)))


def _video_options(source: str) -> dict[str, Any]:
    return {"kind": "video", "video": {"source": source}}


def _pi_options(index: int) -> dict[str, Any]:
    return {"kind": "picamera2", "picamera2": {"index": index}}


def _missing_picamera2() -> str:
    if find_spec("picamera2"):
        return ""
    return "This Python has no picamera2: install hivewatch with deploy/install.sh on a Raspberry Pi."
