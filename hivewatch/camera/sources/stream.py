"""The newest frames of a live source, with reconnection when it is lost."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator
from functools import partial

import cv2
import tenacity

from hivewatch.camera.base import CameraCounts, OnIdle
from hivewatch.camera.sources.grabber import Grab, Grabber
from hivewatch.camera.sources.opencv import prepare_opencv
from hivewatch.config.sections import CameraConfig
from hivewatch.domain.frames import Frame
from hivewatch.errors import CameraError

_POLL_S = 0.5

log = logging.getLogger(__name__)


class _LostError(Exception):
    """This connection delivers no frames; a new one may."""


class StreamCamera:
    """Yields the newest frames of a device or network stream, at most ``rate_hz`` per second.

    ``taken_at`` and ``monotonic_s`` are the time of the grab. One thread reads (Grabber). If it hangs inside
    OpenCV, neither the consumer nor a stop waits for it, and no second thread is started.
    """

    def __init__(
        self,
        open_capture: Callable[[], cv2.VideoCapture],
        name: str,
        config: CameraConfig,
        on_idle: OnIdle = lambda: None,
    ) -> None:
        """``open_capture`` runs on the grabber's thread; ``config`` has the rate, time-outs and back-off."""
        prepare_opencv()
        self._open_capture = open_capture
        self._config = config
        self._grabber: Grabber | None = None
        self._last_frame_s = 0.0
        self._on_idle = on_idle
        self.is_live = True
        self.name = name
        self.counts = CameraCounts()

    def frames(self, stop: threading.Event) -> Generator[Frame]:
        """Yield frames until ``stop`` is set.

        Raises CameraError after ``give_up_after_s`` without a frame, checked after each attempt.
        """
        self._last_frame_s = time.monotonic()
        sequence = 0
        try:
            while (grab := self._next(stop)) is not None:
                yield Frame(grab.pixels, grab.taken_at, grab.monotonic_s, sequence, self.name)
                sequence += 1
        finally:
            if self._grabber is not None:
                self._grabber.finish()

    def _next(self, stop: threading.Event) -> Grab | None:
        """Return a new frame, reconnecting as often as needed; None once stopped."""
        video = self._config.video
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_LostError),
            wait=tenacity.wait_exponential(video.reconnect_first_s, video.reconnect_longest_s)
            + tenacity.wait_random(0, video.reconnect_first_s),
            stop=lambda _: self._silence_s() >= video.give_up_after_s,
            sleep=partial(self._pause, stop),
            before_sleep=self._log_loss,
            reraise=True,
        )
        try:
            grab = retrying(self._take, stop)
        except _LostError as loss:
            raise CameraError(
                f"{self.name} has delivered no frame for {self._silence_s():.0f} s ({loss}); "
                "check the camera, its cable or network, and camera.video.source"
            ) from loss
        if grab is not None and retrying.statistics["attempt_number"] > 1:
            log.info("%s delivers frames again after %.0f s", self.name, self._silence_s())
        self._last_frame_s = time.monotonic()
        return grab

    def _take(self, stop: threading.Event) -> Grab | None:
        if stop.is_set():
            return None
        grabber = self._connect()
        grab = grabber.take(self._config.timeout_s, stop, self._on_idle)
        if grab is None and not stop.is_set():
            grabber.close()
            raise _LostError(grabber.fault or f"no frame arrived for {self._config.timeout_s:g} s")
        return grab

    def _connect(self) -> Grabber:
        """Return the running grabber; start a new one only after the previous one has ended."""
        if self._grabber is not None and self._grabber.is_closed:
            if self._grabber.is_alive():
                raise _LostError("the previous read still hangs")
            self._grabber = None
        if self._grabber is None:
            self._grabber = Grabber(self._open_capture, self.name, self._config.rate_hz, self.counts)
            self._grabber.start()
        return self._grabber

    def _pause(self, stop: threading.Event, pause_s: float) -> None:
        until_s = time.monotonic() + pause_s
        while (left_s := until_s - time.monotonic()) > 0 and not stop.wait(min(left_s, _POLL_S)):
            self._on_idle()

    def _silence_s(self) -> float:
        return time.monotonic() - self._last_frame_s

    def _log_loss(self, state: tenacity.RetryCallState) -> None:
        level = logging.WARNING if state.attempt_number == 1 else logging.DEBUG
        loss = state.outcome.exception() if state.outcome else None
        log.log(level, "%s: %s; reconnecting", self.name, loss)
