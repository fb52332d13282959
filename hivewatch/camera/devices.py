"""The cameras of this machine, their device files, and the programs that have them open."""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from hivewatch.config.sections import CameraConfig
from hivewatch.errors import CameraError

# linux/videodev2.h: driver, card, bus_info, version, capabilities, device_caps, reserved.
_CAPABILITY = struct.Struct("=16s32s32sIII3I")
_QUERYCAP = 0x8068_5600  # _IOR('V', 0, struct v4l2_capability)
_CAPTURES = 0x1 | 0x1000  # in one plane, or in several
_HAS_DEVICE_CAPS = 0x8000_0000
# Capture nodes of a Raspberry Pi's own camera, which only libcamera can use, and of its codecs.
_NO_CAMERAS = {"unicam", "rp1-cfe", "pispbe", "bcm2835-isp", "bcm2835-codec", "rpi-hevc-dec"}


def camera_devices(config: CameraConfig) -> list[Path]:
    """Return the existing device files of the configured camera."""
    if config.kind == "picamera2":
        return sorted(Path("/dev").glob("media*"))
    if config.kind == "video":
        source = config.video.source
        device = Path(f"/dev/video{source}" if source.isdecimal() else source)
        return [device] if device.is_char_device() else []
    return []


def holders(devices: Sequence[Path]) -> list[str]:
    """Return the name and process id of each program that has a device open; only root sees all programs."""
    found = set()
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if link.readlink() in devices:
                found.add(f"{(link.parents[1] / 'comm').read_text().strip()} ({link.parents[1].name})")
        except OSError:
            continue  # it has ended meanwhile, or belongs to another user
    return sorted(found)


@dataclass(frozen=True, slots=True)
class CaptureDevice:
    """A V4L2 device that delivers pictures; ``name`` is what its driver calls it."""

    path: Path
    name: str


@dataclass(frozen=True, slots=True)
class PiCamera:
    """A camera of libcamera; ``index`` is its number for picamera2."""

    index: int
    model: str


def capture_devices(folder: Path = Path("/dev")) -> tuple[list[CaptureDevice], list[Path]]:
    """Return the video devices that deliver pictures, and those that this user may not open."""
    found, denied = [], []
    devices = (path for path in folder.glob("video*") if path.name.removeprefix("video").isdecimal())
    for path in sorted(devices, key=lambda path: int(path.name.removeprefix("video"))):
        try:
            name = device_name(query(path))
        except PermissionError:
            denied.append(path)
        except OSError:
            continue  # it is not a V4L2 device, or was unplugged meanwhile
        else:
            if name is not None:
                found.append(CaptureDevice(path, name))
    return found, denied


def query(path: Path) -> bytes:
    """Return the kernel's ``struct v4l2_capability`` of a device; raises OSError if it is no V4L2 device."""
    answer = bytearray(_CAPABILITY.size)
    descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        fcntl.ioctl(descriptor, _QUERYCAP, answer)
    finally:
        os.close(descriptor)
    return bytes(answer)


def device_name(capability: bytes) -> str | None:
    """Return the name in a ``struct v4l2_capability``, None if the device is not a camera."""
    driver, card, _bus, _version, of_all_nodes, of_this_node, *_ = _CAPABILITY.unpack(capability)
    flags = of_this_node if of_all_nodes & _HAS_DEVICE_CAPS else of_all_nodes
    is_camera = flags & _CAPTURES and _text(driver) not in _NO_CAMERAS
    return _text(card) if is_camera else None


def pi_cameras() -> list[PiCamera]:
    """Return the cameras that picamera2 lists, without USB cameras; none if picamera2 is not installed.

    Raises CameraError if picamera2 cannot list them.
    """
    if find_spec("picamera2") is None:
        return []
    os.environ.setdefault("LIBCAMERA_LOG_LEVELS", "*:ERROR")
    try:
        from picamera2 import Picamera2

        listed = Picamera2.global_camera_info()
    except Exception as error:
        raise CameraError(f"picamera2 cannot list the Raspberry Pi's cameras: {error}") from error
    return [
        PiCamera(index, str(camera.get("Model", "unknown")))
        for index, camera in enumerate(listed)
        if "usb" not in str(camera.get("Id", "")).lower()
    ]


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode(errors="replace")
