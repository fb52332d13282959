"""The thread that reads a live source through OpenCV and keeps only its newest frame."""

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
from hivewatch.domain.redaction import redact

_POLL_S = 0.1  # between two checks of the stop event
_CLOSE_S = 1.0  # to wait for the device to be released

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Grab:
    """One frame: RGB pixels, and the time of the grab on both clocks."""

    pixels: Pixels
    taken_at: datetime
    monotonic_s: float


class Grabber(threading.Thread):
    """Reads one connection until it is closed or lost; the end of a live source is a fault.

    Every frame is grabbed, so that none ages in the driver, but only ``rate_hz`` per second are decoded. This
    is a daemon thread, because a read that never returns must not keep the process alive.
    """

    def __init__(
        self, open_capture: Callable[[], cv2.VideoCapture], name: str, rate_hz: float, counts: CameraCounts
    ) -> None:
        """Use ``counts`` for dropped and bad frames; only this thread writes to it."""
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
        """Why the connection was lost; None while it works or hangs."""
        return self._fault

    @property
    def is_closed(self) -> bool:
        """Whether ``close`` was called; the thread may still hang in a read."""
        return self._closing.is_set()

    def take(self, timeout_s: float, stop: threading.Event, on_idle: OnIdle) -> Grab | None:
        """Wait for a new frame and return it; None after a fault, a stop or a time-out.

        A connection that is still being opened has ``timeout_s`` for that and as long again for a frame.
        """
        started_s = time.monotonic()
        while not stop.is_set():
            with self._changed:
                if self._newest is None and self._fault is None:
                    self._changed.wait(_POLL_S)
                grab, self._newest = self._newest, None
                if grab is not None or self._fault is not None:
                    return grab
            if time.monotonic() - started_s >= (timeout_s if self._opened else 2 * timeout_s):
                break
            on_idle()
        return None

    def close(self) -> None:
        """End the thread after its current read, without waiting for it."""
        self._closing.set()

    def finish(self) -> None:
        """Close, and wait briefly for the thread to release the device."""
        self.close()
        self.join(_CLOSE_S)

    def run(self) -> None:
        """Read until closed or the connection is lost."""
        fault = "the reading thread crashed, see the traceback above"
        try:
            fault = self._read(self._open_capture())
        except (cv2.error, ValueError) as error:
            fault = f"OpenCV cannot read it: {redact(str(error))}"
        finally:
            with self._changed:
                self._fault = fault
                self._changed.notify_all()

    def _read(self, capture: cv2.VideoCapture) -> str:
        try:
            if not capture.isOpened():
                return "it cannot be opened"
            self._opened = True
            self._log_properties(capture)
            due_s = time.monotonic()
            while not self._closing.is_set():
                if not capture.grab():
                    return "the source ended"
                now_s = time.monotonic()
                if now_s >= due_s:
                    due_s = max(due_s + self._period_s, now_s)
                    self._keep(capture, now_s)
            return "closed"
        finally:
            capture.release()

    def _keep(self, capture: cv2.VideoCapture, now_s: float) -> None:
        taken_at = datetime.now(UTC)
        ok, decoded = capture.retrieve()
        if not ok:
            self._counts.bad += 1
            return
        with self._changed:
            if self._newest is not None:
                self._counts.dropped += 1
            self._newest = Grab(to_rgb(decoded), taken_at, now_s)
            self._changed.notify_all()

    def _log_properties(self, capture: cv2.VideoCapture) -> None:
        log.info(
            "%s is open: %d x %d pixels, nominally %.3g frames per second",
            self._source,
            capture.get(cv2.CAP_PROP_FRAME_WIDTH),
            capture.get(cv2.CAP_PROP_FRAME_HEIGHT),
            capture.get(cv2.CAP_PROP_FPS),
        )
