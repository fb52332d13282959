"""The device files of cameras, and who has them open."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hivewatch.config.sections import CameraConfig


def camera_devices(config: CameraConfig) -> list[Path]:
    """Return the device files that the camera is opened by, as far as they are there."""
    if config.kind == "picamera2":
        return sorted(Path("/dev").glob("media*"))
    if config.kind == "video":
        source = config.video.source
        device = Path(f"/dev/video{source}" if source.isdecimal() else source)
        return [device] if device.is_char_device() else []
    return []


def holders(devices: Sequence[Path]) -> list[str]:
    """Return the programs that have one of the devices open, and their process ids; root sees all of them."""
    found = set()
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if link.readlink() in devices:
                found.add(f"{(link.parents[1] / 'comm').read_text().strip()} ({link.parents[1].name})")
        except OSError:
            continue  # it has ended meanwhile, or is not ours to look into
    return sorted(found)
