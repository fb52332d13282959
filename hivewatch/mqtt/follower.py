"""Subscribes to topics of a broker and reconnects whenever the connection is lost."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Iterator
from functools import partial

from hivewatch.config.sections import MqttConfig
from hivewatch.errors import PublishError
from hivewatch.mqtt.connection import (
    CONNECT_TIMEOUT_S,
    LARGEST_INCOMING_BYTES,
    Connection,
    OnMessage,
)
from hivewatch.mqtt.credentials import read_credentials
from hivewatch.mqtt.waiting import connect, wait_for

YIELD_EVERY_S = 0.25
RECONNECT_AFTER_S = 2.0


def follow(
    config: MqttConfig,
    topics: Iterable[str],
    on_message: OnMessage,
    largest_bytes: int = LARGEST_INCOMING_BYTES,
) -> Iterator[str]:
    """Call ``on_message`` for each message on ``topics``; yield several times a second.

    A packet larger than ``largest_bytes`` ends the connection. Yields "" while connected, else why not.
    Raises ConfigError if the password or a certificate cannot be read, and PublishError if the first
    connection fails: trying again would hardly help.
    """
    credentials = read_credentials(config)
    # Not the process id: in containers, every first process has the same.
    client_id = f"hivewatch-watch-{secrets.token_hex(4)}"
    was_connected = False
    while True:
        connection = Connection(config, client_id, credentials, largest_incoming_bytes=largest_bytes)
        try:
            _subscribe(connection, topics, on_message)
            was_connected = True
            while True:
                yield ""
                connection.run_once(None, YIELD_EVERY_S)
        except PublishError as error:
            if not was_connected:
                raise PublishError(f"MQTT broker {config.host}:{config.port}: {error}") from error
            trouble = str(error)
        finally:
            connection.close()
        for _ in range(round(RECONNECT_AFTER_S / YIELD_EVERY_S)):
            yield trouble
            time.sleep(YIELD_EVERY_S)


def _subscribe(connection: Connection, topics: Iterable[str], on_message: OnMessage) -> None:
    run_once = partial(connection.run_once, None)
    connect(connection, CONNECT_TIMEOUT_S, run_once)
    reply = connection.subscribe(topics, on_message)
    if not wait_for(lambda: reply.is_answered, CONNECT_TIMEOUT_S, run_once):
        raise PublishError("no answer to a subscription")
    if reply.refusal:
        raise PublishError(f"the broker refuses the subscription ({reply.refusal}): check its ACL")
