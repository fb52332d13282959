"""The bench's own broker, and how long what is sent of a frame takes over it to a subscriber."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hivewatch.config import Config
from hivewatch.messages.contract import EVENT, SNAPSHOT
from hivewatch.messages.wire import topic
from hivewatch.mqtt.arrivals import Arrivals

# From the moment a frame is there to the moment a subscriber on this machine has what was sent of it.
DELIVERIES = {"frame to event": EVENT.leaf, "frame to picture": SNAPSHOT.leaf}


@dataclass(frozen=True, slots=True)
class DeliveryTime:
    """Median and 99th percentile of a way to a subscriber, and how often it was measured."""

    p50_ms: float
    p99_ms: float
    count: int


class Post:
    """Measures how long what is sent takes to a subscriber; nothing where there is no broker."""

    def __init__(self, config: Config, port: int | None, opened: contextlib.ExitStack) -> None:
        """Subscribe to what is sent of a frame; ``opened`` gets what must be closed again."""
        self._durations_s: dict[str, list[float]] = {name: [] for name in DELIVERIES}
        base = config.mqtt.base_topic, config.hive.id
        self._topics = {name: topic(*base, leaf) for name, leaf in DELIVERIES.items()}
        self._arrivals = port and opened.enter_context(Arrivals(port, tuple(self._topics.values())))

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


def in_words(time: DeliveryTime | None) -> str:
    """Return a way's times for people."""
    if time is None:
        return "not measured: there is no mosquitto here"
    return f"p50 {time.p50_ms:.1f} ms, p99 {time.p99_ms:.1f} ms, of {time.count}"


def _delivery_time(durations_s: Sequence[float]) -> DeliveryTime | None:
    if not durations_s:
        return None
    p50_s, p99_s = np.percentile(durations_s, [50, 99])
    return DeliveryTime(float(p50_s) * 1000, float(p99_s) * 1000, len(durations_s))
