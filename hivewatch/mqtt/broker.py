"""One connection to the MQTT broker, from dialling to goodbye, driven by the thread that uses it."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from contextlib import suppress

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from hivewatch.config import MqttConfig
from hivewatch.domain import Message
from hivewatch.errors import PublishError

CONNECT_TIMEOUT_S = 5.0
QOS = 1


class Connection:
    """A connection, with MQTT 3.1.1 unless another ``protocol`` is named.

    All methods belong to one thread and raise PublishError when it is lost.
    paho-mqtt is run through its interface for external event loops, so it starts no thread of its own.
    """

    def __init__(
        self,
        config: MqttConfig,
        client_id: str,
        password: str | None,
        will: Message | None,
        protocol: MQTTProtocolVersion = mqtt.MQTTv311,
    ) -> None:
        """Prepare only. The broker publishes ``will`` if the connection ends without ``disconnect``."""
        self._config = config
        self._refusal = ""
        self._accepted = False
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id, protocol=protocol, reconnect_on_failure=False
        )
        self._client.connect_timeout = CONNECT_TIMEOUT_S
        self._client.on_connect = self._on_connect
        if will is not None:
            self._client.will_set(will.topic, will.payload, QOS, will.retained)
        if config.username:
            self._client.username_pw_set(config.username, password)

    def dial(self) -> None:
        """Open the socket and ask to be let in; blocks at most ``CONNECT_TIMEOUT_S`` for each address."""
        try:
            self._client.connect_async(self._config.host, self._config.port, self._config.keepalive_s)
            self._client.reconnect()
        except (OSError, UnicodeError) as error:
            raise PublishError(_in_words(error)) from error

    def accepted(self) -> bool:
        """Tell whether the broker has let us in."""
        return self._accepted

    def publish(self, message: Message) -> Callable[[], bool]:
        """Begin to send ``message``; the function returned tells whether the broker has acknowledged it."""
        sent = self._client.publish(message.topic, message.payload, QOS, message.retained)
        self._demand(sent.rc)
        return sent.is_published

    def turn(self, waker: socket.socket, timeout_s: float) -> None:
        """Do what the network asks for, or return once ``waker`` is readable (read empty) or time is up."""
        own = self._client.socket()
        if own is None:
            raise PublishError("the connection was lost")
        writers = [own] if self._client.want_write() else []
        readable, writable, _ = select.select([own, waker], writers, [], timeout_s)
        if waker in readable:
            with suppress(BlockingIOError):
                waker.recv(4096)
        if own in readable:
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
            hint = "; check mqtt.username and mqtt.password_file" if "authori" in f"{reason}".lower() else ""
            self._refusal = f"the broker refuses the connection: {reason}{hint}"

    def _demand(self, code: MQTTErrorCode) -> None:
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise PublishError(self._refusal or mqtt.error_string(code).rstrip(".").lower())


def _in_words(error: OSError | UnicodeError) -> str:
    match error:
        case socket.gaierror() | UnicodeError():
            return f"the host name is unknown ({error})"
        case ConnectionRefusedError():
            return "nothing listens on that port"
        case TimeoutError():
            return f"no answer within {CONNECT_TIMEOUT_S:g} s"
        case _:
            return str(error)
