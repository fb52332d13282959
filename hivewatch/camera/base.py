"""The interface of a camera, and the choice of the camera that the configuration names."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Protocol

from hivewatch.config.camera import NO_CAMERA
from hivewatch.config.sections import CameraConfig
from hivewatch.domain.frames import Frame
from hivewatch.errors import ConfigError

OnIdle = Callable[[], None]
"""Called several times a second, on the consumer's thread, while a camera has no frame to deliver."""


@dataclass(slots=True)
class CameraCounts:
    """Frames a camera did not deliver: ``dropped`` for newer ones, and ``bad`` files or frames."""

    dropped: int = 0
    bad: int = 0


class Camera(Protocol):
    """A source of frames."""

    @property
    def name(self) -> str:
        """The source as named in logs and documents, such as ``/dev/video0`` or ``simulator``."""

    @property
    def counts(self) -> CameraCounts:
        """The frames not delivered since the start."""

    @property
    def is_live(self) -> bool:
        """Whether the source is live: missing or repeated frames are faults only for live sources."""

    def frames(self, stop: threading.Event) -> Generator[Frame]:
        """Yield frames until ``stop`` is set or the source ends; raises CameraError if the source fails.

        Closing the generator closes the camera; calling ``frames`` again reopens it.
        """


def open_camera(config: CameraConfig, on_idle: OnIdle = lambda: None) -> Camera:
    """Return the configured camera, paced in real time.

    The libraries of a camera are imported only if it is chosen, and its device is opened at the first frame.
    A camera that reconnects to a lost source calls ``on_idle`` while it waits; the others raise CameraError.
    Raises ConfigError if no camera is named.
    """
    match config.kind:
        case "picamera2":
            from hivewatch.camera.sources.picamera2 import Picamera2Camera

            return Picamera2Camera(config)
        case "video":
            from hivewatch.camera.sources.video import video_camera

            return video_camera(config, paced=True, on_idle=on_idle)
        case "folder":
            from hivewatch.camera.sources.folder import FolderCamera

            return FolderCamera([config.folder.path], rate_hz=config.rate_hz, paced=True)
        case None:
            raise ConfigError([f"camera.kind: {NO_CAMERA}"])
        case "simulator":
            from hivewatch.camera.simulator.camera import SimulatorCamera

            return SimulatorCamera(
                config.simulator, config.width_px, config.height_px, config.rate_hz, paced=True
            )
