"""Cameras: each gives Frames until told to stop, and says so loudly when it cannot."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from hivewatch.config import CameraConfig
from hivewatch.domain import Frame


@dataclass(slots=True)
class CameraCounts:
    """What a camera did not hand over: frames dropped for newer ones, and files or frames that were bad."""

    dropped: int = 0
    bad: int = 0
    reconnects: int = 0


class Camera(Protocol):
    """A source of frames."""

    @property
    def name(self) -> str:
        """The source in words, as in logs and documents: ``/dev/video0``, ``simulator``."""

    @property
    def counts(self) -> CameraCounts:
        """What was not handed over so far."""

    def frames(self, stop: threading.Event) -> Iterator[Frame]:
        """Yield frames until ``stop`` is set or the source ends; raises CameraError when it cannot go on."""


def open_camera(config: CameraConfig) -> Camera:
    """Return the camera that the configuration names, at its own pace.

    A camera's libraries are imported only where it is chosen; devices are opened at the first frame.
    """
    match config.kind:
        case "picamera2":
            from hivewatch.camera.picamera2 import Picamera2Camera

            return Picamera2Camera(config)
        case "video":
            from hivewatch.camera.video import video_camera

            return video_camera(config, paced=True)
        case "folder":
            from hivewatch.camera.folder import FolderCamera

            return FolderCamera([config.folder.path], rate_hz=config.rate_hz, paced=True)
        case "simulator":
            from hivewatch.camera.simulator import SimulatorCamera

            return SimulatorCamera(
                config.simulator, config.width_px, config.height_px, config.rate_hz, paced=True
            )
