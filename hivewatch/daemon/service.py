"""What runs on the daemon's loop beside the frames: services, each with one concern."""

from __future__ import annotations

import math

from hivewatch.config.sections import Config
from hivewatch.daemon.loop import Step
from hivewatch.domain.sightings import Sighting
from hivewatch.domain.status import CameraStatus
from hivewatch.domain.wire import Alert


class Service:
    """Base of all services: a service takes what it needs in its constructor and overrides some of these.

    Every call runs on the data path, between two frames, so none may block. A HivewatchError that a call
    raises ends the daemon with its exit code.
    """

    def tick(self, now_s: float) -> None:
        """Do what is due. Comes after every frame, and about once a second while the camera delivers none.

        ``now_s`` is the monotonic time in seconds.
        """

    def on_frame(self, step: Step) -> None:
        """React to a processed frame."""

    def on_sighting(self, sighting: Sighting, alert: Alert) -> None:
        """React to a recorded sighting event; it survives a power cut from here on.

        May come while another service handles a tick or a camera status, since both can end a sighting.
        """

    def on_camera(self, status: CameraStatus) -> None:
        """React to a new status of the camera."""

    def on_clock_trusted(self) -> None:
        """React to the clock becoming trusted; comes once, unless it was trusted at start."""

    def configure(self, config: Config) -> None:
        """Use ``config``; comes after a reload and after a commanded threshold.

        Options marked RESTART keep the value they had at start.
        """

    def close(self) -> None:
        """Release what the service holds. Store and publisher are still open."""


class Timer:
    """Comes due at once and then every ``every_s`` seconds of monotonic time."""

    def __init__(self, every_s: float, first_at_s: float = -math.inf) -> None:
        """``first_at_s``: when it comes due for the first time."""
        self.every_s = every_s
        self._due_at_s = first_at_s

    def is_due(self, now_s: float) -> bool:
        """Return whether it is due, and start the next period if so."""
        if now_s < self._due_at_s:
            return False
        self.restart(now_s)
        return True

    def restart(self, now_s: float) -> None:
        """Come due ``every_s`` after ``now_s``."""
        self._due_at_s = now_s + self.every_s

    def expire(self) -> None:
        """Come due at the next call of ``is_due``."""
        self._due_at_s = -math.inf
