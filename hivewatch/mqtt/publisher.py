"""The one other thread: takes messages from the outbox to the broker, and removes them once acknowledged.

One message at a time is on its way, so the order is kept whatever happens, and memory holds one picture
however long the outbox grows. The data path and this thread share the outbox, a few events and a socket that
wakes the thread; neither ever waits for the other with a lock held.
"""

from __future__ import annotations

import logging
import random
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Protocol, TypeVar

from paho.mqtt.client import topic_matches_sub

from hivewatch.config.sections import MqttConfig
from hivewatch.domain.wire import Envelope, Message, OutboxEntry
from hivewatch.errors import DiskFullError, HivewatchError, PublishError
from hivewatch.mqtt.connection import CONNECT_TIMEOUT_S, Connection, Hear
from hivewatch.mqtt.credentials import read_password
from hivewatch.mqtt.refusals import Refusals
from hivewatch.mqtt.tls import make_context

FIRST_RECONNECT_S = 1.0
LOOK_AGAIN_S = 1.0
SLOWEST_LINK_BYTES_PER_S = 4000
"""A link this slow still gets a picture through: the time limit for acknowledgement grows with the size."""
LONGEST_CALL_S = 300.0
"""No single step of the thread takes longer, not even asking dead name servers for several addresses."""
LAST_SENDING_SHARE = 0.5
"""Of the time there is to stop, how much may go into sending before it is time to say offline."""

MOST_REMARKS = 32

T = TypeVar("T")

log = logging.getLogger(__name__)


class Outbox(Protocol):
    """What the publisher needs of the store."""

    def pending(self, limit: int) -> list[OutboxEntry]:
        """Return the oldest entries, in order."""

    def mark_sent(self, entry_id: int) -> None:
        """Remove an entry that the broker has acknowledged."""


