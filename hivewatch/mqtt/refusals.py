"""What the broker does not let the hive do. Only MQTT 5 brokers tell: with 3.1.1 they throw away unsaid."""

from __future__ import annotations

import logging
import time

log = logging.getLogger(__name__)

AGAIN_S = 60.0
"""What the broker would not take stays in the outbox and is tried again this often."""


class Refusals:
    """Says each refusal once in the log, and remembers which entry of the outbox is stuck by one."""

    def __init__(self, broker: str) -> None:
        """``broker`` names it in the log."""
        self._broker = broker
        self._told: set[str] = set()
        self._stuck_id = -1
        self._again_s = 0.0

    def note(self, doing: str, topic: str, refusal: str) -> None:
        """Note the broker's answer to something done on ``topic``; an empty ``refusal`` is none."""
        if not refusal:
            self._told.discard(topic)
        elif topic not in self._told:
            self._told.add(topic)
            log.error(
                "MQTT broker %s: the hive may not %s %s (%s): check its ACL; what was recorded waits",
                *(self._broker, doing, topic, refusal),
            )

    def hold(self, entry_id: int) -> None:
        """Remember that this entry was refused just now."""
        self._stuck_id, self._again_s = entry_id, time.monotonic() + AGAIN_S

    def holds(self, entry_id: int) -> bool:
        """Tell whether it is too early to try this entry again."""
        return entry_id == self._stuck_id and time.monotonic() < self._again_s
