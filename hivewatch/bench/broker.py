"""The bench's own broker, and how long what is sent of a frame takes over it to a subscriber."""

from __future__ import annotations

import contextlib
import queue
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from hivewatch.config.sections import Config, MqttConfig
from hivewatch.domain.wire import Message
from hivewatch.errors import PublishError
from hivewatch.messages.contract import EVENT, SNAPSHOT
from hivewatch.messages.topics import HiveTopics
from hivewatch.mqtt.follower import follow

# From the moment a frame is there to the moment a subscriber on this machine has what was sent of it.
DELIVERIES = {"frame to event": EVENT.leaf, "frame to picture": SNAPSHOT.leaf}

_PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class DeliveryTime:
    """Median and 99th percentile of a way to a subscriber, and how often it was measured."""

    p50_ms: float
    p99_ms: float
    count: int


class _Arrivals:
    """A subscriber in a thread of its own that notes when something comes; ``with`` it, it does."""

    def __init__(self, config: MqttConfig, topics: Iterable[str]) -> None:
        self._at_s: dict[str, queue.Queue[float]] = {topic: queue.Queue() for topic in topics}
        self._begun, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._follow, args=(config,), name="subscriber", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._begun.wait(_PATIENCE_S):
            raise PublishError(f"the bench's own broker took no subscriber for {_PATIENCE_S:g} s")
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._thread.join()

    def next_at_s(self, topic: str) -> float:
        """Wait for the next message on ``topic``; return when it came, by ``time.perf_counter``."""
        try:
            return self._at_s[topic].get(timeout=_PATIENCE_S)
        except queue.Empty as error:
            raise PublishError(f"nothing came on {topic} within {_PATIENCE_S:g} s") from error

    def _follow(self, config: MqttConfig) -> None:
        for _ in follow(config, self._at_s, self._note):
            self._begun.set()
            if self._over.is_set():
                return

    def _note(self, message: Message) -> None:
        self._at_s[message.topic].put(time.perf_counter())


class Post:
    """Measures how long what is sent takes to a subscriber; nothing where there is no broker."""

    def __init__(self, config: Config, port: int | None, opened: contextlib.ExitStack) -> None:
        """Subscribe to what is sent of a frame; ``opened`` gets what must be closed again."""
        self._durations_s: dict[str, list[float]] = {name: [] for name in DELIVERIES}
        topics = HiveTopics.of(config)
        self._topics = {name: topics.topic(leaf) for name, leaf in DELIVERIES.items()}
        self._arrivals = port and opened.enter_context(_Arrivals(config.mqtt, self._topics.values()))

    def await_delivery(self, began_s: float) -> None:
        """Wait for event and picture of a frame that was there at ``began_s``."""
        if self._arrivals:
            for name, leaf in self._topics.items():
                self._durations_s[name].append(self._arrivals.next_at_s(leaf) - began_s)

    def times(self) -> dict[str, DeliveryTime | None]:
        """Return what was measured; None for what could not be."""
        return {name: _delivery_time(durations_s) for name, durations_s in self._durations_s.items()}


@contextlib.contextmanager
def mosquitto(folder: Path) -> Iterator[int | None]:
    """Run a broker of our own and give its port; None where mosquitto is not installed."""
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if program is None:
        yield None
        return
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = int(server.getsockname()[1])
    file = folder / "mosquitto.conf"
    file.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n")
    with subprocess.Popen([program, "-c", str(file)], stderr=subprocess.DEVNULL) as process:
        try:
            yield port
        finally:
            process.terminate()


def in_words(measured: DeliveryTime | None) -> str:
    """Return a way's times for people."""
    if measured is None:
        return "not measured: there is no mosquitto here"
    return f"p50 {measured.p50_ms:.1f} ms, p99 {measured.p99_ms:.1f} ms, of {measured.count}"


def _delivery_time(durations_s: Sequence[float]) -> DeliveryTime | None:
    if not durations_s:
        return None
    p50_s, p99_s = np.percentile(durations_s, [50, 99])
    return DeliveryTime(float(p50_s) * 1000, float(p99_s) * 1000, len(durations_s))
