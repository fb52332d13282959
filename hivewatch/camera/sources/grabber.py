"""The thread that reads a live source through OpenCV, and the one slot it keeps the newest frame in."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import cv2

from hivewatch.camera.base import CameraCounts, OnIdle
from hivewatch.camera.sources.opencv import to_rgb
from hivewatch.domain.frames import Pixels

_POLL_S = 0.1  # how late a stop is noticed
_CLOSE_S = 1.0  # how long a stop waits for the device to be released

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Grab:
    """One frame as it was grabbed: RGB pixels and both clocks."""

    pixels: Pixels
    taken_at: datetime
    monotonic_s: float


class Grabber(threading.Thread):
    """Reads one connection to its end, which is a fault here: a live source has none.

    Every frame is taken off the source, so that none waits in a driver and grows old, but only ``rate_hz`` of
    them a second are decoded. A daemon thread: a read that never returns must not keep the process alive.
    """

    def __init__(
        self, open_capture: Callable[[], cv2.VideoCapture], name: str, rate_hz: float, counts: CameraCounts
    ) -> None:
        """``counts``: where this thread counts dropped and bad frames; nobody else writes those two."""
        super().__init__(name=f"grabber of {name}", daemon=True)
        self._open_capture = open_capture
        self._source = name
        self._period_s = 1 / rate_hz
        self._counts = counts
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._newest: Grab | None = None
        self._fault: str | None = None
        self._opened = False

    @property
    def fault(self) -> str | None:
        """Why the connection is lost, as far as the thread itself knows."""
        return self._fault

    @property
    def is_closed(self) -> bool:
        """Whether nobody waits for its frames any more; the thread may still hang in a read."""
        return self._closing.is_set()

    def take(self, timeout_s: float, stop: threading.Event, on_idle: OnIdle) -> Grab | None:
        """Wait for the newest frame and hand it over, once; None on a fault, a stop or a time-out.

        A connection that is still being opened has ``timeout_s`` for that and as long again for its frame.
        """
        asked_s = time.monotonic()
        while not stop.is_set():
            with self._changed:
                if self._newest is None and self._fault is None:
                    self._changed.wait(_POLL_S)
                grab, self._newest = self._newest, None
                if grab is not None or self._fault is not None:
                    return grab
            if time.monotonic() - asked_s >= (timeout_s if self._opened else 2 * timeout_s):
                break
            on_idle()
        return None

    def close(self) -> None:
        """Let the thread end after the read it is in, without waiting for that."""
        self._closing.set()

    def finish(self) -> None:
        """Close, and give the thread a moment to release the device."""
        self.close()
        self.join(_CLOSE_S)

    def run(self) -> None:
        """Read until closed or the connection is lost."""
        fault = "the reading thread died, see above"
        try:
            fault = self._read(self._open_capture())
        except (cv2.error, ValueError) as error:
            fault = f"OpenCV cannot read it: {error}"
        finally:
            with self._changed:
                self._fault = fault
                self._changed.notify_all()

    def _read(self, capture: cv2.VideoCapture) -> str:
        try:
            if not capture.isOpened():
                return "it cannot be opened"
            self._opened = True
            self._say_what_came(capture)
            due_s = time.monotonic()
            while not self._closing.is_set():
                if not capture.grab():
                    return "it gives no more frames"
                now_s = time.monotonic()
                if now_s >= due_s:
                    due_s = max(due_s + self._period_s, now_s)
                    self._keep(capture, now_s)
            return "closed"
        finally:
            capture.release()

    def _keep(self, capture: cv2.VideoCapture, now_s: float) -> None:
        taken_at = datetime.now(UTC)
        whole, decoded = capture.retrieve()
        if not whole:
            self._counts.bad += 1
            return
        with self._changed:
            if self._newest is not None:
                self._counts.dropped += 1
            self._newest = Grab(to_rgb(decoded), taken_at, now_s)
            self._changed.notify_all()

    def _say_what_came(self, capture: cv2.VideoCapture) -> None:
        logger.info(
            "%s is open: %d x %d pixels, %.3g frames a second by its own account",
            self._source,
            capture.get(cv2.CAP_PROP_FRAME_WIDTH),
            capture.get(cv2.CAP_PROP_FRAME_HEIGHT),
            capture.get(cv2.CAP_PROP_FPS),
        )
