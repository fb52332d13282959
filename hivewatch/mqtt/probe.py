"""Tries a broker out: lets it take a message and give it back, and tells at which step that fails."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import paho.mqtt.client as mqtt
from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from hivewatch.config import MqttConfig
from hivewatch.domain import Message
from hivewatch.errors import PublishError
from hivewatch.mqtt.broker import QOS, Connection
from hivewatch.mqtt.publisher import read_password

STEP_S = 5.0
"""How long each step may take: to be let in, to be acknowledged, to get the message back."""


class Outcome(StrEnum):
    """How far it went."""

    NO_ROUTE = "no route"
    REFUSED = "refused"
    NO_BROKER = "no broker"
    BAD_CREDENTIALS = "bad credentials"
    NOT_AUTHORISED = "not authorised"
    UNREADABLE = "not given back"
    WORKS = "works"


@dataclass(frozen=True, slots=True)
class Probed:
    """The outcome, and what the network or the broker said about it."""

    outcome: Outcome
    detail: str = ""


class _Failed(Exception):  # noqa: N818  an outcome, not an error
    def __init__(self, outcome: Outcome, detail: str) -> None:
        super().__init__(detail)
        self.probed = Probed(outcome, detail)


def probe(config: MqttConfig, client_id: str, topic: str) -> Probed:
    """Publish a message to ``topic``, not retained, and read it back; takes up to some 20 s.

    With MQTT 5, which says whether publishing is allowed; with 3.1.1, as the daemon, where a broker has no 5.
    Raises ConfigError where the password cannot be read.
    """
    password = read_password(config.password_file)
    probed = _probe(config, client_id, password, topic, mqtt.MQTTv5)
    if probed.outcome is Outcome.NO_BROKER:
        probed = _probe(config, client_id, password, topic, mqtt.MQTTv311)
    return probed


def _probe(
    config: MqttConfig, client_id: str, password: str | None, topic: str, protocol: MQTTProtocolVersion
) -> Probed:
    connection = _Connection(config, client_id, password, protocol)
    try:
        connection.let_in()
        connection.exchange(Message(topic, f"probe {secrets.token_hex(8)}".encode(), retained=False))
        connection.disconnect()
    except _Failed as failed:
        return failed.probed
    except PublishError as error:
        return Probed(Outcome.NO_BROKER, str(error))
    finally:
        connection.close()
    return Probed(Outcome.WORKS)


class _Connection(Connection):
    """A connection that also listens, and notes why it is refused."""

    def __init__(
        self, config: MqttConfig, client_id: str, password: str | None, protocol: MQTTProtocolVersion
    ) -> None:
        super().__init__(config, client_id, password, None, protocol)
        self._granted: bool | None = None
        self._received: list[bytes] = []
        self._denied = ""
        self._waker, self._wakened = socket.socketpair()
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = lambda _client, _data, message: self._received.append(
            bytes(message.payload)
        )
        self._client.on_publish = self._on_publish

    def let_in(self) -> None:
        """Connect; raises _Failed."""
        try:
            self.dial()
        except PublishError as error:
            refused = isinstance(error.__cause__, ConnectionRefusedError)
            raise _Failed(Outcome.REFUSED if refused else Outcome.NO_ROUTE, str(error)) from error
        try:
            if not self._wait(self.accepted):
                raise _Failed(Outcome.NO_BROKER, "what listens there does not answer as a broker does")
        except PublishError as error:
            is_known = "authori" in str(error).lower() or "user name" in str(error).lower()
            raise _Failed(Outcome.BAD_CREDENTIALS if is_known else Outcome.NO_BROKER, str(error)) from error

    def exchange(self, message: Message) -> None:
        """Let ``message`` be taken and given back; raises _Failed."""
        self._client.subscribe(message.topic, QOS)
        listens = self._wait(lambda: self._granted is not None) and self._granted
        acknowledged = self.publish(message)
        if not self._wait(acknowledged):
            raise _Failed(Outcome.NO_BROKER, "the broker took the message and did not acknowledge it")
        if self._denied:
            raise _Failed(Outcome.NOT_AUTHORISED, self._denied)
        if not (listens and self._wait(lambda: message.payload in self._received)):
            raise _Failed(Outcome.UNREADABLE, "it was acknowledged, but did not come back")

    def close(self) -> None:
        """Close all sockets."""
        super().close()
        self._waker.close()
        self._wakened.close()

    def _wait(self, condition: Callable[[], bool]) -> bool:
        deadline_s = time.monotonic() + STEP_S
        while not condition():
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                return False
            self.turn(self._wakened, left_s)
        return True

    def _on_subscribe(
        self, _client: mqtt.Client, _data: object, _mid: int, reasons: list[ReasonCode], _more: object
    ) -> None:
        self._granted = not any(reason.is_failure for reason in reasons)

    def _on_publish(
        self, _client: mqtt.Client, _data: object, _mid: int, reason: ReasonCode, _more: Properties | None
    ) -> None:
        self._denied = str(reason) if reason.is_failure else ""
