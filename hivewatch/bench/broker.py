"""A private broker for the bench, and the time from a frame until a subscriber has its messages."""

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

# The intervals measured, from a frame's arrival in the loop to a message's arrival at a local subscriber.
DELIVERIES = {"frame to event": EVENT.leaf, "frame to picture": SNAPSHOT.leaf}

_TIMEOUT_S = 10.0
_LARGEST_PICTURE_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class DeliveryTime:
    """Median and 99th percentile of a delivery, and the number of measurements."""

    p50_ms: float
    p99_ms: float
    count: int


class _Subscriber:
    """Records when messages arrive, in a thread that runs while the context is open."""

    def __init__(self, config: MqttConfig, topics: Iterable[str]) -> None:
        self._arrived_s: dict[str, queue.Queue[float]] = {topic: queue.Queue() for topic in topics}
        self._subscribed, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, args=(config,), name="subscriber", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._subscribed.wait(_TIMEOUT_S):
            raise PublishError(f"the bench's broker accepted no subscriber within {_TIMEOUT_S:g} s")
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()

    def next_arrival_s(self, topic: str) -> float:
        """Wait for the next message on ``topic``; return when it arrived, by ``time.perf_counter``."""
        try:
            return self._arrived_s[topic].get(timeout=_TIMEOUT_S)
        except queue.Empty as error:
            raise PublishError(f"no message arrived on {topic} within {_TIMEOUT_S:g} s") from error

    def _run(self, config: MqttConfig) -> None:
        for _ in follow(config, self._arrived_s, self._on_message, _LARGEST_PICTURE_BYTES):
            self._subscribed.set()
            if self._stop.is_set():
                return

    def _on_message(self, message: Message) -> None:
        self._arrived_s[message.topic].put(time.perf_counter())


class DeliveryTimer:
    """Measures how long messages take to reach a subscriber; measures nothing without a broker."""

    def __init__(self, config: Config, port: int | None, opened: contextlib.ExitStack) -> None:
        """Subscribe to the messages of a sighting; ``opened`` closes the subscriber."""
        self._durations_s: dict[str, list[float]] = {name: [] for name in DELIVERIES}
        topics = HiveTopics.of(config)
        self._topics = {name: topics.topic(leaf) for name, leaf in DELIVERIES.items()}
        self._subscriber = port and opened.enter_context(_Subscriber(config.mqtt, self._topics.values()))

    def await_delivery(self, start_s: float) -> None:
        """Wait for the event and the picture of the frame that arrived at ``start_s``."""
        if self._subscriber:
            for name, topic in self._topics.items():
                self._durations_s[name].append(self._subscriber.next_arrival_s(topic) - start_s)

    def times(self) -> dict[str, DeliveryTime | None]:
        """Return the measured times by name, None without measurements."""
        return {name: _delivery_time(durations_s) for name, durations_s in self._durations_s.items()}


@contextlib.contextmanager
def mosquitto(folder: Path) -> Iterator[int | None]:
    """Run a private broker and yield its port, or None if mosquitto is not installed."""
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


def delivery_text(time: DeliveryTime | None) -> str:
    """Return a delivery's times as text for the table."""
    if time is None:
        return "not measured: mosquitto is not installed"
    return f"p50 {time.p50_ms:.1f} ms, p99 {time.p99_ms:.1f} ms, of {time.count}"


def _delivery_time(durations_s: Sequence[float]) -> DeliveryTime | None:
    if not durations_s:
        return None
    p50_s, p99_s = np.percentile(durations_s, [50, 99])
    return DeliveryTime(float(p50_s) * 1000, float(p99_s) * 1000, len(durations_s))
