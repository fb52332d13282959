"""Supervision of the camera: checks its frames, reports its status, and reopens it when it is stuck."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace

from hivewatch.camera.base import Camera, OnIdle, open_camera
from hivewatch.camera.checks import CameraChecks
from hivewatch.config.sections import CameraChecksConfig, CameraConfig
from hivewatch.domain.frames import Frame
from hivewatch.domain.redaction import summary
from hivewatch.domain.status import CameraFault, CameraState, CameraStatus
from hivewatch.errors import CameraError, HivewatchError

log = logging.getLogger(__name__)

_OUTAGE_PERIOD_S = 1.0  # between two calls of on_outage
# Faults of a driver or a connection, which reopening the camera may clear.
_STUCK = {CameraFault.REPEATING, CameraFault.FROZEN}

_IN_WORDS = {
    CameraFault.NO_FRAMES: "no frames arrive",
    CameraFault.REPEATING: "the same picture repeats",
    CameraFault.FROZEN: "the picture is frozen, without even sensor noise",
    CameraFault.DARK: "the picture is black, which is normal only at night",
    CameraFault.WHITE: "the picture is white: sun in the lens, or a failed exposure",
    CameraFault.COVERED: "most of the view is blank: check the lens for dirt, dew or fog",
    CameraFault.MOVED: "the view has moved: realign the camera, or restart hivewatch if that was intended",
    CameraFault.SLOW: "the frame rate is far below camera.rate_hz",
}


class Supervisor:
    """Yields a camera's frames, each marked usable or not, and reports the camera's status.

    A stuck camera is reopened a limited number of times, with the wait doubled after each attempt. If that
    fails, CameraError leaves the recovery to the caller. Pictures and clips are not checked: only a live
    source can be out of date.
    """

    def __init__(
        self,
        config: CameraConfig,
        open_camera: Callable[[CameraConfig, OnIdle], Camera] = open_camera,
    ) -> None:
        """Create the camera; its device is opened by ``frames``."""
        self._timeout_s = config.timeout_s
        self._on_status: Callable[[CameraStatus], None] = lambda _status: None
        self._on_outage: Callable[[], None] = lambda: None
        self._reported: CameraStatus | None = None
        self._waiting_since_s = time.monotonic()
        self._outage_reported_s = -math.inf
        self.camera = open_camera(config, self._on_idle)
        checks = config.checks if self.camera.is_live else CameraChecksConfig(enabled=False)
        config = config.model_copy(update={"checks": checks})
        self.checks = CameraChecks(config, self.camera.name)
        self._recovery = _Recovery(checks)

    def frames(
        self,
        stop: threading.Event,
        on_status: Callable[[CameraStatus], None] = lambda _status: None,
        on_outage: Callable[[], None] = lambda: None,
    ) -> Iterator[Frame]:
        """Yield frames until ``stop`` is set or the source ends; ``sequence`` continues across reopenings.

        Both callbacks run on the consumer's thread, between two frames. ``on_status`` receives the current
        status first, then every change. ``on_outage`` is called about once a second while a frame is overdue,
        because no frame drives the caller's loop then. Raises CameraError if the camera fails in any way or
        stays stuck.
        """
        self._on_status, self._on_outage = on_status, on_outage
        self._reported = None
        self._report_status()
        number = 0
        while not stop.is_set():
            first, reopens = number, False
            with closing(self.camera.frames(stop)) as opened:
                while not reopens and (frame := self._next_frame(opened)) is not None:
                    number = first + frame.sequence + 1
                    yield replace(frame, sequence=number - 1)
                    reopens = self._recovery.is_due(self.checks.status, frame)
            if not reopens:
                return
            self.checks.report_reopened()

    def _next_frame(self, opened: Iterator[Frame]) -> Frame | None:
        """Wait for a frame and check it; None at the end of the source."""
        # Counted from here and not from the last frame: a busy consumer is not an outage.
        self._waiting_since_s = time.monotonic()
        try:
            frame = next(opened, None)
        except CameraError:
            self._report_silence()
            raise
        except HivewatchError:
            raise
        except Exception as error:
            self._report_silence()
            raise CameraError(f"{self.camera.name} failed unexpectedly: {summary(error)}") from error
        if frame is None:
            return None
        usable = self.checks.check(frame, self.camera.counts.dropped)
        self._report_status()
        return frame if usable else replace(frame, usable=False)

    def _on_idle(self) -> None:
        now_s = time.monotonic()
        is_overdue = now_s - self._waiting_since_s >= self._timeout_s
        if is_overdue and now_s - self._outage_reported_s >= _OUTAGE_PERIOD_S:
            self._outage_reported_s = now_s
            self._report_silence()
            self._on_outage()

    def _report_silence(self) -> None:
        self.checks.report_silence()
        self._report_status()

    def _report_status(self) -> None:
        """Log the status and pass it on if it has changed; the first one is not logged."""
        status = self.checks.status
        if status is self._reported:
            return
        if self._reported is not None:
            level = logging.INFO if status.state is CameraState.ONLINE else logging.WARNING
            reasons = "; ".join(_IN_WORDS[reason] for reason in status.reasons)
            log.log(
                level,
                "camera %s is %s%s",
                *(status.source, status.state, reasons and f": {reasons}"),
                extra={"CAMERA": status.source, "CODE": f"camera_{status.state}"},
            )
        self._reported = status
        self._on_status(status)


@dataclass(slots=True)
class _Recovery:
    """Decides when to reopen a stuck camera; the wait doubles after each attempt."""

    config: CameraChecksConfig
    attempts: int = 0
    attempted_at_s: float = 0.0

    def is_due(self, status: CameraStatus, frame: Frame) -> bool:
        """Return whether to reopen the camera now; raises CameraError when all attempts have failed."""
        stuck = _STUCK.intersection(status.reasons)
        if not stuck:
            self.attempts = 0
            return False
        wait_s = self.config.raise_after_s * 2 ** (self.attempts - 1) if self.attempts else 0.0
        if frame.usable or frame.monotonic_s - self.attempted_at_s < wait_s:
            return False
        if self.attempts >= self.config.reopenings:
            raise CameraError(
                f"{status.source} is stuck: {_IN_WORDS[stuck.pop()]}, although it was reopened"
                f" {self.attempts} times; check the camera, its cable and its driver"
            )
        self.attempts += 1
        self.attempted_at_s = frame.monotonic_s
        log.warning(
            "reopening %s, attempt %d of %d",
            *(status.source, self.attempts, self.config.reopenings),
            extra={"CAMERA": status.source, "CODE": "camera_reopened"},
        )
        return True
