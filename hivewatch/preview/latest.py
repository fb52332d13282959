"""The latest preview frames, passed from the camera's thread to the server's threads."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

from hivewatch.domain.status import CameraStatus

# An open page sends one request after the other; after this long without any, there is no viewer.
_IDLE_S = 10.0
# A page requests the state first and then its picture, by which time newer ones may have arrived.
_KEPT = 3


@dataclass(frozen=True, slots=True)
class PreviewFrame:
    """One frame as a JPEG, and as plain values everything that was detected in it."""

    number: int
    jpeg: bytes
    state: dict[str, Any]


class LatestFrames:
    """Keeps the latest frames and the camera's status. Thread-safe."""

    def __init__(self) -> None:
        """Start without frames."""
        self._changed = threading.Condition()
        self._frames: list[PreviewFrame] = []
        self._status: CameraStatus | None = None
        self._requested_s = float("-inf")
        self.count = 0
        """How many frames were added so far."""

    def add(self, frame: PreviewFrame) -> None:
        """Make ``frame`` the latest."""
        with self._changed:
            self._frames = [*self._frames[1 - _KEPT :], frame]
            self.count += 1
            self._changed.notify_all()

    def set_camera_status(self, status: CameraStatus) -> None:
        """Set the camera's status."""
        with self._changed:
            self._status = status
            self._changed.notify_all()

    def has_viewers(self) -> bool:
        """Return whether a page requested the state within the last seconds."""
        return time.monotonic() - self._requested_s < _IDLE_S

    def state(self, after: int, timeout_s: float) -> dict[str, Any]:
        """Wait for a frame with a number above ``after``; return its state and the camera's status.

        After ``timeout_s`` without one, ``frame`` is None.
        """
        with self._changed:
            self._requested_s = time.monotonic()
            is_new = self._changed.wait_for(
                lambda: bool(self._frames) and self._frames[-1].number > after, timeout_s
            )
            camera = {"state": "offline", "reasons": []}
            if self._status is not None:
                camera = {"state": str(self._status.state), "reasons": [str(r) for r in self._status.reasons]}
            return {"camera": camera, "frame": self._frames[-1].state if is_new else None}

    def jpeg(self, number: int) -> bytes | None:
        """Return the picture of that frame, None if it is no longer kept."""
        with self._changed:
            return next((frame.jpeg for frame in self._frames if frame.number == number), None)
