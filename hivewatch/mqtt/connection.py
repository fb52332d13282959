"""One connection to the MQTT broker, from dialling to goodbye, driven by the thread that uses it."""

from __future__ import annotations

import errno
import select
import socket
import ssl
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from hivewatch.config.sections import MqttConfig
from hivewatch.domain.wire import Envelope, Message
from hivewatch.errors import PublishError
from hivewatch.mqtt import tls

CONNECT_TIMEOUT_S = 5.0
QOS = 1
# With MQTT 5 the broker keeps larger ones away: nothing of that size is meant for a hive.
LARGEST_INCOMING_BYTES = 64 * 1024
_BROKEN_OFF = "what listens there broke the connection off; check mqtt.port and mqtt.tls.enabled"

Hear = Callable[[Message], None]


@dataclass(slots=True)
class Sending:
    """Something the broker answers: ``refusal`` says why it would not have it, if it tells."""

    answered: bool = False
    refusal: str = ""


class Connection:
    """A connection, MQTT 3.1.1 or 5.

    All methods belong to one thread and raise PublishError when it is lost.
    paho-mqtt is run through its interface for external event loops, so it starts no thread of its own.
    """

    def __init__(
        self,
        config: MqttConfig,
        client_id: str,
        password: str | None,
        context: ssl.SSLContext | None,
        will: tuple[Message, Envelope] | None,
    ) -> None:
        """Prepare only. The broker publishes ``will`` if the connection ends without ``disconnect``.

        ``context`` encrypts the connection; None leaves it in clear.
        """
        self._config = config
        self._is_v5 = config.version == 5
        self._refusal = ""
        self._accepted = False
        self._sendings: dict[int, Sending] = {}
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id,
            protocol=mqtt.MQTTv5 if self._is_v5 else mqtt.MQTTv311,
            reconnect_on_failure=False,
        )
        self._client.connect_timeout = CONNECT_TIMEOUT_S
        self._set_callbacks()
        if context is not None:
            self._client.tls_set_context(context)
        if will is not None:
            message, envelope = will
            properties = self._properties(envelope, PacketTypes.WILLMESSAGE)
            self._client.will_set(message.topic, message.payload, QOS, message.retained, properties)
        if config.username:
            self._client.username_pw_set(config.username, password)

    def dial(self) -> None:
        """Open the socket and ask to be let in; blocks at most ``CONNECT_TIMEOUT_S`` for each address."""
        config, properties = self._config, self._properties(Envelope(), PacketTypes.CONNECT)
        if properties is not None:
            properties.MaximumPacketSize = LARGEST_INCOMING_BYTES
        try:
            self._client.connect_async(config.host, config.port, config.keepalive_s, properties=properties)
            self._client.reconnect()
        except (OSError, UnicodeError) as error:
            raise PublishError(_in_words(error)) from error

    def accepted(self) -> bool:
        """Tell whether the broker has let us in."""
        return self._accepted

    def publish(self, message: Message, envelope: Envelope) -> Sending:
        """Begin to send ``message``; with MQTT 3.1.1 without ``envelope`` and refusals."""
        properties = self._properties(envelope, PacketTypes.PUBLISH)
        sent = self._client.publish(message.topic, message.payload, QOS, message.retained, properties)
        self._demand(sent.rc)
        return self._sendings.setdefault(sent.mid, Sending())

    def subscribe(self, topics: Iterable[str], hear: Hear, *, own: bool = False) -> Sending:
        """Ask for ``topics``; ``hear`` is called for what comes on them, from within ``turn``.

        With MQTT 5 what this connection sends itself comes back only where ``own`` is asked for.
        """

        def on_message(_client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
            hear(Message(message.topic, bytes(message.payload), bool(message.retain)))

        self._client.on_message = on_message
        if self._is_v5:
            # A retained command must be known as one.
            options = SubscribeOptions(QOS, noLocal=not own, retainAsPublished=True)
            code, mid = self._client.subscribe([(topic, options) for topic in topics])
        else:
            code, mid = self._client.subscribe([(topic, QOS) for topic in topics])
        self._demand(code)
        return self._sendings.setdefault(mid or 0, Sending())

    def turn(self, waker: socket.socket, timeout_s: float) -> None:
        """Do what the network asks for, or return once ``waker`` is readable (read empty) or time is up."""
        own = self._client.socket()
        if own is None:
            raise self._lost("the connection was lost")
        writers = [own] if self._client.want_write() else []
        # What is decrypted already no select can see.
        has_more = isinstance(own, ssl.SSLSocket) and own.pending() > 0
        readable, writable, _ = select.select([own, waker], writers, [], 0.0 if has_more else timeout_s)
        if waker in readable:
            with suppress(BlockingIOError):
                waker.recv(4096)
        if own in readable or has_more:
            self._demand(self._client.loop_read())
        if own in writable:
            self._demand(self._client.loop_write())
        self._demand(self._client.loop_misc())

    def disconnect(self) -> None:
        """Say goodbye, so that the broker does not publish the will."""
        self._demand(self._client.disconnect())

    def close(self) -> None:
        """Close the socket, if it still is open."""
        own = self._client.socket()
        if own is not None:
            own.close()

    def _set_callbacks(self) -> None:
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_publish = lambda _client, _data, mid, reason, _more: self._answered(mid, [reason])
        self._client.on_subscribe = lambda _client, _data, mid, reasons, _more: self._answered(mid, reasons)
        self._client.on_log = self._on_log

    def _on_connect(
        self,
        _client: mqtt.Client,
        _data: object,
        _flags: object,
        reason: ReasonCode,
        _more: Properties | None,
    ) -> None:
        self._accepted = not reason.is_failure
        if reason.is_failure:
            self._refusal = f"the broker refuses the connection: {reason}{self._hint(reason)}"

    def _on_disconnect(
        self,
        _client: mqtt.Client,
        _data: object,
        flags: mqtt.DisconnectFlags,
        reason: ReasonCode,
        _more: Properties | None,
    ) -> None:
        if flags.is_disconnect_packet_from_server and not self._refusal:
            self._refusal = f"the broker has ended the connection: {reason}"

    def _on_log(self, _client: mqtt.Client, _data: object, level: int, text: str) -> None:
        # Of what breaks a connection paho hands on a number; the reason it only logs.
        if level == mqtt.MQTT_LOG_ERR and not self._refusal:
            self._refusal = tls.alert_in_words(text) or ""

    def _answered(self, mid: int, reasons: list[ReasonCode]) -> None:
        sending = self._sendings.pop(mid, None) or Sending()
        refusals = [f"{reason}" for reason in reasons if reason.is_failure]
        sending.answered, sending.refusal = True, refusals[0] if refusals else ""

    def _hint(self, reason: ReasonCode) -> str:
        text = f"{reason}".lower()
        if "authori" in text or "password" in text:
            return "; check mqtt.username and mqtt.password_file"
        if "protocol version" in text:
            return "; set mqtt.version to another"
        return "; another client uses mqtt.client_id" if "identifier" in text else ""

    def _properties(self, envelope: Envelope, packet: int) -> Properties | None:
        if not self._is_v5:
            return None
        properties = Properties(packet)  # type: ignore[no-untyped-call]
        if envelope.content_type is not None:
            properties.ContentType = envelope.content_type
        if envelope.expiry_s is not None:
            properties.MessageExpiryInterval = envelope.expiry_s
        if envelope.properties:
            properties.UserProperty = list(envelope.properties)
        return properties

    def _demand(self, code: MQTTErrorCode) -> None:
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise self._lost(mqtt.error_string(code).rstrip(".").lower())

    def _lost(self, reason: str) -> PublishError:
        if not self._accepted:
            reason = _BROKEN_OFF
        return PublishError(self._refusal or reason)


def _in_words(error: OSError | UnicodeError) -> str:
    match error:
        case ssl.SSLError():
            return tls.in_words(error)
        case socket.gaierror() | UnicodeError():
            return f"the host name is unknown ({error})"
        case ConnectionRefusedError():
            return "nothing listens on that port"
        case ConnectionResetError():
            return _BROKEN_OFF
        case TimeoutError():
            return f"no answer within {CONNECT_TIMEOUT_S:g} s"
        case OSError(errno=errno.ENETUNREACH | errno.EHOSTUNREACH):
            return f"there is no route to it: check the hive's network and mqtt.host ({error})"
        case _:
            return str(error)
