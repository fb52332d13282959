"""The frames of a video file, at the camera's rate, in real time or as fast as they are consumed."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Generator, Iterator
from datetime import timedelta
from pathlib import Path

import cv2

from hivewatch.camera.base import CameraCounts
from hivewatch.camera.sources.files import PICTURE_SUFFIXES, is_file
from hivewatch.camera.sources.opencv import prepare_opencv, to_rgb
from hivewatch.camera.sources.picture import LARGEST_PX, modified_at
from hivewatch.domain.frames import Frame
from hivewatch.domain.names import printable
from hivewatch.errors import CameraError

# A longer step between two frames is a wrong timestamp in the container, unless its stated rate is so low.
_LONGEST_STEP_S = 60.0
_LONGEST_STEP_PERIODS = 10
_LOWEST_RATE_HZ = 1 / 86_400

_ROUNDING_S = 1e-3  # containers round the times of frames to milliseconds

_DRAWN_TEXT = cv2.VideoWriter.fourcc(*"ansi")  # FFmpeg renders any text file as a video of a terminal

log = logging.getLogger(__name__)


class ClipCamera:
    """Yields the frames of a video file.

    ``monotonic_s`` is the position in the file; ``taken_at`` is its modification time plus that position.
    Of the frames in the file, those count that a camera of ``rate_hz`` would have taken. If paced, each is
    delivered when its position is reached, and those that became due while the consumer was busy are dropped
    and counted. Otherwise every one is delivered as fast as it is consumed. Truncation is detected only if
    the container states the length of each frame (MP4, AVI, MKV do, MPEG-TS does not).
    """

    def __init__(
        self, path: Path, *, fallback_rate_hz: float, paced: bool, rate_hz: float = math.inf
    ) -> None:
        """``fallback_rate_hz``: frames per second if the file states no plausible rate.

        ``rate_hz``: most frames per second of the file's own time.
        """
        prepare_opencv()
        self._path = path
        self._fallback_rate_hz = fallback_rate_hz
        self._limit_hz = rate_hz
        self._paced = paced
        self.name = printable(path)
        self.counts = CameraCounts()
        self.is_live = False

    def frames(self, stop: threading.Event) -> Generator[Frame]:
        """Yield the frames; ``sequence`` is the index in the file, so gaps show missing frames.

        A truncated file yields its complete frames, then logs a warning and counts as bad. Raises CameraError
        for a file that is not a video, whose frames have more than LARGEST_PX pixels, or of which none can be
        decoded.
        """
        capture = self._open()
        try:
            yield from self._decode(capture, stop)
        except (cv2.error, ValueError) as error:
            raise CameraError(f"{self.name} cannot be decoded: {error}") from error
        finally:
            capture.release()

    def _open(self) -> cv2.VideoCapture:
        if not is_file(self._path):
            raise CameraError(
                f"{self.name} does not exist, is not a file, or is in a folder that is not open to this user:"
                " camera.video.source must name a video"
            )
        if self._path.suffix.lower() in PICTURE_SUFFIXES:
            raise CameraError(
                f"{self.name} is a picture, not a video: set camera.kind to folder for pictures"
            )
        capture = _capture(self._path)
        if not capture.isOpened() or capture.get(cv2.CAP_PROP_FOURCC) == _DRAWN_TEXT:
            raise CameraError(
                f"{self.name} cannot be opened as a video: it is of another type, truncated or not readable"
            )
        self._check_size(capture)
        return capture

    def _check_size(self, capture: cv2.VideoCapture) -> None:
        width_px, height_px = (
            int(capture.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
        )
        if width_px * height_px > LARGEST_PX:
            raise CameraError(f"{self.name} is too large: {width_px} x {height_px} pixels")

    def _decode(self, capture: cv2.VideoCapture, stop: threading.Event) -> Iterator[Frame]:
        rate_hz = _stated_rate_hz(capture) or self._fallback_rate_hz
        limit = RateLimit(self._limit_hz)
        period_s = max(1 / rate_hz, limit.period_s)
        first_at = modified_at(self._path)
        started_s = time.monotonic()
        behind_s = -1.0
        seen = delivered = 0
        for seen, position_s in enumerate(_positions(capture, rate_hz, self.name), start=1):
            if not limit.is_due(position_s):
                continue
            if self._paced and position_s + period_s <= behind_s:
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
        self._warn_if_dropped(delivered, 1 / period_s)

    def _warn_if_truncated(self, seen: int, promised: float) -> None:
        if seen < promised:
            self.counts.bad += 1
            log.warning(
                "%s is truncated or damaged: only %d of %d frames were read", self.name, seen, round(promised)
            )

    def _warn_if_dropped(self, delivered: int, rate_hz: float) -> None:
        if dropped := self.counts.dropped:
            log.warning(
                "%s: %d of %d frames were dropped, because this machine was too busy for %.3g a second",
                *(self.name, dropped, dropped + delivered, rate_hz),
            )


class RateLimit:
    """Selects, of frames in order, those that a camera of ``rate_hz`` would have taken."""

    def __init__(self, rate_hz: float) -> None:
        self.period_s = 1 / rate_hz
        self._due_s = 0.0

    def is_due(self, at_s: float) -> bool:
        """Return whether to take the frame at ``at_s``; it is not asked about a frame twice."""
        if at_s < self._due_s - _ROUNDING_S:
            return False
        self._due_s = max(self._due_s + self.period_s, at_s)
        return True


def _capture(path: Path) -> cv2.VideoCapture:
    """Open a file by its descriptor; FFmpeg keeps one of its own. The result may not be open.

    By its name, OpenCV would end the process if the name is not UTF-8, FFmpeg would take ``a:b.mp4`` for an
    address, and a name with digits may be taken for a series of pictures.
    """
    if not is_file(path):
        return cv2.VideoCapture()  # opening a pipe would never end
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:
        return cv2.VideoCapture()
    try:
        return cv2.VideoCapture(f"/proc/self/fd/{file}", cv2.CAP_FFMPEG)
    finally:
        os.close(file)


def stated_length(path: Path, fallback_rate_hz: float) -> tuple[int, float]:
    """Return the number of frames that the file states, and its length in seconds; 0 if it states none."""
    prepare_opencv()
    capture = _capture(path)
    frames = max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
    rate_hz = _stated_rate_hz(capture) or fallback_rate_hz
    capture.release()
    return frames, frames / rate_hz


def _stated_rate_hz(capture: cv2.VideoCapture) -> float | None:
    """Return the frames per second that the file states, None if they are not plausible."""
    stated_hz = float(capture.get(cv2.CAP_PROP_FPS))
    return stated_hz if _LOWEST_RATE_HZ <= stated_hz <= 1000 else None


def _positions(capture: cv2.VideoCapture, rate_hz: float, name: str) -> Iterator[float]:
    """Grab one frame after another; yield its position in seconds, which always increases.

    The file's own times count, so a time-lapse keeps its long steps. A step that its rate cannot explain is
    replaced by one of that rate, and the first such step is logged.
    """
    longest_s = max(_LONGEST_STEP_S, _LONGEST_STEP_PERIODS / rate_hz)
    position_s, warned = -1 / rate_hz, False
    while capture.grab():
        step_s = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000 - position_s
        position_s += step_s if 0 < step_s <= longest_s else 1 / rate_hz
        if step_s > longest_s and not warned:
            warned = True
            log.warning(
                "%s: a frame at %.0f s says that it follows after %.0f s, which its %.3g frames a second do"
                " not explain; such times are not believed",
                *(name, position_s, step_s, rate_hz),
            )
        yield position_s
