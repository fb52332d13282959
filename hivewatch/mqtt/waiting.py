"""Connect to the broker and wait for its replies: the steps that publisher, follower and probe share."""

from __future__ import annotations

import time
from collections.abc import Callable

from hivewatch.mqtt import failures
from hivewatch.mqtt.connection import Connection, HandshakeError

RunOnce = Callable[[float], None]
"""Runs a connection until something happens or so many seconds have passed."""


def connect(connection: Connection, timeout_s: float, run_once: RunOnce) -> None:
    """Connect and wait until the broker accepts that.

    Raises ConnectError if the broker cannot be reached, PublishError if it refuses, and its subclass
    HandshakeError if it does neither within ``timeout_s``.
    """
    connection.connect()
    if not wait_for(lambda: connection.is_accepted, timeout_s, run_once):
        raise HandshakeError(failures.SILENT)


def wait_for(condition: Callable[[], bool], timeout_s: float, run_once: RunOnce) -> bool:
    """Run the connection until ``condition`` holds; return False if it does not within ``timeout_s``.

    Raises PublishError if the connection is lost meanwhile.
    """
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        left_s = deadline_s - time.monotonic()
        if left_s <= 0:
            return False
        run_once(left_s)
    return True
