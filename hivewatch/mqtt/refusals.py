"""Messages and subscriptions that the broker refuses. MQTT 3.1.1 brokers drop them without a reply."""

from __future__ import annotations

import logging
import time

from hivewatch.domain.wire import Message

log = logging.getLogger(__name__)

RETRY_AFTER_S = 60.0
"""A refused outbox entry is sent again after this time."""


class Refusals:
    """Logs each refusal once, and remembers which outbox entry was refused last."""

    def __init__(self, broker: str) -> None:
        """``broker`` is its name in the log."""
        self._broker = broker
        self._logged: set[str] = set()
        self._refused_id = -1
        self._retry_at_s = 0.0

    def note(self, action: str, topic: str, refusal: str) -> None:
        """Log the broker's ``refusal`` of an ``action`` on ``topic``; "" means that it accepted."""
        if not refusal:
            self._logged.discard(topic)
        elif topic not in self._logged:
            self._logged.add(topic)
            log.error(
                "MQTT broker %s: the hive may not %s %s (%s): check its ACL; recorded messages stay queued",
                *(self._broker, action, topic, refusal),
            )

    def note_too_large(self, message: Message, reason: str, consequence: str) -> None:
        """Log that ``message`` is too large for the broker, and what follows from it."""
        log.error(
            "MQTT broker %s: the message of %d bytes on %s is too large (%s): %s;"
            " raise the broker's limit, or lower store.jpeg_quality for smaller pictures",
            *(self._broker, len(message.payload), message.topic, reason, consequence),
            extra={"CODE": "too_large"},
        )

    def hold(self, entry_id: int) -> None:
        """Remember that the broker refused this outbox entry just now."""
        self._refused_id, self._retry_at_s = entry_id, time.monotonic() + RETRY_AFTER_S

    def holds(self, entry_id: int) -> bool:
        """Return whether it is too early to send this outbox entry again."""
        return entry_id == self._refused_id and time.monotonic() < self._retry_at_s
