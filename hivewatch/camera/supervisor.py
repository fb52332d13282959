"""Looks after the camera: judges its frames, tells its status, and opens it afresh when that may help."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace

from hivewatch.camera.base import Camera, Meanwhile, open_camera
from hivewatch.camera.checks import CameraChecks
from hivewatch.config.sections import CameraChecksConfig, CameraConfig
from hivewatch.domain.frames import Frame
from hivewatch.domain.status import CameraFault, CameraState, CameraStatus
from hivewatch.errors import CameraError, HivewatchError

log = logging.getLogger(__name__)

# In an outage the rest of the daemon hears of it this often.
_NEWS_EVERY_S = 1.0
# Faults of a driver or a connection, which opening the camera afresh may heal.
_STUCK = {CameraFault.REPEATING, CameraFault.FROZEN}

_IN_WORDS = {
    CameraFault.NO_FRAMES: "no frame comes",
    CameraFault.REPEATING: "the same picture comes again and again",
    CameraFault.FROZEN: "the picture stands still, without even a sensor's noise",
    CameraFault.DARK: "the picture is black, which is natural at night only",
    CameraFault.WHITE: "the picture is white: sun in the lens, or a failed exposure",
    CameraFault.COVERED: "most of the view has gone blank: look for something on the lens, dew or fog",
    CameraFault.MOVED: "it looks elsewhere than before: put it right, or restart hivewatch if that is meant",
    CameraFault.SLOW: "it gives far fewer frames than camera.rate_hz asks for",
}


class Supervisor:
    """Gives a camera's frames, each marked whether it is usable, and tells the camera's status.

    A camera that is stuck is closed and opened again, a few times and ever more patiently. What cannot be
    healed here is left to whoever started the process, by CameraError. Pictures and clips are not checked:
    they are what they are.
    """

    tell: Callable[[CameraStatus], None]
    """Hears the status at first and at every change, between two frames."""
    in_outage: Callable[[], None]
    """Called every second or so while a frame is overdue: no frame drives the loop then."""

    def __init__(
        self,
        config: CameraConfig,
        open_camera: Callable[[CameraConfig, Meanwhile], Camera] = open_camera,
    ) -> None:
        """Open nothing yet; ``tell`` and ``in_outage`` do nothing until they are set."""
        self.tell = lambda _status: None
        self.in_outage = lambda: None
        self._timeout_s = config.timeout_s
        self._told: CameraStatus | None = None
        self._waiting_since_s = time.monotonic()
        self._news_at_s = -math.inf
        self.camera = open_camera(config, self._meanwhile)
        checks = config.checks if self.camera.is_live else CameraChecksConfig(enabled=False)
        config = config.model_copy(update={"checks": checks})
        self.checks = CameraChecks(config, self.camera.name)
        self._recovery = _Recovery(checks)

    def frames(self, stop: threading.Event) -> Iterator[Frame]:
        """Yield frames until ``stop`` is set or the source ends, numbered on from one opening to the next.

        Raises CameraError when the camera does, when it fails in any other way, and when it stays stuck.
        """
        self._inform()
        number = 0
        while not stop.is_set():
            first, reopens = number, False
            with closing(self.camera.frames(stop)) as opened:
                while not reopens and (frame := self._next(opened)) is not None:
                    number = first + frame.sequence + 1
                    yield replace(frame, sequence=number - 1)
                    reopens = self._recovery.is_due(self.checks.status, frame)
            if not reopens:
                return
            self.checks.reopened()

    def _next(self, opened: Iterator[Frame]) -> Frame | None:
        """Wait for a frame and judge it; None at the end."""
        # Counted from here and not from the last frame: a consumer that was busy is no outage.
        self._waiting_since_s = time.monotonic()
        try:
            frame = next(opened, None)
        except CameraError:
            self._fall_silent()
            raise
        except HivewatchError:
            raise
        except Exception as error:
            self._fall_silent()
            raise CameraError(f"{self.camera.name} failed in a way nobody expected: {error!r}") from error
        if frame is None:
            return None
        usable = self.checks.look(frame, self.camera.counts.dropped)
        self._inform()
        return frame if usable else replace(frame, usable=False)

    def _meanwhile(self) -> None:
        now_s = time.monotonic()
        is_overdue = now_s - self._waiting_since_s >= self._timeout_s
        if is_overdue and now_s - self._news_at_s >= _NEWS_EVERY_S:
            self._news_at_s = now_s
            self._fall_silent()
            self.in_outage()

    def _fall_silent(self) -> None:
        self.checks.silent()
        self._inform()

    def _inform(self) -> None:
        status = self.checks.status
        if status is self._told:
            return
        if self._told is not None:
            level = logging.INFO if status.state is CameraState.ONLINE else logging.WARNING
            reasons = "; ".join(_IN_WORDS[reason] for reason in status.reasons)
            log.log(
                level,
                "camera %s is %s%s",
                *(status.source, status.state, reasons and f": {reasons}"),
                extra={"CAMERA": status.source, "CODE": f"camera_{status.state}"},
            )
        self._told = status
        self.tell(status)


@dataclass(slots=True)
class _Recovery:
    """Decides when a stuck camera is opened afresh. Each try is given twice the time of the one before."""

    config: CameraChecksConfig
    tries: int = 0
    tried_at_s: float = 0.0

    def is_due(self, status: CameraStatus, frame: Frame) -> bool:
        """Tell whether it is time for a try; raises CameraError when all have failed."""
        stuck = _STUCK.intersection(status.reasons)
        if not stuck:
            self.tries = 0
            return False
        patience_s = self.config.raise_after_s * 2 ** (self.tries - 1) if self.tries else 0.0
        if frame.usable or frame.monotonic_s - self.tried_at_s < patience_s:
            return False
        if self.tries >= self.config.reopenings:
            raise CameraError(
                f"{status.source} is stuck: {_IN_WORDS[stuck.pop()]}, although it was opened afresh"
                f" {self.tries} times; check the camera, its cable and its driver"
            )
        self.tries += 1
        self.tried_at_s = frame.monotonic_s
        log.warning(
            "opening %s afresh, try %d of %d",
            *(status.source, self.tries, self.config.reopenings),
            extra={"CAMERA": status.source, "CODE": "camera_reopened"},
        )
        return True
