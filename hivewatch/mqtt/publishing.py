"""What the daemon needs of a publisher, and the null object that takes its role if MQTT is off."""

from __future__ import annotations

from typing import Protocol

from hivewatch.domain.wire import Message
from hivewatch.mqtt.connection import OnMessage


class Publishing(Protocol):
    """What the daemon needs of a publisher; all of it may be used from any thread."""

    @property
    def delivers(self) -> bool:
        """Whether messages are ever sent: if not, queueing them in the outbox would only fill it."""

    @property
    def connections(self) -> int:
        """How many connections to the broker were made."""

    @property
    def is_connected(self) -> bool:
        """Whether a connection is open."""

    @property
    def is_stuck(self) -> bool:
        """Whether the publisher's thread hangs, so that nothing is sent."""

    def start(self) -> None:
        """Start to connect and to publish."""

    def wake(self) -> None:
        """Send what is new in the outbox now."""

    def publish_state(self, message: Message) -> None:
        """Send ``message`` now and after each reconnect, until another replaces it on its topic.

        States are kept in memory, and only the newest of each topic.
        """

    def publish_once(self, message: Message) -> None:
        """Send ``message`` once, soon.

        It waits in memory: a crash loses it, and if many are waiting the oldest are dropped.
        """

    def subscribe(self, topic: str, on_message: OnMessage) -> None:
        """Call ``on_message``, in the publisher's thread, for each message on ``topic`` (+ and # allowed)."""

    def repeat_states(self) -> None:
        """Send every state again."""

    def check(self) -> None:
        """Raise the error that ended the publisher's thread, if any."""

    def drain(self, timeout_s: float) -> bool:
        """Wait until everything recorded so far is acknowledged; return False if that takes too long."""

    def stop(self, timeout_s: float) -> None:
        """Send what there is time for and end, within ``timeout_s``; the rest goes out at the next start."""


class NoPublisher(Publishing):
    """The publisher of a hive with MQTT switched off: it sends nothing, and nothing ever waits for it."""

    delivers = False
    connections = 0
    is_connected = False
    is_stuck = False

    def start(self) -> None:
        """Do nothing."""

    def wake(self) -> None:
        """Do nothing."""

    def publish_state(self, message: Message) -> None:
        """Drop ``message``."""

    def publish_once(self, message: Message) -> None:
        """Drop ``message``."""

    def subscribe(self, topic: str, on_message: OnMessage) -> None:
        """Do nothing: no message ever arrives."""

    def repeat_states(self) -> None:
        """Do nothing."""

    def check(self) -> None:
        """Do nothing: there is no thread that could end."""

    def drain(self, timeout_s: float) -> bool:
        """Return True: nothing is waiting."""
        return True

    def stop(self, timeout_s: float) -> None:
        """Do nothing."""
