"""The camera's sections: the sources of frames, and the checks of what they show."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from hivewatch.config.addresses import checked_address
from hivewatch.config.base import PATH, SECRET, Contradiction, Seconds, Section, Share, TimeLimit

NO_CAMERA = (
    "no camera is named: write `kind: picamera2` for the Raspberry Pi's camera, `video` for a USB camera,"
    " a network stream or a video file, `folder` for pictures, or `simulator` for a drawn hive,"
    " to try things out"
)


def looks_like_file(source: str) -> bool:
    """Return whether a missing ``camera.video.source`` is surely the name of a file and hides no password."""
    return re.fullmatch(r"[^?@=&:;#]+\.[A-Za-z][A-Za-z0-9]{1,4}", source) is not None


def names_file(source: str) -> bool:
    """Return whether ``camera.video.source`` is a video file: neither a device nor an address."""
    return not (source.isdecimal() or source.startswith("/dev/") or "://" in source)


class Picamera2Config(Section):
    """The Raspberry Pi's own camera."""

    index: int = Field(
        default=0, ge=0, le=7, description="Number of the camera in `rpicam-hello --list-cameras`."
    )
    rotate_180: bool = Field(default=False, description="true for a camera that hangs upside down.")


class VideoConfig(Section):
    """A USB camera, a network stream or a file."""

    source: Annotated[str, SECRET, AfterValidator(checked_address)] = Field(
        default="/dev/video0",
        min_length=1,
        repr=False,
        description="A device (/dev/video0), a stream (rtsp://user:password@host/path) or a video file.",
    )
    reconnect_first_s: TimeLimit = Field(
        default=1.0,
        description="Wait before the first attempt to reconnect a lost device or stream, seconds.",
    )
    reconnect_longest_s: TimeLimit = Field(
        default=60.0, description="Longest wait between two attempts to reconnect, seconds."
    )
    give_up_after_s: TimeLimit = Field(
        default=600.0, description="The daemon exits with code 4 after this long without a frame, seconds."
    )

    def contradictions(self) -> Iterator[Contradiction]:
        """Yield every contradiction between these options."""
        names = ("reconnect_first_s", "reconnect_longest_s")
        if self.reconnect_first_s > self.reconnect_longest_s:
            yield Contradiction(names, "reconnect_first_s must not be longer than reconnect_longest_s")


class FolderConfig(Section):
    """Pictures in a folder, in the order of their names."""

    path: Annotated[Path, PATH] = Field(
        default=Path(), description="Folder of pictures (jpg, png, webp, bmp, tif), subfolders included."
    )


class SimulatorConfig(Section):
    """A simulated hive entrance."""

    seed: int = Field(
        default=1, ge=0, le=2**32 - 1, description="Seed of the scene: the same seed gives the same video."
    )
    bees: int = Field(default=12, ge=0, le=200, description="Mean number of bees in view.")
    hornet_every_s: TimeLimit = Field(
        default=20.0, description="One hornet visit falls into each period of this length, seconds."
    )
    hornet_stay_s: float = Field(
        default=10.0, gt=0, le=600, description="Mean length of a hornet's visit, seconds."
    )
    duration_s: Seconds = Field(default=0.0, description="Length of the video, seconds; 0 never ends.")


class CameraChecksConfig(Section):
    """When the pictures of a live camera do not show the hive as it is now."""

    enabled: bool = Field(
        default=True,
        description="Check whether the pictures of a live camera show the hive as it is now.",
    )
    raise_after_s: TimeLimit = Field(
        default=30.0, description="A fault is reported once every frame has shown it for this long, seconds."
    )
    moved_after_s: TimeLimit = Field(
        default=300.0, description="A moved view is reported only after this long, seconds."
    )
    clear_after_s: Seconds = Field(
        default=10.0, description="A fault is cleared once no frame has shown it for this long, seconds."
    )
    dark_level: int = Field(
        default=32,
        ge=0,
        le=254,
        description="Dark: 95 % of the pixels are at or below this grey level, 0 to 254.",
    )
    white_level: int = Field(
        default=250,
        ge=1,
        le=255,
        description="White: 95 % of the pixels are at or above this grey level, 1 to 255.",
    )
    frozen_share: Share = Field(
        default=0.01, description="Frozen: less than this share of the pixels has changed."
    )
    covered_share: Share = Field(
        default=0.6, description="Covered: at least this share of the view has lost its texture."
    )
    moved_likeness: Share = Field(
        default=0.06, description="Moved: the edges in view match the learnt ones by less than this, 0 to 1."
    )
    slow_share: Share = Field(
        default=0.5, description="Slow: the camera delivers less than this share of rate_hz."
    )
    reopenings: int = Field(
        default=3,
        ge=0,
        le=100,
        description="How often to reopen a camera that repeats a picture or is frozen.",
    )

    def contradictions(self) -> Iterator[Contradiction]:
        """Yield every contradiction between these options."""
        if self.dark_level >= self.white_level:
            yield Contradiction(("dark_level", "white_level"), "dark_level must be below white_level")


class CameraConfig(Section):
    """Where the frames come from."""

    kind: Literal["simulator", "picamera2", "video", "folder"] | None = Field(
        default=None, description="Source of the frames: simulator, picamera2, video or folder."
    )
    width_px: int = Field(
        default=1280, ge=64, le=8192, description="Width requested from the camera, pixels."
    )
    height_px: int = Field(
        default=720, ge=64, le=8192, description="Height requested from the camera, pixels."
    )
    rate_hz: float = Field(
        default=5.0, gt=0, le=120, description="Frames per second requested from the camera."
    )
    timeout_s: TimeLimit = Field(default=10.0, description="Longest wait for a frame, seconds.")
    checks: CameraChecksConfig = CameraChecksConfig()
    picamera2: Picamera2Config = Picamera2Config()
    video: VideoConfig = VideoConfig()
    folder: FolderConfig = FolderConfig()
    simulator: SimulatorConfig = SimulatorConfig()

    def contradictions(self) -> Iterator[Contradiction]:
        """Yield every contradiction between these options."""
        if self.kind == "folder" and self.folder.path == Path():
            yield Contradiction(("kind", "folder.path"), "kind is folder, so folder.path must name one")
