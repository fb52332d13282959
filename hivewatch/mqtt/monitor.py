"""The publisher's thread as other threads see it: whether it is connected, and whether it still advances."""

from __future__ import annotations

import logging
import time

from hivewatch.mqtt import failures

log = logging.getLogger(__name__)

LONGEST_STEP_S = 300.0
"""No step of the thread takes longer, not even asking dead name servers for several addresses."""
SUSPICIOUS_IN_A_ROW = 3
"""After so many short connections that the broker ended, another client may have the same id."""


class Monitor:
    """Written by the publisher's thread only; any thread may read it.

    ``connections`` counts the connections made, ``is_connected`` is whether one is open, and
    ``failures_in_a_row`` counts the attempts and connections that failed. A connection ends the row only if
    it has lasted: a broker may accept every connection and end it at once.
    """

    def __init__(self, broker: str, client_id: str, lasting_s: float) -> None:
        """``broker`` is its name in the log; a connection has lasted after ``lasting_s``."""
        self.connections = 0
        self.is_connected = False
        self.failures_in_a_row = 0
        self._broker = broker
        self._client_id = client_id
        self._lasting_s = lasting_s
        self._connected_at_s: float | None = None
        self._short_in_a_row = 0
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
        self._connected_at_s = time.monotonic()
        self.connections += 1
        self.is_connected = True
        self.log_change(logging.INFO, "broker_connected", "connected")

    def note_failure(self, reason: str, *, is_mended: bool = False) -> None:
        """Count and log a connection that failed or was lost; ``is_mended``: its cause is gone."""
        self._note_end()
        self.failures_in_a_row = 1 if is_mended else self.failures_in_a_row + 1
        is_taken_over = reason == failures.LOST and self._short_in_a_row >= SUSPICIOUS_IN_A_ROW
        if is_taken_over or failures.is_about_session(reason):
            reason += failures.taken_over(self._client_id)
        text = f"not connected: {reason}; sightings are kept and sent later"
        self.log_change(logging.WARNING, "broker_lost", text)

    def _note_end(self) -> None:
        if self._connected_at_s is None:
            return
        has_lasted = time.monotonic() - self._connected_at_s >= self._lasting_s
        self._connected_at_s = None
        self._short_in_a_row = 0 if has_lasted else self._short_in_a_row + 1
        if has_lasted:
            self.failures_in_a_row = 0

    def log_change(self, level: int, code: str, text: str) -> None:
        """Log the state of the connection if it has changed since the last call."""
        if text != self._logged:
            self._logged = text
            log.log(level, "MQTT broker %s: %s", self._broker, text, extra={"CODE": code})
