"""A real mosquitto on loopback, a subscriber that keeps what it receives, and a link that fails on demand."""

from __future__ import annotations

import getpass
import itertools
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

# For a machine that is busy with something else: a wait that succeeds never takes this long.
PATIENCE_S = 60.0


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = PATIENCE_S) -> None:
    """Wait until ``condition`` holds; after ``timeout_s`` fail the test with ``what`` did not happen."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, f"not within {timeout_s:g} s: {what}"
        time.sleep(0.01)


@cache
def _ports_of_this_process() -> tuple[Iterator[int], socket.socket]:
    """Return 100 ports that no other test process uses, over and over, and the lock that keeps them.

    They are below the ephemeral ports (32768 and up), so no outgoing connection takes one either.
    """
    for first in range(12_000, 32_000, 100):
        lock = socket.socket(socket.AF_UNIX)
        with suppress(OSError):
            lock.bind(f"\0hivewatch-test-ports-{first}")  # abstract: the kernel frees it with the process
            return itertools.cycle(range(first, first + 100)), lock
        lock.close()
    raise OSError("all port ranges for tests are taken")


def free_port() -> int:
    """Return a TCP port of loopback that nothing listens on and no other test process is given."""
    ports, _ = _ports_of_this_process()
    for port in itertools.islice(ports, 100):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise OSError("all ports of this test process are taken")


class Broker:
    """A mosquitto in ``directory``. With ``password``, it accepts only user ``hive`` with that password.

    ``options`` are additional lines of its configuration.
    """

    def __init__(self, directory: Path, password: str | None = None, options: Sequence[str] = ()) -> None:
        self.port = free_port()
        self._config = directory / "mosquitto.conf"
        self._process: subprocess.Popen[bytes] | None = None
        lines = [f"listener {self.port} 127.0.0.1", f"user {getpass.getuser()}", "persistence false"]
        if password is None:
            lines.append("allow_anonymous true")
        else:
            passwords = directory / "passwords"
            tool = shutil.which("mosquitto_passwd") or "/usr/bin/mosquitto_passwd"
            subprocess.run([tool, "-b", "-c", str(passwords), "hive", password], check=True)
            lines += ["allow_anonymous false", f"password_file {passwords}"]
        self._config.write_text("\n".join([*lines, *options]) + "\n")

    def admit_everybody(self) -> None:
        """Require no password, from the next start on."""
        lines = [line for line in self._config.read_text().splitlines() if "password" not in line]
        text = "\n".join(lines).replace("allow_anonymous false", "allow_anonymous true")
        self._config.write_text(f"{text}\n")

    def restrict(self, access: str) -> None:
        """Restrict user ``hive`` by the lines of a mosquitto access list, from the next start on."""
        file = self._config.with_name("access")
        file.write_text(f"user hive\n{access}\n")
        file.chmod(0o600)
        self._config.write_text(f"{self._config.read_text()}acl_file {file}\n")

    def keep_messages_in(self, folder: Path) -> None:
        """Save its messages to ``folder`` every second, from the next start on."""
        kept = f"persistence true\npersistence_location {folder}/\nautosave_interval 1"
        self._config.write_text(self._config.read_text().replace("persistence false", kept))

    def start(self) -> Self:
        """Start and wait until it listens."""
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        process = subprocess.Popen([program, "-c", str(self._config)], stderr=subprocess.DEVNULL)
        self._process = process
        wait_until(lambda: self._listens(process), "mosquitto listens")
        return self

    def kill(self) -> None:
        """Kill it, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _listens(self, process: subprocess.Popen[bytes]) -> bool:
        assert process.poll() is None, "mosquitto ended"
        with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", self.port)):
            return True
        return False


class Received(NamedTuple):
    """A message as received; ``retained`` if the broker kept it from before the subscription."""

    topic: str
    payload: bytes
    retained: bool


class Subscriber:
    """Subscribes to everything inside its ``with`` block and keeps the messages, in order."""

    def __init__(self, port: int, password: str | None = None) -> None:
        self.received: list[Received] = []
        self._subscribed = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        if password is not None:
            self._client.username_pw_set("hive", password)
        self._client.on_connect = lambda client, *_: client.subscribe("#", 0)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = lambda _client, _data, message: self.received.append(
            Received(message.topic, bytes(message.payload), message.retain)
        )
        self._port = port

    def __enter__(self) -> Self:
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        assert self._subscribed.wait(PATIENCE_S), "no subscription"
        return self

    def __exit__(self, *_error: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def on(self, leaf: str) -> list[bytes]:
        """Return the payloads received on topics ending in ``leaf``, in order."""
        return [message.payload for message in self.received if message.topic.endswith(f"/{leaf}")]

    def wait_for_end(self) -> None:
        """Wait until everything that a broker sent before it died is read."""
        wait_until(lambda: not self._client.is_connected(), "the connection has ended")

    def wait_for(self, leaf: str, payload: bytes) -> None:
        """Wait until the last message on topics ending in ``leaf`` is ``payload``."""
        wait_until(
            lambda: self.on(leaf)[-1:] == [payload], f"{payload[:80]!r} on {leaf}; got {self.received!r:.500}"
        )


class Proxy:
    """A TCP link to a broker that can be cut, barred, slowed down, and made to drop the broker's answers."""

    def __init__(self, target_port: int) -> None:
        self.port = free_port()
        self.barred = False
        self.swallow_answers = False
        self.bytes_per_s = float("inf")
        self._target_port = target_port
        self._server: socket.socket | None = None
        self._pairs: list[tuple[socket.socket, socket.socket]] = []

    def open(self) -> Self:
        """Accept connections."""
        self._server = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._server,), daemon=True).start()
        return self

    def cut(self) -> None:
        """Break all connections."""
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()

    def close(self) -> None:
        """Break all connections and refuse new ones."""
        if self._server is not None:
            with suppress(OSError):
                self._server.shutdown(socket.SHUT_RDWR)
            self._server.close()
            self._server = None
        self.cut()

    def _accept(self, server: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = server.accept()
                if self.barred:
                    near.close()
                    continue
                try:
                    far = socket.create_connection(("127.0.0.1", self._target_port))
                except ConnectionRefusedError:
                    near.close()
                    continue
                self._pairs.append((near, far))
                for source, sink, answers in ((near, far, False), (far, near, True)):
                    threading.Thread(target=self._pump, args=(source, sink, answers), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536 if answers else int(min(65536, self.bytes_per_s / 20 + 1))):
                if not (answers and self.swallow_answers):
                    sink.sendall(data)
                if not answers:
                    time.sleep(len(data) / self.bytes_per_s)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
