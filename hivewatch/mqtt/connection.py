"""One connection to the MQTT broker, from connect to disconnect, run by the thread that uses it."""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from hivewatch.config.sections import MqttConfig
from hivewatch.domain.wire import Envelope, Message
from hivewatch.errors import PublishError, UnwantedPacketError
from hivewatch.mqtt import failures, tls
from hivewatch.mqtt.client import BoundedClient
from hivewatch.mqtt.credentials import Credentials
from hivewatch.mqtt.packets import Reply, make_properties, packet_bytes

CONNECT_TIMEOUT_S = 5.0
QOS = 1
LARGEST_INCOMING_BYTES = 64 * 1024
"""A connection with a larger packet is dropped: no message to a hive is that large."""

OnMessage = Callable[[Message], None]
MakeEnvelope = Callable[[Message], Envelope]


def no_envelope(_message: Message) -> Envelope:
    """Return an empty envelope: the message travels without MQTT 5 properties."""
    return Envelope()


class ConnectError(PublishError):
    """The socket could not be opened or encrypted; ``__cause__`` says why."""


class HandshakeError(PublishError):
    """The server was reached, and neither accepted nor refused the connection as a broker does."""


class Connection:
    """A connection over MQTT 3.1.1 or 5.

    All methods must be called from one thread; they raise PublishError if the connection is lost. Whatever
    else the client library raises is a lost connection too: a broker can send anything.
    paho-mqtt is driven through its interface for external event loops, so it starts no thread of its own.
    """

    def __init__(
        self,
        config: MqttConfig,
        client_id: str,
        credentials: Credentials,
        will: Message | None = None,
        make_envelope: MakeEnvelope = no_envelope,
        largest_incoming_bytes: int = LARGEST_INCOMING_BYTES,
    ) -> None:
        """Set up the client without connecting.

        The broker publishes ``will`` if the connection ends without ``disconnect``. ``make_envelope`` returns
        the MQTT 5 properties of a message. A larger packet than ``largest_incoming_bytes`` ends the
        connection.
        """
        self._config = config
        self._is_v5 = config.version == 5
        self._make_envelope = make_envelope
        self._refusal = ""
        self._is_accepted = False
        self._replies: dict[int, Reply] = {}
        self._received: list[Message] = []
        self._on_message: OnMessage = lambda _message: None
        self._largest_outgoing_bytes: float = float("inf")
        self._client = BoundedClient(
            CallbackAPIVersion.VERSION2,
            client_id,
            protocol=mqtt.MQTTv5 if self._is_v5 else mqtt.MQTTv311,
            reconnect_on_failure=False,
        )
        self._client.largest_bytes = largest_incoming_bytes
        self._client.connect_timeout = CONNECT_TIMEOUT_S
        self._set_callbacks()
        if credentials.tls_context is not None:
            self._client.tls_set_context(credentials.tls_context)
        if will is not None:
            properties = self._properties(make_envelope(will), PacketTypes.WILLMESSAGE)
            self._client.will_set(will.topic, will.payload, QOS, will.retained, properties)
        if config.username:
            self._client.username_pw_set(config.username, credentials.password)

    @property
    def is_accepted(self) -> bool:
        """Whether the broker has accepted the connection."""
        return self._is_accepted

    def connect(self) -> None:
        """Open the socket and send CONNECT; blocks at most ``CONNECT_TIMEOUT_S`` per address.

        Raises ConnectError if the socket cannot be opened or encrypted.
        """
        config, properties = self._config, self._properties(Envelope(), PacketTypes.CONNECT)
        if properties is not None:
            properties.MaximumPacketSize = self._client.largest_bytes
        with self._library():
            try:
                self._client.connect_async(
                    config.host, config.port, config.keepalive_s, properties=properties
                )
                self._client.reconnect()
            except (OSError, UnicodeError) as error:
                raise ConnectError(failures.describe(error, CONNECT_TIMEOUT_S)) from error

    def publish(self, message: Message) -> Reply:
        """Start to send ``message``; MQTT 3.1.1 carries no envelope and reports no refusals.

        A message larger than an MQTT 5 broker takes is refused here: it would end the connection.
        """
        properties = self._properties(self._make_envelope(message), PacketTypes.PUBLISH)
        with self._library():
            size_bytes = packet_bytes(message, properties)
            if size_bytes > self._largest_outgoing_bytes:
                refusal = f"the broker takes at most {self._largest_outgoing_bytes} bytes"
                return Reply(is_answered=True, refusal=refusal, is_too_large=True)
            sent = self._client.publish(message.topic, message.payload, QOS, message.retained, properties)
            self._check(sent.rc)
        return self._replies.setdefault(sent.mid, Reply())

    def subscribe(self, topics: Iterable[str], on_message: OnMessage, *, own: bool = False) -> Reply:
        """Subscribe to ``topics``; ``run_once`` calls ``on_message`` for each message that arrives.

        With MQTT 5 the messages that this connection publishes itself come back only if ``own`` is set.
        """
        self._on_message = on_message
        # With MQTT 5, commands that were retained must be recognised and ignored.
        options: Any = SubscribeOptions(QOS, noLocal=not own, retainAsPublished=True) if self._is_v5 else QOS
        with self._library():
            code, mid = self._client.subscribe([(topic, options) for topic in topics])
            self._check(code)
        return self._replies.setdefault(mid or 0, Reply())

    def run_once(self, wake_reader: socket.socket | None, timeout_s: float) -> None:
        """Handle network traffic, waiting for it up to ``timeout_s`` or until ``wake_reader`` is readable.

        The bytes waiting in ``wake_reader`` are read and dropped.
        """
        with self._library():
            self._run_once(wake_reader, timeout_s)
        # Outside: an error in what receives the messages is not one of the connection.
        received, self._received = self._received, []
        for message in received:
            self._on_message(message)

    def disconnect(self) -> None:
        """Send DISCONNECT, so that the broker does not publish the will."""
        with self._library():
            self._check(self._client.disconnect())

    def close(self) -> None:
        """Close the socket if it is still open."""
        own = self._client.socket()
        if own is not None:
            own.close()

    @contextmanager
    def _library(self) -> Iterator[None]:
        """Convert whatever the client library raises to PublishError."""
        try:
            yield
        except PublishError:
            raise
        except Exception as error:
            raise UnwantedPacketError(failures.unreadable(error)) from error

    def _run_once(self, wake_reader: socket.socket | None, timeout_s: float) -> None:
        own = self._client.socket()
        if own is None:
            raise self._lost(failures.LOST)
        readers = [own] if wake_reader is None else [own, wake_reader]
        writers = [own] if self._client.want_write() else []
        # select() does not see bytes that TLS has already decrypted.
        has_more = isinstance(own, ssl.SSLSocket) and own.pending() > 0
        readable, writable, _ = select.select(readers, writers, [], 0.0 if has_more else timeout_s)
        if wake_reader is not None and wake_reader in readable:
            with suppress(BlockingIOError):
                wake_reader.recv(4096)
        if own in readable or has_more:
            self._check(self._client.loop_read())
        if own in writable:
            self._check(self._client.loop_write())
        self._check(self._client.loop_misc())

    def _set_callbacks(self) -> None:
        self._client.on_message = lambda _client, _data, message: self._received.append(
            Message(message.topic, bytes(message.payload), bool(message.retain))
        )
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_publish = lambda _client, _data, mid, reason, _more: self._on_reply(mid, [reason])
        self._client.on_subscribe = lambda _client, _data, mid, reasons, _more: self._on_reply(mid, reasons)
        self._client.on_log = self._on_log

    def _on_connect(
        self,
        _client: mqtt.Client,
        _data: object,
        _flags: object,
        reason: ReasonCode,
        more: Properties | None,
    ) -> None:
        self._is_accepted = not reason.is_failure
        if reason.is_failure:
            self._refusal = failures.refused(f"{reason}")
        # 0, which MQTT forbids, would forbid every message.
        self._largest_outgoing_bytes = getattr(more, "MaximumPacketSize", 0) or float("inf")

    def _on_disconnect(
        self,
        _client: mqtt.Client,
        _data: object,
        flags: mqtt.DisconnectFlags,
        reason: ReasonCode,
        _more: Properties | None,
    ) -> None:
        if flags.is_disconnect_packet_from_server and not self._refusal:
            self._refusal = f"the broker closed the connection: {reason}"

    def _on_log(self, _client: mqtt.Client, _data: object, level: int, text: str) -> None:
        # paho returns only an error number for a broken connection and logs the reason.
        if level == mqtt.MQTT_LOG_ERR and not self._refusal:
            self._refusal = tls.describe_alert(text) or ""

    def _on_reply(self, mid: int, reasons: list[ReasonCode]) -> None:
        (self._replies.pop(mid, None) or Reply()).note(reasons)

    def _properties(self, envelope: Envelope, packet: int) -> Properties | None:
        return make_properties(envelope, packet) if self._is_v5 else None

    def _check(self, code: MQTTErrorCode) -> None:
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise self._lost(mqtt.error_string(code).rstrip(".").lower())

    def _lost(self, reason: str) -> PublishError:
        if not self._is_accepted:
            is_closed = reason == failures.LOST
            reason = failures.DROPPED if is_closed else failures.NOT_MQTT
            if not self._refusal:
                return HandshakeError(reason)
        return PublishError(self._refusal or reason)
