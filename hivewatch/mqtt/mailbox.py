"""The publisher's mailbox: other threads put messages and requests in, the publisher's thread takes them out.

It is thread-safe without locks, so neither side ever waits for the other: each side does one atomic operation
at a time on a shared value, and changes that belong together end with setting an event.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress

from hivewatch.domain.wire import Message
from hivewatch.mqtt.connection import OnMessage

MOST_ONE_SHOTS = 32
SENDING_SHARE = 0.5
"""Share of the time limit of a stop that may go into sending; the rest is for offline and DISCONNECT."""


class Mailbox:
    """States, one-shot messages, subscriptions, and the requests to drain and to stop."""

    def __init__(self) -> None:
        self._states: dict[str, Message] = {}
        self._one_shots: deque[Message] = deque(maxlen=MOST_ONE_SHOTS)
        self._subscriptions: Mapping[str, OnMessage] = {}
        self._repeat = threading.Event()
        self._drained: threading.Event | None = None
        self._stop = threading.Event()
        self._send_until_s = self._stop_by_s = float("inf")
        self._wake_writer, self._wake_reader = socket.socketpair()
        self._wake_writer.setblocking(False)
        self._wake_reader.setblocking(False)

    # Called by any thread.

    def wake(self) -> None:
        """Wake the publisher's thread."""
        with suppress(OSError):  # full: the thread wakes anyway; closed: the thread has ended
            self._wake_writer.send(b"\0")

    def put_state(self, message: Message) -> None:
        """Replace the state of the message's topic."""
        self._states[message.topic] = message
        self.wake()

    def put_one_shot(self, message: Message) -> None:
        """Add a one-shot message; if the mailbox is full, the oldest is dropped."""
        self._one_shots.append(message)
        self.wake()

    def subscribe(self, topic: str, on_message: OnMessage) -> None:
        """Add a subscription."""
        self._subscriptions = {**self._subscriptions, topic: on_message}
        self.wake()

    def request_repeat(self) -> None:
        """Ask for every state to be sent again."""
        self._repeat.set()
        self.wake()

    def request_drain(self) -> threading.Event:
        """Return an event that is set once everything recorded so far is acknowledged."""
        drained = self._drained = threading.Event()
        self.wake()
        return drained

    def request_stop(self, timeout_s: float) -> None:
        """Ask the publisher's thread to end within ``timeout_s``.

        The time limits are set first, so the thread never sees the request without them.
        """
        now_s = time.monotonic()
        self._send_until_s = now_s + SENDING_SHARE * timeout_s
        self._stop_by_s = now_s + timeout_s
        self._stop.set()
        self.wake()

    @property
    def is_stop_requested(self) -> bool:
        """Whether ``request_stop`` was called."""
        return self._stop.is_set()

    # Called by the publisher's thread.

    @property
    def wake_reader(self) -> socket.socket:
        """The socket that becomes readable when ``wake`` is called."""
        return self._wake_reader

    @property
    def subscriptions(self) -> Mapping[str, OnMessage]:
        """The subscriptions; a new mapping after each change."""
        return self._subscriptions

    @property
    def drain_request(self) -> threading.Event | None:
        """The event of the latest ``request_drain``, if any."""
        return self._drained

    @property
    def is_sending_over(self) -> bool:
        """Whether the time for sending before the stop is used up."""
        return time.monotonic() >= self._send_until_s

    @property
    def left_s(self) -> float:
        """Seconds until the thread must have ended; infinite unless a stop was requested."""
        return self._stop_by_s - time.monotonic()

    def states(self) -> list[Message]:
        """Return the newest state of each topic."""
        return list(self._states.values())

    def take_one_shot(self) -> Message | None:
        """Take out the oldest one-shot message, if any."""
        return self._one_shots.popleft() if self._one_shots else None

    def put_back(self, message: Message) -> None:
        """Put a one-shot message that could not be sent back to the front."""
        self._one_shots.appendleft(message)

    def take_repeat(self) -> bool:
        """Return whether states are to be sent again, and clear that request."""
        if not self._repeat.is_set():
            return False
        self._repeat.clear()
        return True

    def wait_for_stop(self, timeout_s: float) -> None:
        """Wait until a stop is requested, at most ``timeout_s``."""
        self._stop.wait(timeout_s)

    def close(self) -> None:
        """Close the sockets, after the publisher's thread has ended."""
        self._wake_writer.close()
        self._wake_reader.close()
