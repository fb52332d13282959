"""Messages that the connection is lost on again and again: most likely the broker takes none that large.

An MQTT 5 broker states what it takes. One of MQTT 3.1.1 just closes the connection, like any other fault, and
would do so for ever.
"""

from __future__ import annotations

import math
import time

from hivewatch.domain.wire import Message
from hivewatch.errors import PublishError

MOST_LOSSES = 5
"""So many connections may be lost in a row on one topic.

Once a message was given up, a larger one than the broker has ever taken is worth only one.
"""
SMALLEST_SUSPECT_BYTES = 2000
"""Every broker takes a message this small."""
TRY_AGAIN_AFTER_S = 3600.0


class GivenUpError(PublishError):
    """The connection was lost on a message that is not worth another one."""


class Losses:
    """Counts the connections lost on each topic, and remembers the smallest size that was given up."""

    def __init__(self) -> None:
        """Start without any."""
        self._topic = ""
        self._count = 0
        self._too_large_bytes = math.inf
        self._largest_taken_bytes = 0
        self._try_again_at_s = 0.0
        self._unwanted_at_s = self._subscribe_at_s = -math.inf

    def note_lost(self, message: Message) -> None:
        """Note that the connection was lost on ``message``; raises GivenUpError if once too often."""
        size_bytes = len(message.payload)
        if size_bytes < SMALLEST_SUSPECT_BYTES:
            return
        self._count = self._count + 1 if message.topic == self._topic else 1
        self._topic = message.topic
        is_second = self._too_large_bytes < math.inf and size_bytes > self._largest_taken_bytes
        if self._count < (1 if is_second else MOST_LOSSES):
            return
        count, self._count = self._count, 0
        self._too_large_bytes = min(self._too_large_bytes, size_bytes)
        self._largest_taken_bytes = min(self._largest_taken_bytes, size_bytes - 1)  # a limit may be lowered
        self._try_again_at_s = time.monotonic() + TRY_AGAIN_AFTER_S
        raise GivenUpError(
            f"the connection was lost on {size_bytes} bytes on {message.topic}, {count} times in a row"
        )

    def note_sent(self, message: Message) -> None:
        """Note that the broker has acknowledged ``message``."""
        if message.topic == self._topic:
            self._topic = ""
        self._largest_taken_bytes = max(self._largest_taken_bytes, len(message.payload))
        if len(message.payload) >= self._too_large_bytes:
            self._too_large_bytes = math.inf

    def note_unwanted(self) -> None:
        """Note that the connection was lost on a packet from the broker."""
        now_s = time.monotonic()
        if now_s - self._unwanted_at_s < TRY_AGAIN_AFTER_S:
            self._subscribe_at_s = now_s + TRY_AGAIN_AFTER_S
        self._unwanted_at_s = now_s

    @property
    def may_subscribe(self) -> bool:
        """Whether to subscribe: not after two packets in an hour that ended the connection.

        The message may be retained on a command topic, and would end every connection that listens.
        """
        return time.monotonic() >= self._subscribe_at_s

    def is_hopeless(self, message: Message) -> bool:
        """Return whether a message of this size was given up less than ``TRY_AGAIN_AFTER_S`` ago."""
        return len(message.payload) >= self._too_large_bytes and time.monotonic() < self._try_again_at_s
