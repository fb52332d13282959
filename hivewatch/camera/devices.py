"""The device files of cameras, and the programs that have them open."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hivewatch.config.sections import CameraConfig


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
