"""The frames of a video file, in real time or as fast as they are consumed."""

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
"""File name suffixes of clips."""

_LONGEST_STEP_S = 60.0  # a longer step between two frames is a wrong timestamp in the container

_DRAWN_TEXT = cv2.VideoWriter.fourcc(*"ansi")  # FFmpeg renders any text file as a video of a terminal

log = logging.getLogger(__name__)


class ClipCamera:
    """Yields the frames of a video file.

    ``monotonic_s`` is the position in the file; ``taken_at`` is its modification time plus that position.
    If paced, a frame is delivered when its position is reached, and frames that became due while the consumer
    was busy are dropped and counted. Otherwise every frame is delivered as fast as it is consumed. Truncation
    is detected only if the container states the length of each frame (MP4, AVI, MKV do, MPEG-TS does not).
    """

    def __init__(self, path: Path, *, fallback_rate_hz: float, paced: bool) -> None:
        """``fallback_rate_hz``: frames per second if the file states no plausible rate."""
        prepare_opencv()
        self._path = path
        self._fallback_rate_hz = fallback_rate_hz
        self._paced = paced
        self.name = str(path)
        self.counts = CameraCounts()
        self.is_live = False

    def frames(self, stop: threading.Event) -> Generator[Frame]:
        """Yield the frames; ``sequence`` is the index in the file, so gaps show missing frames.

        A truncated file yields its complete frames, then logs a warning and counts as bad. Raises CameraError
        for a file that is not a video, or of which no frame can be decoded.
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
                f"{self.name} does not exist or is not a file: camera.video.source must name a video"
            )
        if self._path.suffix.lower() in PICTURE_SUFFIXES:
            raise CameraError(
                f"{self.name} is a picture, not a video: set camera.kind to folder for pictures"
            )
        capture = cv2.VideoCapture(self.name, cv2.CAP_FFMPEG)
        if not capture.isOpened() or capture.get(cv2.CAP_PROP_FOURCC) == _DRAWN_TEXT:
            raise CameraError(
                f"{self.name} cannot be opened as a video: it is of another type, truncated or not readable"
            )
        return capture

    def _decode(self, capture: cv2.VideoCapture, stop: threading.Event) -> Iterator[Frame]:
        rate_hz = self._rate_hz(capture)
        first_at = modified_at(self._path)
        started_s = time.monotonic()
        behind_s = -1.0
        seen = delivered = 0
        for seen, position_s in enumerate(_positions(capture, rate_hz), start=1):
            if self._paced and position_s + 1 / rate_hz <= behind_s:
                self.counts.dropped += 1
                continue
            if stop.wait(max(0.0, started_s + position_s - time.monotonic()) if self._paced else 0.0):
                return
            ok, decoded = capture.retrieve()
            if not ok:
                self.counts.bad += 1
                log.warning("%s: skipped frame %d, which cannot be decoded", self.name, seen - 1)
                continue
            yield Frame(
                to_rgb(decoded), first_at + timedelta(seconds=position_s), position_s, seen - 1, self.name
            )
            delivered += 1
            # Not updated between deliveries, so that a decoder slower than the clip still delivers some.
            behind_s = time.monotonic() - started_s
        if not delivered:
            raise CameraError(f"{self.name} has no frame that can be decoded")
        self._warn_if_truncated(seen, capture.get(cv2.CAP_PROP_FRAME_COUNT))

    def _rate_hz(self, capture: cv2.VideoCapture) -> float:
        stated_hz = float(capture.get(cv2.CAP_PROP_FPS))
        return stated_hz if 0.01 <= stated_hz <= 1000 else self._fallback_rate_hz

    def _warn_if_truncated(self, seen: int, promised: float) -> None:
        if seen < promised:
            self.counts.bad += 1
            log.warning(
                "%s is truncated or damaged: only %d of %d frames were read", self.name, seen, round(promised)
            )


def _positions(capture: cv2.VideoCapture, rate_hz: float) -> Iterator[float]:
    """Grab one frame after another; yield its position in seconds, which always increases."""
    position_s = -1 / rate_hz
    while capture.grab():
        stated_s = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        is_plausible = 0 < stated_s - position_s <= _LONGEST_STEP_S
        position_s = stated_s if is_plausible else position_s + 1 / rate_hz
        yield position_s
