"""What the thread of the camera shows, and the threads of the server read."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

from hivewatch.domain.status import CameraStatus

# A page asks again at once; when none has for so long nobody looks, and nothing needs to be worked out.
_IDLE_S = 10.0
# A page asks for the state first and for its picture after that, when a newer one may be there.
_KEPT = 3


@dataclass(frozen=True, slots=True)
class Look:
    """One picture as a JPEG, and as plain values all that was found in it."""

    number: int
    jpeg: bytes
    state: dict[str, Any]


class Board:
    """Keeps the latest looks. All methods may be called from any thread."""

    def __init__(self) -> None:
        """Nothing to see yet."""
        self._changed = threading.Condition()
        self._looks: list[Look] = []
        self._status: CameraStatus | None = None
        self._asked_s = float("-inf")
        self.pictures = 0
        """How many were shown so far."""

    def show(self, look: Look) -> None:
        """Make ``look`` the latest."""
        with self._changed:
            self._looks = [*self._looks[1 - _KEPT :], look]
            self.pictures += 1
            self._changed.notify_all()

    def tell(self, status: CameraStatus) -> None:
        """Note how the camera is."""
        with self._changed:
            self._status = status
            self._changed.notify_all()

    def is_watched(self) -> bool:
        """Tell whether anybody has asked lately."""
        return time.monotonic() - self._asked_s < _IDLE_S

    def state(self, after: int, timeout_s: float) -> dict[str, Any]:
        """Wait for a look with a higher number than ``after`` and return its state, and the camera's.

        Where none comes in time it is the camera's alone.
        """
        with self._changed:
            self._asked_s = time.monotonic()
            came = self._changed.wait_for(
                lambda: bool(self._looks) and self._looks[-1].number > after, timeout_s
            )
            camera = {"state": "offline", "reasons": []}
            if self._status is not None:
                camera = {"state": str(self._status.state), "reasons": [str(r) for r in self._status.reasons]}
            return {"camera": camera, "look": self._looks[-1].state if came else None}

    def jpeg(self, number: int) -> bytes | None:
        """Return that picture, None once it has been replaced by newer ones."""
        with self._changed:
            return next((look.jpeg for look in self._looks if look.number == number), None)
