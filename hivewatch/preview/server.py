"""Serves the page, its state and its pictures over HTTP, to a few viewers at a time."""

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
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

from hivewatch.errors import ConfigError
from hivewatch.preview.latest import LatestFrames
from hivewatch.preview.waiting import Waiting

log = logging.getLogger(__name__)

# Each open page has one or two requests at a time, and each takes a thread. Of allowed requests, more are
# rejected.
_MAX_REQUESTS = 12
# How long a request for the state waits for a new frame, and how long a client may stay silent.
_STATE_TIMEOUT_S, _CLIENT_TIMEOUT_S = 5.0, 10.0
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
def serve(latest: LatestFrames, address: tuple[str, int], token: str | None) -> Iterator[str]:
    """Serve ``latest`` from background threads and yield the URL for a browser; port 0 picks a free one.

    Beyond loopback a token is required: if ``token`` is None, one is generated. Raises ConfigError if the
    address cannot be listened on.
    """
    host, _ = address
    if token is None and not _is_loopback(host):
        token = secrets.token_urlsafe(12)
    try:
        server = _Server(latest, address, token)
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
    request_queue_size = 128  # with 5, a few connections at once delay all others by seconds

    def __init__(self, latest: LatestFrames, address: tuple[str, int], token: str | None) -> None:
        host, _ = address
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__(address, _Handler)
        self.latest = latest
        self.token = token
        self.page = files("hivewatch.preview").joinpath("page.html").read_bytes()
        name = socket.gethostname().lower()
        self._names = {"localhost", name, f"{name}.local", host.lower()}
        self.waiting = Waiting()
        self.slots = threading.BoundedSemaphore(_MAX_REQUESTS)

    @property
    def url(self) -> str:
        """The page's URL; it uses this machine's .local name if all addresses are listened on."""
        host = str(self.server_address[0])
        if ipaddress.ip_address(host).is_unspecified:
            host = f"{socket.gethostname()}.local"
        query = f"?token={self.token}" if self.token else ""
        return f"http://{f'[{host}]' if ':' in host else host}:{self.server_address[1]}/{query}"

    def is_ours(self, host: str) -> bool:
        """Return whether a request's Host header names this machine.

        This stops DNS rebinding, where a foreign page makes its own name resolve to this machine. IP
        addresses are accepted, since rebinding needs a name.
        """
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return name in self._names or _is_address(name)

    def admits(self, token: str) -> bool:
        """Return whether a request with ``token`` is allowed."""
        return self.token is None or hmac.compare_digest(token.encode(), self.token.encode())

    def process_request(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: Any
    ) -> None:
        """Handle a connection in a thread of its own."""
        self.waiting.add(cast(socket.socket, request), str(client_address[0]))
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer the request, then forget the connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.waiting.remove(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """Log at debug level only: browsers often drop a connection."""
        log.debug("the request from %s failed", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _CLIENT_TIMEOUT_S
    server_version, sys_version = "hivewatch", ""

    def do_GET(self) -> None:
        """Answer a request for the page, its state or a picture."""
        try:
            url = urlsplit(self.path)
            query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        except ValueError:
            self._answer(HTTPStatus.BAD_REQUEST, "text/plain", b"not an address\n")
            return
        if not self.server.is_ours(self.headers.get("Host", "")):
            self._answer(HTTPStatus.FORBIDDEN, "text/plain", b"the Host header does not name this machine\n")
        elif not self.server.admits(query.get("token", "")):
            self._answer(HTTPStatus.FORBIDDEN, "text/plain", b"the token is missing or wrong\n")
        elif self.server.slots.acquire(blocking=False):
            self.server.waiting.remove(self.connection)
            try:
                self._answer_allowed(url.path, query)
            finally:
                self.server.slots.release()
        else:
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", b"too many requests at a time\n")

    def _answer_allowed(self, path: str, query: dict[str, str]) -> None:
        if path == "/":
            self._answer(HTTPStatus.OK, "text/html; charset=utf-8", self.server.page)
        elif path == "/state":
            state = self.server.latest.state(_number(query.get("after", "-1")), _STATE_TIMEOUT_S)
            self._answer(HTTPStatus.OK, "application/json", json.dumps(state).encode())
        elif path == "/picture" and (jpeg := self.server.latest.jpeg(_number(query.get("number", "")))):
            self._answer(HTTPStatus.OK, "image/jpeg", jpeg)
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"not found\n")

    def _answer(self, status: HTTPStatus, content_type: str, content: bytes) -> None:
        self.send_response(status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  named as in the base class
        """Log nothing: a line per picture would fill the log, and would contain the token."""


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
