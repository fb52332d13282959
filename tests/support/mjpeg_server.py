"""A network camera on loopback: MJPEG over HTTP, which a test can hang, break, kill and restart."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np

from support.brokers import free_port

BITS = 12
_BLOCK_PX = 16


def numbered_picture(number: int) -> np.ndarray:
    """Return a BGR picture that encodes ``number`` as black and white blocks, which survive compression."""
    picture = np.full((96, BITS * _BLOCK_PX, 3), 128, np.uint8)
    for bit in range(BITS):
        picture[:, bit * _BLOCK_PX : (bit + 1) * _BLOCK_PX] = 255 * (number >> bit & 1)
    return picture


def number_of(pixels: np.ndarray) -> int:
    """Return the number in a picture; fails if a block is neither black nor white."""
    number = 0
    for bit in range(BITS):
        block = pixels[:, bit * _BLOCK_PX + 4 : (bit + 1) * _BLOCK_PX - 4]
        assert block.max() < 60 or block.min() > 195, "half a picture"
        number |= int(block.mean() > 128) << bit
    return number


class MjpegServer:
    """Serves ``picture(number)`` at ``rate_hz``; the numbers continue across connections."""

    def __init__(self, rate_hz: float = 30.0) -> None:
        self.rate_hz = rate_hz
        self.picture: Callable[[int], np.ndarray | bytes] = numbered_picture
        self.hangs = threading.Event()
        self.breaks_mid_picture = threading.Event()
        self._number = 0
        self._open: set[socket.socket] = set()
        self._server: ThreadingHTTPServer | None = None
        self.port = free_port()

    @property
    def sent(self) -> int:
        """The number of pictures sent so far over all connections."""
        return self._number

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/stream"

    def start(self) -> MjpegServer:
        serve = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                serve._serve(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def kill(self) -> None:
        """Close the port and every connection, like a camera that loses power."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _serve(self, request: BaseHTTPRequestHandler) -> None:
        self._open.add(request.connection)
        with contextlib.suppress(OSError):
            self._wait_while_hanging()
            request.send_response(200)
            request.send_header("Content-Type", "multipart/x-mixed-replace; boundary=picture")
            request.end_headers()
            for part in self._parts():
                self._wait_while_hanging()
                request.wfile.write(part)
        self._open.discard(request.connection)

    def _wait_while_hanging(self) -> None:
        while self.hangs.is_set():
            time.sleep(0.01)

    def _parts(self) -> Iterator[bytes]:
        while True:
            self._number += 1
            picture = self.picture(self._number)
            if not isinstance(picture, bytes):
                picture = cv2.imencode(".jpg", picture)[1].tobytes()
            head = f"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n".encode()
            if self.breaks_mid_picture.is_set():
                self.breaks_mid_picture.clear()
                yield head + picture[: len(picture) // 2]
                return
            yield head + picture + b"\r\n"
            time.sleep(1 / self.rate_hz)
