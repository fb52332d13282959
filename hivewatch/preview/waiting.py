"""Connections whose request has not been read yet: whoever is slow may wait, but keeps nobody else out."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from contextlib import suppress

_MOST = 12


class Waiting:
    """A bounded set of connections. Thread-safe."""

    def __init__(self) -> None:
        """Start without connections."""
        self._changed = threading.Lock()
        self._addresses: dict[socket.socket, str] = {}

    def add(self, connection: socket.socket, address: str) -> None:
        """Add a connection from ``address``; if there are too many, end another.

        That is the oldest one of the address with most of them, so one client displaces mainly itself.
        """
        with self._changed:
            self._addresses[connection] = address
            if len(self._addresses) <= _MOST:
                return
            # The new connection is the last one, so it is chosen only if every address has one.
            crowd = Counter(self._addresses.values()).most_common(1)[0][0]
            oldest = next(one for one, its_address in self._addresses.items() if its_address == crowd)
            del self._addresses[oldest]
        with suppress(OSError):
            oldest.shutdown(socket.SHUT_RDWR)  # its thread wakes up and closes it

    def remove(self, connection: socket.socket) -> None:
        """Let a connection stay: its request may be answered, or has ended."""
        with self._changed:
            self._addresses.pop(connection, None)
