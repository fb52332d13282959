"""Serves the page, its state and its pictures to a few people at a time."""

from __future__ import annotations

import hmac
import ipaddress
import json
import logging
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from urllib.parse import parse_qs, urlsplit

from hivewatch.errors import ConfigError
from hivewatch.preview.board import Board

log = logging.getLogger(__name__)

# A browser has one or two requests under way; more than these are turned away, each costs a thread.
_MOST_REQUESTS = 12
# How long a request for the state waits for a new picture, and how long a client may be silent.
_WAIT_S, _CLIENT_S = 5.0, 10.0
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; connect-src 'self';"
    " style-src 'unsafe-inline'; script-src 'unsafe-inline'; frame-ancestors 'none';"
    " base-uri 'none'; form-action 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@contextmanager
def serve(board: Board, address: tuple[str, int], token: str | None) -> Iterator[str]:
    """Serve ``board`` from threads of its own, and give the URL for a browser; port 0 takes any free one.

    Beyond this machine's own loopback a token is needed: without one a new one is made. Raises ConfigError
    where the address cannot be listened on.
    """
    host, _ = address
    if token is None and not _is_loopback(host):
        token = secrets.token_urlsafe(12)
    try:
        server = _Server(board, address, token)
    except OSError as error:
        raise ConfigError(
            [f"cannot serve on {host} port {address[1]}: {error}; choose another --address"]
        ) from error
    thread = threading.Thread(target=server.serve_forever, name="preview", daemon=True)
    thread.start()
    try:
        yield server.url
    finally:
        server.shutdown()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, board: Board, address: tuple[str, int], token: str | None) -> None:
        host, _ = address
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__(address, _Handler)
        self.board = board
        self.token = token
        self.page = files("hivewatch.preview").joinpath("page.html").read_bytes()
        name = socket.gethostname().lower()
        self._names = {"localhost", name, f"{name}.local", host.lower()}
        self._slots = threading.BoundedSemaphore(_MOST_REQUESTS)

    @property
    def url(self) -> str:
        """Where the page is: for a browser on this machine, or anywhere where it is served everywhere."""
        host = str(self.server_address[0])
        if ipaddress.ip_address(host).is_unspecified:
            host = f"{socket.gethostname()}.local"
        query = f"?token={self.token}" if self.token else ""
        return f"http://{f'[{host}]' if ':' in host else host}:{self.server_address[1]}/{query}"

    def is_ours(self, host: str) -> bool:
        """Tell whether a request's Host is a name of this machine.

        A page from elsewhere that has its own name point here (DNS rebinding) must not read along; it cannot
        do so with an address.
        """
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return name in self._names or _is_address(name)

    def admits(self, token: str) -> bool:
        """Tell whether a request with ``token`` may see anything."""
        return self.token is None or hmac.compare_digest(token.encode(), self.token.encode())

    def process_request(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: object
    ) -> None:
        """Take a thread for a request, if one is left."""
        if self._slots.acquire(blocking=False):
            super().process_request(request, client_address)
            return
        log.debug("turned %s away: %d requests are under way", client_address, _MOST_REQUESTS)
        self.shutdown_request(request)

    def process_request_thread(self, request: object, client_address: object) -> None:
        """Answer, and give the thread back."""
        try:
            super().process_request_thread(request, client_address)  # type: ignore[arg-type]
        finally:
            self._slots.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that has gone away is no news."""
        log.debug("the request of %s broke off", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _CLIENT_S
    server_version, sys_version = "hivewatch", ""

    def do_GET(self) -> None:
        """Answer a request for the page, its state or a picture."""
        url = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        if not self.server.is_ours(self.headers.get("Host", "")):
            self._answer(HTTPStatus.FORBIDDEN, "text/plain", b"this is not the name of this machine\n")
        elif not self.server.admits(query.get("token", "")):
            self._answer(HTTPStatus.FORBIDDEN, "text/plain", b"the token is missing or wrong\n")
        elif url.path == "/":
            self._answer(HTTPStatus.OK, "text/html; charset=utf-8", self.server.page)
        elif url.path == "/state":
            state = self.server.board.state(_number(query.get("after", "-1")), _WAIT_S)
            self._answer(HTTPStatus.OK, "application/json", json.dumps(state).encode())
        elif url.path == "/picture" and (jpeg := self.server.board.jpeg(_number(query.get("number", "")))):
            self._answer(HTTPStatus.OK, "image/jpeg", jpeg)
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"there is nothing here\n")

    def _answer(self, status: HTTPStatus, content_type: str, content: bytes) -> None:
        self.send_response(status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  as the base calls it
        """Say nothing: a line for each picture would fill the log. Nor may the token be in it."""


def _number(text: str) -> int:
    return int(text) if text.removeprefix("-").isdecimal() and len(text) < 12 else -1


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
