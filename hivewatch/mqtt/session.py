"""What the publisher does over one connection, from connect to disconnect.

One message at a time is on its way, so the order is kept whatever happens, and memory holds one picture
however long the outbox grows.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol, TypeVar

from paho.mqtt.client import topic_matches_sub

from hivewatch.domain.wire import Message, OutboxEntry
from hivewatch.errors import DiskFullError, PublishError, UnwantedPacketError
from hivewatch.mqtt import waiting
from hivewatch.mqtt.connection import CONNECT_TIMEOUT_S, Connection, OnMessage
from hivewatch.mqtt.losses import SMALLEST_SUSPECT_BYTES, GivenUpError, Losses
from hivewatch.mqtt.mailbox import Mailbox
from hivewatch.mqtt.monitor import Monitor
from hivewatch.mqtt.packets import Reply
from hivewatch.mqtt.refusals import Refusals

POLL_S = 1.0
"""The outbox is read at least this often, even if the thread is not woken."""
SLOWEST_LINK_BYTES_PER_S = 4000
"""The time limit for an acknowledgement grows with the size: a picture gets through a link this slow."""

# What becomes of a state, a one-shot message, a picture and an event that are too large for the broker.
_NOT_SENT, _DROPPED, _STORED, _WAITS = "it is not sent", "it is dropped", "it stays in the store", "it waits"

T = TypeVar("T")


class NoAnswerError(PublishError):
    """The broker did not answer in time."""


class Outbox(Protocol):
    """The part of the store that the publisher needs."""

    def pending(self, limit: int) -> list[OutboxEntry]:
        """Return the oldest entries, in order."""

    def mark_sent(self, entry_id: int) -> None:
        """Remove an entry that the broker has acknowledged."""

    def set_aside(self, entry_id: int) -> None:
        """Remove an entry that the broker does not take, and count it as not sent."""


class Session:
    """Publishes the contents of the mailbox and the outbox over one connection."""

    def __init__(
        self,
        connection: Connection,
        mailbox: Mailbox,
        outbox: Outbox,
        *,
        availability: tuple[Message, Message] | None,
        acknowledge_timeout_s: float,
        monitor: Monitor,
        refusals: Refusals,
        losses: Losses,
    ) -> None:
        """``availability`` is the message to send when connected and the one before the disconnect."""
        self._connection = connection
        self._mailbox = mailbox
        self._outbox = outbox
        self._online: Message | None
        self._offline: Message | None
        self._online, self._offline = availability or (None, None)
        self._acknowledge_timeout_s = acknowledge_timeout_s
        self._monitor = monitor
        self._refusals = refusals
        self._losses = losses
        self._is_answered = False
        self._told: set[str] = set()
        self._subscriptions: Mapping[str, OnMessage] = {}
        self._published: dict[str, Message] = {}

    def run(self) -> None:
        """Connect and publish until a stop is requested; raises PublishError if the connection is lost."""
        self._monitor.note_step()
        waiting.connect(self._connection, CONNECT_TIMEOUT_S, self._run_once)
        self._subscribe()
        if self._online is not None:
            self._send(self._online)
        self._monitor.note_connected()
        self._publish_until_stop()
        if self._offline is not None:
            self._send(self._offline)
        self._connection.disconnect()

    def _publish_until_stop(self) -> None:
        while not self._mailbox.is_sending_over:
            if self._mailbox.subscriptions is not self._subscriptions:
                self._subscribe()
            if self._mailbox.take_repeat():
                self._published.clear()
            # Read both requests before sending: everything put in before a request is then sent first.
            drained, is_stopping = self._mailbox.drain_request, self._mailbox.is_stop_requested
            self._send_states()
            self._send_one_shots()
            entries = self._retry_while_disk_full(lambda: self._outbox.pending(1))
            if entries and self._send_entry(entries[0]):
                continue
            if drained is not None and not entries:
                drained.set()
            if is_stopping:
                return
            self._run_once(POLL_S)

    def _subscribe(self) -> None:
        """Subscribe to the topics in the mailbox; if the broker refuses that, publishing continues.

        After unwanted packets, publish without: this is called again until subscribing is worth a try.
        """
        if not self._losses.may_subscribe:
            return
        topics = self._subscriptions = self._mailbox.subscriptions
        if topics:
            reply = self._connection.subscribe(topics, self._dispatch)
            self._wait_for(reply, CONNECT_TIMEOUT_S, "no answer to a subscription")
            self._refusals.note("subscribe to", ", ".join(topics), reply.refusal)

    def _dispatch(self, message: Message) -> None:
        for topic, on_message in self._mailbox.subscriptions.items():
            if topic_matches_sub(topic, message.topic):
                on_message(message)

    def _send_states(self) -> None:
        """Send each state that was not published over this connection yet."""
        for message in self._mailbox.states():
            if self._published.get(message.topic) is message:
                continue
            if self._losses.is_hopeless(message):
                self._note_too_large(message, "the connection was lost on one no larger", _NOT_SENT)
            else:
                self._send(message, _NOT_SENT)
            self._published[message.topic] = message

    def _send_one_shots(self) -> None:
        while (message := self._mailbox.take_one_shot()) is not None:
            try:
                self._send(message, _DROPPED)
            except GivenUpError:
                raise
            except PublishError:
                self._mailbox.put_back(message)
                raise

    def _send_entry(self, entry: OutboxEntry) -> bool:
        """Send an outbox entry and remove it; return False if the broker refuses it, now or a moment ago.

        A picture that is too large for the broker is removed unsent. An event stays: it is what matters.
        """
        if self._refusals.holds(entry.id):
            return False
        set_aside = partial(self._retry_while_disk_full, partial(self._outbox.set_aside, entry.id))
        try:
            reply = self._send(entry.message, _STORED if entry.is_picture else _WAITS)
        except GivenUpError as error:
            if not entry.is_picture:
                raise PublishError(f"{error}") from error  # it is still there: the next connection fails too
            set_aside()
            raise
        if reply.is_too_large and entry.is_picture:
            set_aside()
        elif reply.refusal:
            self._refusals.hold(entry.id)
            return False
        else:
            self._retry_while_disk_full(partial(self._outbox.mark_sent, entry.id))
        return True

    def _send(self, message: Message, if_too_large: str = _NOT_SENT) -> Reply:
        """Send ``message`` and return the broker's answer; ``if_too_large`` says what happens to it then.

        Raises GivenUpError if the connection was lost and the message is not worth another one.
        """
        timeout_s = self._acknowledge_timeout_s + len(message.payload) / SLOWEST_LINK_BYTES_PER_S
        try:
            reply = self._connection.publish(message)
            self._wait_for(reply, timeout_s, f"no acknowledgement within {timeout_s:.0f} s")
        except PublishError as error:
            if self._is_perhaps_too_large(error):
                self._note_lost(message, if_too_large, error)
            raise
        self._is_answered = True
        if reply.is_too_large:
            self._note_too_large(message, reply.refusal, if_too_large)
        else:
            self._losses.note_sent(message)
            self._refusals.note("publish on", message.topic, reply.refusal)
        return reply

    def _is_perhaps_too_large(self, error: PublishError) -> bool:
        """Return whether the size of a message can be why the connection was lost on it."""
        if isinstance(error, UnwantedPacketError) or self._mailbox.is_stop_requested:
            return False
        # A broker that acknowledges nothing at all has another fault.
        return self._is_answered or not isinstance(error, NoAnswerError)

    def _note_lost(self, message: Message, if_too_large: str, error: PublishError) -> None:
        """Raise GivenUpError if that was once too often; else say what was being sent, if that matters."""
        try:
            self._losses.note_lost(message)
        except GivenUpError as given_up:
            self._note_too_large(message, f"{given_up}", if_too_large)
            raise
        if type(error) is PublishError and len(message.payload) >= SMALLEST_SUSPECT_BYTES:
            size = f"{len(message.payload)} bytes on {message.topic}"
            raise PublishError(f"{error}, while the broker was sent {size}") from error

    def _note_too_large(self, message: Message, reason: str, consequence: str) -> None:
        # A state or an event is tried again, and one line for each connection is enough.
        if consequence in {_NOT_SENT, _WAITS}:
            if message.topic in self._told:
                return
            self._told.add(message.topic)
        self._refusals.note_too_large(message, reason, consequence)

    def _retry_while_disk_full(self, action: Callable[[], T]) -> T:
        """Return the result of ``action``; on a full disk, try again until there is room."""
        while True:
            try:
                return action()
            except DiskFullError as error:
                text = f"nothing is sent until there is room on the disk: {error}"
                self._monitor.log_change(logging.WARNING, "disk_full", text)
                if self._mailbox.is_stop_requested:
                    raise PublishError("stopped while the disk was full") from error
                self._run_once(POLL_S)

    def _wait_for(self, reply: Reply, timeout_s: float, complaint: str) -> None:
        if not waiting.wait_for(lambda: reply.is_answered, timeout_s, self._run_once):
            raise NoAnswerError(complaint)

    def _run_once(self, timeout_s: float) -> None:
        left_s = self._mailbox.left_s
        if left_s <= 0:
            raise PublishError("stopped before the broker answered")
        self._monitor.note_step()
        self._connection.run_once(self._mailbox.wake_reader, min(timeout_s, left_s, POLL_S))
