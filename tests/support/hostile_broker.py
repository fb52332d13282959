"""A broker that speaks just enough MQTT to be believed, and then sends what no broker should."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Self

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, PINGREQ, PINGRESP, DISCONNECT = (
    0x10,
    0x20,
    0x30,
    0x40,
    0x82,
    0x90,
    0xC0,
    0xD0,
    0xE0,
)

Hostility = Callable[[int, bytes], Iterable[bytes] | None]
"""Takes type and content of a packet from the client; returns what to send instead of the usual answer."""


def packet(kind: int, content: bytes = b"", length: int | None = None) -> bytes:
    """Return a packet, with another announced ``length`` than that of its content if given."""
    left = len(content) if length is None else length
    header = bytearray([kind])
    while True:
        left, byte = left >> 7, left & 0x7F
        header.append(byte | (0x80 if left else 0))
        if not left:
            return bytes(header) + content


def publish(topic: bytes, payload: bytes, version: object, kind: int = PUBLISH, mid: int = 7) -> bytes:
    """Return a PUBLISH; ``kind`` carries the flags, and a QoS above 0 gets the packet id ``mid``."""
    id_ = struct.pack("!H", mid) if kind & 0x06 else b""
    properties = b"\0" if version == 5 else b""
    return packet(kind, struct.pack("!H", len(topic)) + topic + id_ + properties + payload)


class HostileBroker:
    """Answers every connection like a broker of ``version``, except where ``hostility`` answers instead.

    ``connections`` counts them, ``sent_bytes`` what the clients took, ``published`` the messages received.
    """

    def __init__(self, hostility: Hostility, version: object = "3.1.1") -> None:
        self.connections = 0
        self.sent_bytes = 0
        self.published = 0
        self._hostility = hostility
        self._is_v5 = version == 5
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, client.makefile("rb") as stream, suppress(OSError, EOFError):
            while True:
                kind, content = _read(stream.read)
                answers = self._hostility(kind & 0xF0, content)
                for answer in self._usual(kind, content) if answers is None else answers:
                    client.sendall(answer)
                    self.sent_bytes += len(answer)
                if kind == DISCONNECT:
                    return

    def _usual(self, kind: int, content: bytes) -> Iterable[bytes]:
        match kind & 0xF0:
            case 0x10:
                yield packet(CONNACK, b"\0\0\0" if self._is_v5 else b"\0\0")
            case 0x30:
                self.published += 1
                (topic_bytes,) = struct.unpack("!H", content[:2])
                yield packet(PUBACK, content[2 + topic_bytes : 4 + topic_bytes])
            case 0x80:
                # One code for each topic; each ends with an option byte, which no topic contains.
                codes = b"\1" * content[2:].count(b"\1" if not self._is_v5 else b"\x0d")
                yield packet(SUBACK, content[:2] + (b"\0" if self._is_v5 else b"") + (codes or b"\1"))
            case 0xC0:
                yield packet(PINGRESP)


def _read(read: Callable[[int], bytes]) -> tuple[int, bytes]:
    kind, length, shift = _byte(read), 0, 0
    while True:
        byte = _byte(read)
        length |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return kind, read(length)


def _byte(read: Callable[[int], bytes]) -> int:
    got = read(1)
    if not got:
        raise EOFError
    return got[0]
