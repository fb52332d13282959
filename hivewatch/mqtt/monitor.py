"""The publisher's thread as other threads see it: whether it is connected, and whether it still advances."""

from __future__ import annotations

import logging
import time

log = logging.getLogger(__name__)

LONGEST_STEP_S = 300.0
"""No step of the thread takes longer, not even asking dead name servers for several addresses."""


class Monitor:
    """Written by the publisher's thread only; any thread may read it.

    ``connections`` counts the connections made, ``is_connected`` is whether one is open, and
    ``failures_in_a_row`` counts the attempts and connections that failed since the last success.
    """

    def __init__(self, broker: str) -> None:
        """``broker`` is its name in the log."""
        self.connections = 0
        self.is_connected = False
        self.failures_in_a_row = 0
        self._broker = broker
        self._next_step_by_s = float("inf")
        self._logged = ""

    @property
    def is_stuck(self) -> bool:
        """Whether the thread has been in one step for longer than any step takes: it sends nothing then."""
        return time.monotonic() > self._next_step_by_s

    def note_step(self, pause_s: float = 0.0) -> None:
        """Note that the thread advances, and that it will pause on purpose for ``pause_s`` now."""
        self._next_step_by_s = time.monotonic() + pause_s + LONGEST_STEP_S

    def note_connected(self) -> None:
        """Count and log a new connection."""
        self.failures_in_a_row = 0
        self.connections += 1
        self.is_connected = True
        self.log_change(logging.INFO, "broker_connected", "connected")

    def note_failure(self, reason: str) -> None:
        """Count and log a connection that failed or was lost."""
        self.failures_in_a_row += 1
        text = f"not connected: {reason}; sightings are kept and sent later"
        self.log_change(logging.WARNING, "broker_lost", text)

    def log_change(self, level: int, code: str, text: str) -> None:
        """Log the state of the connection if it has changed since the last call."""
        if text != self._logged:
            self._logged = text
            log.log(level, "MQTT broker %s: %s", self._broker, text, extra={"CODE": code})
