"""Frames of a video file, at their own pace or as fast as they are consumed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Generator, Iterator
from datetime import timedelta
from pathlib import Path

import cv2

from hivewatch.camera.base import CameraCounts
from hivewatch.camera.sources.folder import PICTURE_SUFFIXES
from hivewatch.camera.sources.opencv import prepare_opencv, to_rgb
from hivewatch.camera.sources.picture import modified_at
from hivewatch.domain.frames import Frame
from hivewatch.errors import CameraError

CLIP_SUFFIXES = frozenset(
    {".mp4", ".avi", ".mkv", ".mov", ".m4v", ".webm", ".mjpg", ".mjpeg", ".ts", ".h264"}
)
"""What the names of clips end in."""

LONGEST_STEP_S = 60.0
"""A longer step from one frame to the next is a fault of the container's clock, not of the scene."""

_DRAWN_TEXT = cv2.VideoWriter.fourcc(*"ansi")  # FFmpeg draws any text file, as an old terminal did

logger = logging.getLogger(__name__)


class ClipCamera:
    """Gives the frames of a video file.

    ``monotonic_s`` is the position in the file and ``taken_at`` the file's last change plus that position.
    Paced, a frame comes when its position is reached, and those that fell due while the consumer was busy
    are dropped and counted. Otherwise every frame comes, as fast as it is consumed. Where a file was cut is
    known only if its container states how long each frame's data is (MP4, AVI, MKV do, MPEG-TS does not).
    """

    def __init__(self, path: Path, *, fallback_rate_hz: float, paced: bool) -> None:
        """``fallback_rate_hz``: frames a second where the file does not state a sensible number itself."""
        prepare_opencv()
        self._path = path
        self._fallback_rate_hz = fallback_rate_hz
        self._paced = paced
        self.name = str(path)
        self.counts = CameraCounts()
        self.is_live = False

    def frames(self, stop: threading.Event) -> Generator[Frame]:
        """Yield the frames; ``sequence`` is the place in the file, so it shows what was dropped.

        A file that ends early gives its whole frames, then a warning, and is counted as bad. Raises
        CameraError for what is not a video, or one of which no frame can be decoded.
        """
        capture = self._open()
        try:
            yield from self._decode(capture, stop)
        except (cv2.error, ValueError) as error:
            raise CameraError(f"{self.name} cannot be decoded: {error}") from error
        finally:
            capture.release()

    def _open(self) -> cv2.VideoCapture:
        if not self._path.is_file():
            raise CameraError(
                f"{self.name} is not there or not a file: camera.video.source must name a video"
            )
        if self._path.suffix.lower() in PICTURE_SUFFIXES:
            raise CameraError(f"{self.name} is a picture, not a video: the folder camera reads those")
        capture = cv2.VideoCapture(self.name, cv2.CAP_FFMPEG)
        if not capture.isOpened() or capture.get(cv2.CAP_PROP_FOURCC) == _DRAWN_TEXT:
            raise CameraError(
                f"{self.name} cannot be opened as a video: another kind of file, cut off, or locked"
            )
        return capture

    def _decode(self, capture: cv2.VideoCapture, stop: threading.Event) -> Iterator[Frame]:
        rate_hz = self._rate_hz(capture)
        first_at = modified_at(self._path)
        started_s = time.monotonic()
        behind_s = -1.0
        seen = given = 0
        for seen, position_s in enumerate(_positions(capture, rate_hz), start=1):
            if self._paced and position_s + 1 / rate_hz <= behind_s:
                self.counts.dropped += 1
                continue
            if stop.wait(max(0.0, started_s + position_s - time.monotonic()) if self._paced else 0.0):
                return
            whole, decoded = capture.retrieve()
            if not whole:
                self.counts.bad += 1
                logger.warning("%s: frame %d cannot be decoded and is passed over", self.name, seen - 1)
                continue
            yield Frame(
                to_rgb(decoded), first_at + timedelta(seconds=position_s), position_s, seen - 1, self.name
            )
            given += 1
            # Fixed until the next frame is given, so that a decoder slower than the clip still gives some.
            behind_s = time.monotonic() - started_s
        if not given:
            raise CameraError(f"{self.name} holds no frame that can be decoded")
        self._compare(seen, capture.get(cv2.CAP_PROP_FRAME_COUNT))

    def _rate_hz(self, capture: cv2.VideoCapture) -> float:
        stated_hz = float(capture.get(cv2.CAP_PROP_FPS))
        return stated_hz if 0.01 <= stated_hz <= 1000 else self._fallback_rate_hz

    def _compare(self, seen: int, promised: float) -> None:
        if seen < promised:
            self.counts.bad += 1
            logger.warning(
                "%s ends early, cut off or damaged: %d of %d frames came", self.name, seen, round(promised)
            )


def _positions(capture: cv2.VideoCapture, rate_hz: float) -> Iterator[float]:
    """Go from frame to frame; yield each one's time in the file, which always rises, in seconds."""
    position_s = -1 / rate_hz
    while capture.grab():
        stated_s = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        believable = 0 < stated_s - position_s <= LONGEST_STEP_S
        position_s = stated_s if believable else position_s + 1 / rate_hz
        yield position_s
