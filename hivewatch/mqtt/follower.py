"""Hears what others say on a broker, for as long as it takes."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator

from hivewatch.config.sections import MqttConfig
from hivewatch.errors import PublishError
from hivewatch.mqtt.connection import CONNECT_TIMEOUT_S, Connection, Hear, Sending
from hivewatch.mqtt.credentials import read_password
from hivewatch.mqtt.tls import make_context

LOOK_EVERY_S = 0.25
TRY_AGAIN_S = 2.0


def follow(config: MqttConfig, topics: Iterable[str], hear: Hear) -> Iterator[str]:
    """Let ``hear`` have what comes on ``topics``; yield all the while, some times a second at least.

    Yields "" while connected, else why not. Raises ConfigError for a password or certificate that cannot be
    read, and PublishError where the first connection fails: waiting would hardly mend that.
    """
    password = read_password(config)
    context = make_context(config.tls) if config.tls.enabled else None
    client_id = f"hivewatch-watch-{os.getpid()}"
    begun = False
    while True:
        connection = Connection(config, client_id, password, context, None)
        try:
            _begin(connection, topics, hear)
            begun = True
            yield from _turns(connection)
        except PublishError as error:
            if not begun:
                raise PublishError(f"MQTT broker {config.host}:{config.port}: {error}") from error
            trouble = str(error)
        finally:
            connection.close()
        for _ in range(round(TRY_AGAIN_S / LOOK_EVERY_S)):
            yield trouble
            time.sleep(LOOK_EVERY_S)


def _begin(connection: Connection, topics: Iterable[str], hear: Hear) -> None:
    connection.dial()
    _await(connection, connection.accepted, "what listens there is no MQTT broker")
    sending: Sending = connection.subscribe(topics, hear)
    _await(connection, lambda: sending.answered, "no answer to a subscription")
    if sending.refusal:
        raise PublishError(f"it lets nobody of that name subscribe ({sending.refusal}): check its ACL")


def _turns(connection: Connection) -> Iterator[str]:
    waker, wakened = socket.socketpair()
    with waker, wakened:
        while True:
            yield ""
            connection.turn(wakened, LOOK_EVERY_S)


def _await(connection: Connection, condition: Callable[[], bool], complaint: str) -> None:
    deadline_s = time.monotonic() + CONNECT_TIMEOUT_S
    turns = _turns(connection)
    while not condition():
        if time.monotonic() > deadline_s:
            raise PublishError(complaint)
        next(turns)
