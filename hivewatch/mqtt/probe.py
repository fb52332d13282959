"""Tests a broker: publishes a message, reads it back, and reports the step at which that fails."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from hivewatch.config.sections import MqttConfig
from hivewatch.domain.wire import Message
from hivewatch.errors import PublishError
from hivewatch.mqtt import waiting
from hivewatch.mqtt.connection import ConnectError, Connection
from hivewatch.mqtt.credentials import read_credentials
from hivewatch.mqtt.failures import is_about_credentials
from hivewatch.mqtt.waiting import RunOnce, wait_for

STEP_S = 5.0
"""Time limit for each step: to be accepted, to be acknowledged, to get the message back."""


class Outcome(StrEnum):
    """How far the probe got."""

    NO_ROUTE = "no route"
    REFUSED = "refused"
    NO_BROKER = "no broker"
    OTHER_VERSION = "other version"
    BAD_CREDENTIALS = "bad credentials"
    NOT_AUTHORISED = "not authorised"
    UNREADABLE = "not given back"
    WORKS = "works"


_ACCEPTED = {Outcome.NOT_AUTHORISED, Outcome.UNREADABLE, Outcome.WORKS}
_SAME_FOR_ALL_VERSIONS = {Outcome.NO_ROUTE, Outcome.REFUSED, Outcome.BAD_CREDENTIALS}


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """The outcome, and the reason that the network or the broker gave for it."""

    outcome: Outcome
    detail: str = ""


class _Failed(Exception):  # noqa: N818  an outcome, not an error
    def __init__(self, outcome: Outcome, detail: str) -> None:
        super().__init__(detail)
        self.result = ProbeResult(outcome, detail)


def probe(config: MqttConfig, client_id: str, topic: str) -> ProbeResult:
    """Publish a message to ``topic``, not retained, and read it back; takes up to about 20 s.

    Uses MQTT 5, which reports whether publishing is allowed. The outcome is OTHER_VERSION if the broker
    supports only the version that is not configured. Raises ConfigError if the password or a certificate
    cannot be read.
    """
    five = _probe(config.model_copy(update={"version": 5}), client_id, topic)
    if five.outcome in _SAME_FOR_ALL_VERSIONS or (config.version == 5 and five.outcome in _ACCEPTED):
        return five
    # If 5 works, it is enough that 3.1.1 is accepted.
    three_topic = None if five.outcome in _ACCEPTED else topic
    three = _probe(config.model_copy(update={"version": "3.1.1"}), client_id, three_topic)
    configured, other = (five, three) if config.version == 5 else (three, five)
    if configured.outcome is Outcome.NO_BROKER and other.outcome in _ACCEPTED:
        return ProbeResult(Outcome.OTHER_VERSION, configured.detail)
    return five if five.outcome in _ACCEPTED else configured


def _probe(config: MqttConfig, client_id: str, topic: str | None) -> ProbeResult:
    """Connect and, if there is a ``topic``, exchange a message."""
    connection = Connection(config, client_id, read_credentials(config))
    run_once = partial(connection.run_once, None)
    try:
        _connect(connection, run_once)
        if topic is not None:
            _exchange(connection, run_once, topic)
        connection.disconnect()
    except _Failed as failed:
        return failed.result
    except PublishError as error:
        return ProbeResult(Outcome.NO_BROKER, str(error))
    finally:
        connection.close()
    return ProbeResult(Outcome.WORKS)


def _connect(connection: Connection, run_once: RunOnce) -> None:
    try:
        waiting.connect(connection, STEP_S, run_once)
    except ConnectError as error:
        is_refused = isinstance(error.__cause__, ConnectionRefusedError)
        raise _Failed(Outcome.REFUSED if is_refused else Outcome.NO_ROUTE, str(error)) from error
    except PublishError as error:
        reason = str(error)
        outcome = Outcome.BAD_CREDENTIALS if is_about_credentials(reason) else Outcome.NO_BROKER
        raise _Failed(outcome, reason) from error


def _exchange(connection: Connection, run_once: RunOnce, topic: str) -> None:
    message = Message(topic, f"probe {secrets.token_hex(8)}".encode(), retained=False)
    received: list[bytes] = []
    subscribed = connection.subscribe([topic], lambda echo: received.append(echo.payload), own=True)
    is_subscribed = wait_for(lambda: subscribed.is_answered, STEP_S, run_once) and not subscribed.refusal
    sent = connection.publish(message)
    if not wait_for(lambda: sent.is_answered, STEP_S, run_once):
        raise _Failed(Outcome.NO_BROKER, "the broker did not acknowledge the message")
    if sent.refusal:
        raise _Failed(Outcome.NOT_AUTHORISED, sent.refusal)
    if not (is_subscribed and wait_for(lambda: message.payload in received, STEP_S, run_once)):
        raise _Failed(Outcome.UNREADABLE, "the broker acknowledged the message but did not return it")