class Publisher:
    """Publishes what the outbox holds, in order, each message at least once, for as long as it takes.

    With ``presence``, an online and an offline message, it says the first when connected and the other before
    it leaves; the broker itself says the other (last will) when the connection breaks.
    """

    def __init__(
        self,
        config: MqttConfig,
        outbox: Outbox,
        client_id: str,
        presence: tuple[Message, Message] | None = None,
        envelope: Callable[[Message], Envelope] = lambda _message: Envelope(),
    ) -> None:
        """Read password and certificates; raises ConfigError where they cannot be read.

        Connects to nothing yet. ``envelope`` gives what MQTT 5 says beside a message. ``connections`` counts
        those made, ``is_connected`` tells whether one stands.
        """
        self.connections = 0
        self.is_connected = False
        self._config = config
        self._password = read_password(config)
        self._context = make_context(config.tls) if config.tls.enabled else None
        self._envelope = envelope
        self._client_id = client_id
        self._outbox = outbox
        self._online: Message | None
        self._offline: Message | None
        self._online, self._offline = presence or (None, None)
        self._waker, self._wakened = socket.socketpair()
        self._waker.setblocking(False)
        self._wakened.setblocking(False)
        self._stopping = threading.Event()
        self._send_until_s = self._stop_by_s = float("inf")
        self._drained: threading.Event | None = None
        self._states: dict[str, Message] = {}
        self._remarks: deque[Message] = deque(maxlen=MOST_REMARKS)
        self._repeat = threading.Event()
        self._ears: dict[str, Hear] = {}
        self._refusals = Refusals(f"{config.host}:{config.port}")
        self._failures_in_a_row = 0
        self._next_step_by_s = float("inf")
        self._error: Exception | None = None
        self._said = ""
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)

    def start(self) -> None:
        """Begin to connect and to publish."""
        self._note_step()
        self._thread.start()

    def wake(self) -> None:
        """Say that the outbox has got something new."""
        with suppress(OSError):  # full: that wakes it as well; closed: nothing is left to wake
            self._waker.send(b"\0")

    def state(self, message: Message) -> None:
        """Let ``message`` stand for its topic from now on: sent when connected, and after each reconnect.

        Only the newest of a topic is kept, in memory: it tells what is, not what was.
        """
        self._states[message.topic] = message
        self.wake()

    def remark(self, message: Message) -> None:
        """Send ``message`` once, soon. It waits in memory: it may be lost, and of many the oldest are."""
        self._remarks.append(message)
        self.wake()

    def listen(self, topic: str, hear: Hear) -> None:
        """Let ``hear`` have what comes on ``topic`` (+ and # may stand in it), in the publisher's thread."""
        self._ears = {**self._ears, topic: hear}
        self.wake()

    def repeat_states(self) -> None:
        """Send every state once more, for somebody who has just come."""
        self._repeat.set()
        self.wake()

    def check(self) -> None:
        """Raise what ended the thread, if anything did: only ``stop`` ends it otherwise."""
        if isinstance(self._error, HivewatchError):
            raise self._error
        if self._error is not None:
            raise PublishError(f"the publisher failed unexpectedly: {self._error!r}") from self._error
        if not (self._thread.is_alive() or self._stopping.is_set()):
            raise PublishError("the publisher's thread has ended although nobody stopped it")

    @property
    def hangs(self) -> bool:
        """Whether the thread has been in one step for longer than any step takes: nothing is sent then."""
        return time.monotonic() > self._next_step_by_s

    def drain(self, timeout_s: float) -> bool:
        """Wait until all that was recorded so far is acknowledged; return whether that came in time."""
        drained = self._drained = threading.Event()
        self.wake()
        return drained.wait(timeout_s)

    def stop(self, timeout_s: float) -> None:
        """Send what there is time for, say offline and disconnect; the rest goes out at the next start.

        Returns after ``timeout_s`` at the latest, and at once where there is no connection.
        """
        now_s = time.monotonic()
        self._send_until_s = now_s + LAST_SENDING_SHARE * timeout_s
        self._stop_by_s = now_s + timeout_s
        self._stopping.set()
        self.wake()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            log.warning("the connection to the broker did not end within %g s: left to itself", timeout_s)
            return
        self._waker.close()
        self._wakened.close()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                try:
                    self._serve()
                except PublishError as error:
                    self._failures_in_a_row += 1
                    words = f"not connected: {error}; sightings are kept and sent later"
                    self._say(logging.WARNING, "broker_lost", words)
                    pause_s = self._back_off_s()
                    self._note_step(pause_s)
                    self._stopping.wait(pause_s)
        except Exception as error:
            log.exception("the publisher failed", extra={"CODE": "publisher_failed"})
            self._error = error

    def _serve(self) -> None:
        """Hold one connection: returns when told to stop, raises PublishError when it is lost."""
        will = None if self._offline is None else (self._offline, self._envelope(self._offline))
        connection = Connection(self._config, self._client_id, self._password, self._context, will)
        self._note_step()
        try:
            connection.dial()
            self._await(
                connection, connection.accepted, CONNECT_TIMEOUT_S, "what listens there is no MQTT broker"
            )
            heard = self._subscribe(connection)
            if self._online is not None:
                self._send(connection, self._online)
            self._failures_in_a_row = 0
            self.connections += 1
            self.is_connected = True
            self._say(logging.INFO, "broker_connected", "connected")
            self._empty_outbox(connection, heard)
            if self._offline is not None:
                self._send(connection, self._offline)
            connection.disconnect()
        finally:
            self.is_connected = False
            connection.close()

    def _empty_outbox(self, connection: Connection, heard: Mapping[str, Hear]) -> None:
        """Send whatever comes until told to stop; ``heard`` is what this connection has subscribed to."""
        told: dict[str, Message] = {}
        while time.monotonic() < self._send_until_s:
            if heard is not self._ears:
                heard = self._subscribe(connection)
            if self._repeat.is_set():
                self._repeat.clear()
                told.clear()
            # Both are read before states and outbox: what came before they were set is then found there.
            drained, stopping = self._drained, self._stopping.is_set()
            self._send_states(connection, told)
            self._send_remarks(connection)
            entries = self._patiently(connection, lambda: self._outbox.pending(1))
            if entries and self._send_entry(connection, entries[0]):
                continue
            if drained is not None and not entries:
                drained.set()
            if stopping:
                return
            self._turn(connection, LOOK_AGAIN_S)

    def _patiently(self, connection: Connection, action: Callable[[], T]) -> T:
        """Do ``action``; on a full disk try again until the data path has made room."""
        while True:
            try:
                return action()
            except DiskFullError as error:
                words = f"nothing is sent until there is room on the disk: {error}"
                self._say(logging.WARNING, "disk_full", words)
                if self._stopping.is_set():
                    raise PublishError("stopped while the disk was full") from error
                self._turn(connection, LOOK_AGAIN_S)

    def _send_entry(self, connection: Connection, entry: OutboxEntry) -> bool:
        """Send what waited longest and remove it; False where the broker would not have it a moment ago."""
        if self._refusals.holds(entry.id):
            return False
        if not self._send(connection, entry.message):
            self._refusals.hold(entry.id)
            return False
        self._patiently(connection, partial(self._outbox.mark_sent, entry.id))
        return True

    def _send_remarks(self, connection: Connection) -> None:
        while self._remarks:
            message = self._remarks.popleft()
            try:
                self._send(connection, message)
            except PublishError:
                self._remarks.appendleft(message)
                raise

    def _send_states(self, connection: Connection, told: dict[str, Message]) -> None:
        """Send each state that this connection has not ``told`` yet."""
        for topic, message in list(self._states.items()):
            if told.get(topic) is not message:
                self._send(connection, message)
                told[topic] = message

    def _send(self, connection: Connection, message: Message) -> bool:
        """Return whether the broker has taken it; where it says that it would not, that is logged once."""
        sending = connection.publish(message, self._envelope(message))
        time_limit_s = self._config.acknowledge_timeout_s + len(message.payload) / SLOWEST_LINK_BYTES_PER_S
        complaint = f"no acknowledgement within {time_limit_s:.0f} s"
        self._await(connection, lambda: sending.answered, time_limit_s, complaint)
        self._refusals.note("publish on", message.topic, sending.refusal)
        return not sending.refusal

    def _subscribe(self, connection: Connection) -> Mapping[str, Hear]:
        """Ask for what is listened to, and return it; where that is refused the rest goes on."""
        ears = self._ears
        if ears:
            sending = connection.subscribe(ears, self._hear)
            complaint = "no answer to a subscription"
            self._await(connection, lambda: sending.answered, CONNECT_TIMEOUT_S, complaint)
            self._refusals.note("subscribe to", ", ".join(ears), sending.refusal)
        return ears

    def _hear(self, message: Message) -> None:
        for topic, hear in self._ears.items():
            if topic_matches_sub(topic, message.topic):
                hear(message)

    def _await(
        self, connection: Connection, condition: Callable[[], bool], timeout_s: float, complaint: str
    ) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            left_s = min(deadline_s, self._stop_by_s) - time.monotonic()
            if left_s <= 0:
                raise PublishError(complaint)
            self._turn(connection, min(left_s, LOOK_AGAIN_S))

    def _turn(self, connection: Connection, timeout_s: float) -> None:
        self._note_step()
        connection.turn(self._wakened, timeout_s)

    def _note_step(self, pause_s: float = 0.0) -> None:
        """Note that the thread gets on, and will be silent for ``pause_s`` on purpose."""
        self._next_step_by_s = time.monotonic() + pause_s + LONGEST_CALL_S

    def _back_off_s(self) -> float:
        """Return how long to wait: doubled each time up to a bound, and spread so that hives do not march."""
        doubled_s = FIRST_RECONNECT_S * 2.0 ** min(self._failures_in_a_row - 1, 12)
        return random.uniform(0.5, 1.0) * min(doubled_s, self._config.reconnect_longest_s)

    def _say(self, level: int, code: str, text: str) -> None:
        """Log a state of the connection once, not at every attempt that finds it the same."""
        if text != self._said:
            self._said = text
            broker = self._config.host, self._config.port
            log.log(level, "MQTT broker %s:%d: %s", *broker, text, extra={"CODE": code})
