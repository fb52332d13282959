"""Tries a broker out: lets it take a message and give it back, and tells at which step that fails."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from hivewatch.config.sections import MqttConfig
from hivewatch.domain.wire import Envelope, Message
from hivewatch.errors import PublishError
from hivewatch.mqtt.connection import Connection
from hivewatch.mqtt.credentials import read_password
from hivewatch.mqtt.tls import make_context

Wait = Callable[[Callable[[], bool]], bool]

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

    With MQTT 5, which says whether publishing is allowed; as configured where a broker has no 5. Raises
    ConfigError where the password or a certificate cannot be read.
    """
    probed = _probe(config.model_copy(update={"version": 5}), client_id, topic)
    if probed.outcome is Outcome.NO_BROKER and config.version != 5:
        probed = _probe(config, client_id, topic)
    return probed


def _probe(config: MqttConfig, client_id: str, topic: str) -> Probed:
    context = make_context(config.tls) if config.tls.enabled else None
    connection = Connection(config, client_id, read_password(config), context, None)
    waker, wakened = socket.socketpair()
    try:
        with waker, wakened:
            wait = partial(_wait, connection, wakened)
            _let_in(connection, wait)
            _exchange(connection, wait, topic)
            connection.disconnect()
    except _Failed as failed:
        return failed.probed
    except PublishError as error:
        return Probed(Outcome.NO_BROKER, str(error))
    finally:
        connection.close()
    return Probed(Outcome.WORKS)


def _let_in(connection: Connection, wait: Wait) -> None:
    try:
        connection.dial()
    except PublishError as error:
        refused = isinstance(error.__cause__, ConnectionRefusedError)
        raise _Failed(Outcome.REFUSED if refused else Outcome.NO_ROUTE, str(error)) from error
    try:
        if not wait(connection.accepted):
            raise _Failed(Outcome.NO_BROKER, "what listens there does not answer as a broker does")
    except PublishError as error:
        is_known = any(word in str(error).lower() for word in ("authori", "user name", "password"))
        raise _Failed(Outcome.BAD_CREDENTIALS if is_known else Outcome.NO_BROKER, str(error)) from error


def _exchange(connection: Connection, wait: Wait, topic: str) -> None:
    message = Message(topic, f"probe {secrets.token_hex(8)}".encode(), retained=False)
    received: list[bytes] = []
    asked = connection.subscribe([topic], lambda heard: received.append(heard.payload), own=True)
    listens = wait(lambda: asked.answered) and not asked.refusal
    sent = connection.publish(message, Envelope())
    if not wait(lambda: sent.answered):
        raise _Failed(Outcome.NO_BROKER, "the broker took the message and did not acknowledge it")
    if sent.refusal:
        raise _Failed(Outcome.NOT_AUTHORISED, sent.refusal)
    if not (listens and wait(lambda: message.payload in received)):
        raise _Failed(Outcome.UNREADABLE, "it was acknowledged, but did not come back")


def _wait(connection: Connection, wakened: socket.socket, condition: Callable[[], bool]) -> bool:
    deadline_s = time.monotonic() + STEP_S
    while not condition():
        left_s = deadline_s - time.monotonic()
        if left_s <= 0:
            return False
        connection.turn(wakened, left_s)
    return True
