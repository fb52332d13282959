"""Load test of a broker: simulate the traffic of many hives, and measure its delivery to a subscriber.

Hives, broker and subscriber run on this machine, over loopback only. Each hive has its own connection with a
last will, and sends the daemon's real messages: states at the start, health once a minute, and hornet visits
as a start, an update and an end with their pictures.
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import json
import multiprocessing
import queue
import random
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import aiomqtt
import numpy as np
import paho.mqtt.client as mqtt
import psutil

from hivewatch.camera.simulator.camera import SimulatorCamera
from hivewatch.config.sections import SimulatorConfig
from hivewatch.domain.frames import WHOLE, Box, Location, Point, Prediction
from hivewatch.domain.sightings import ModelIdentity, Phase
from hivewatch.domain.wire import Message
from hivewatch.messages.alert import compose
from hivewatch.messages.documents import header, to_json
from hivewatch.messages.states import availability_message
from hivewatch.messages.test_alert import made_up_sighting
from hivewatch.messages.topics import HiveTopics

BASE = "hivewatch"
HEALTH_EVERY_S = 60.0
UPDATE_AFTER_S, END_AFTER_S = 5.0, 10.0
CONNECTING_AT_ONCE = 50
DRAIN_S = 20.0
# Appended to each picture: when it was sent (monotonic), and its number. Image viewers ignore it.
TRAILER = struct.Struct("<QQ")
KINDS = ("event", "snapshot", "health")


@dataclass(frozen=True, slots=True)
class Templates:
    """The daemon's real messages, composed once: events and pictures by phase, a health document."""

    events: dict[Phase, dict[str, Any]]
    pictures: dict[Phase, bytes]
    health: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Arrival:
    """What the subscriber received of one kind of message: distinct ones, duplicates, latencies."""

    received: int
    repeated: int
    latencies_s: list[float]


def topics_of(hive_id: str) -> HiveTopics:
    """Return the topics of one of the hives."""
    return HiveTopics(hive_id, hive_id, BASE)


def make_templates() -> Templates:
    """Compose the messages of a visit, from a frame of the simulator."""
    camera = SimulatorCamera(SimulatorConfig(), 1280, 720, 5.0, paced=False)
    frame = next(camera.frames(threading.Event()))
    prediction = Prediction(
        0.93,
        np.full((20, 35), -2.0, np.float32),
        WHOLE,
        Location(Point(0.5, 0.5), Box(0.45, 0.45, 0.55, 0.55)),
    )
    events, pictures = {}, {}
    for phase in Phase:
        sighting = made_up_sighting(frame, "", prediction, phase)
        alert = compose(sighting, topics_of("hive1"), ModelIdentity("fleet", "1", "0" * 64), 90)
        events[phase] = json.loads(alert.event.payload)
        (snapshot,) = alert.snapshots
        pictures[phase] = snapshot.payload
    # As long as a real one, which contains latencies of eight stages and the hour's scores.
    health = {"at": "", "frames": {"last_age_s": 0.2}, "store": {"outbox_depth": 0}, "latencies": "x" * 1200}
    return Templates(events, pictures, health)


class Hives:
    """All hives, in one process; ``sent`` counts the acknowledged messages by kind."""

    def __init__(self, port: int, count: int, seconds: float, visits_an_hour: float) -> None:
        """Connect nothing yet."""
        self.sent = dict.fromkeys(KINDS, 0)
        self.lost_connections = 0
        self._port = port
        self._count = count
        self._seconds = seconds
        self._visits_an_hour = visits_an_hour
        self._templates = make_templates()
        self._connecting = asyncio.Semaphore(CONNECTING_AT_ONCE)
        self._connected = asyncio.Barrier(count)
        self._numbers = iter(range(10**9))
        self.connected_s = 0.0

    async def run(self) -> None:
        """Connect all hives, then run them; raises the first error of any."""
        async with asyncio.TaskGroup() as hives:
            for number in range(self._count):
                hives.create_task(self._hive(f"hive{number:05}"))

    async def _hive(self, hive_id: str) -> None:
        offline = availability_message(topics_of(hive_id), online=False)
        will = aiomqtt.Will(offline.topic, offline.payload, 1, offline.retained)
        client = aiomqtt.Client(
            "127.0.0.1", self._port, identifier=f"hivewatch-{hive_id}", will=will, timeout=60
        )
        async with self._connecting:
            await client.__aenter__()
        try:
            await self._publish(client, availability_message(topics_of(hive_id), online=True))
            for leaf, text in (
                ("hornet/state", "OFF"),
                ("detection/state", "ON"),
                ("threshold/state", "0.8"),
            ):
                await self._publish(
                    client, Message(topics_of(hive_id).topic(leaf), text.encode(), retained=True)
                )
            await self._connected.wait()
            self.connected_s = self.connected_s or time.monotonic()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._send_health(client, hive_id))
                for start_s in self._visits():
                    tasks.create_task(self._visit(client, hive_id, start_s))
        except aiomqtt.MqttError:
            self.lost_connections += 1
            raise
        finally:
            with suppress(aiomqtt.MqttError):
                await client.__aexit__(None, None, None)

    def _visits(self) -> Iterator[float]:
        """Yield the start of each visit in seconds from now: a Poisson process of so many per hour."""
        rate_hz = self._visits_an_hour / 3600
        at_s = random.expovariate(rate_hz)
        while at_s < self._seconds - END_AFTER_S:
            yield at_s
            at_s += random.expovariate(rate_hz)

    async def _send_health(self, client: aiomqtt.Client, hive_id: str) -> None:
        at_s = random.uniform(0, HEALTH_EVERY_S)
        while at_s < self._seconds:
            await self._wait_until(at_s)
            content = header("health", topics_of(hive_id)) | self._templates.health
            await self._publish_document(client, hive_id, "health", content)
            at_s += HEALTH_EVERY_S
        await self._wait_until(self._seconds)

    async def _visit(self, client: aiomqtt.Client, hive_id: str, start_s: float) -> None:
        sighting_id = f"{hive_id}-{start_s:.3f}"
        for phase, after_s in zip(Phase, (0.0, UPDATE_AFTER_S, END_AFTER_S), strict=True):
            await self._wait_until(start_s + after_s)
            state = b"OFF" if phase is Phase.END else b"ON"
            await self._publish(
                client, Message(topics_of(hive_id).topic("hornet/state"), state, retained=True)
            )
            event = self._templates.events[phase] | {
                "sighting_id": sighting_id,
                "hive": {"id": hive_id, "name": hive_id},
            }
            await self._publish_document(client, hive_id, "event", event)
            await self._publish_picture(client, hive_id, self._templates.pictures[phase])

    async def _wait_until(self, at_s: float) -> None:
        await asyncio.sleep(max(0.0, self.connected_s + at_s - time.monotonic()))

    async def _publish_document(
        self, client: aiomqtt.Client, hive_id: str, leaf: str, content: dict[str, Any]
    ) -> None:
        stamped = content | {"number": next(self._numbers), "sent_ns": time.monotonic_ns()}
        await self._publish(
            client, Message(topics_of(hive_id).topic(leaf), to_json(stamped).encode(), leaf == "health")
        )
        self.sent[leaf] += 1

    async def _publish_picture(self, client: aiomqtt.Client, hive_id: str, picture: bytes) -> None:
        stamped = picture + TRAILER.pack(time.monotonic_ns(), next(self._numbers))
        await self._publish(client, Message(topics_of(hive_id).topic("snapshot"), stamped, retained=True))
        self.sent["snapshot"] += 1

    async def _publish(self, client: aiomqtt.Client, message: Message) -> None:
        await client.publish(message.topic, message.payload, 1, message.retained, timeout=60)


def subscribe(port: int, ready: Event, done: Event, results: Queue[dict[str, Arrival]]) -> None:
    """Receive everything until ``done``; runs in a process of its own, like a real subscriber."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    numbers: dict[str, set[int]] = {kind: set() for kind in KINDS}
    arrivals: dict[str, list[float]] = {kind: [] for kind in KINDS}

    def on_message(_client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        now_ns = time.monotonic_ns()
        kind = message.topic.rpartition("/")[2]
        if kind == "snapshot":
            sent_ns, number = TRAILER.unpack(message.payload[-TRAILER.size :])
        else:
            document = json.loads(message.payload)
            sent_ns, number = document["sent_ns"], document["number"]
        numbers[kind].add(number)
        arrivals[kind].append((now_ns - sent_ns) / 1e9)

    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="fleet-subscriber")
    client.on_message = on_message
    client.on_subscribe = lambda *_: ready.set()
    client.connect("127.0.0.1", port)
    client.subscribe([(f"{BASE}/+/{kind}", 1) for kind in KINDS])
    client.loop_start()
    total, quiet_since_s = -1, time.monotonic()
    while not done.is_set() or time.monotonic() - quiet_since_s < DRAIN_S / 4:
        time.sleep(0.1)
        if (count := sum(map(len, arrivals.values()))) != total:
            total, quiet_since_s = count, time.monotonic()
    client.loop_stop()
    results.put(
        {
            kind: Arrival(len(numbers[kind]), len(arrivals[kind]) - len(numbers[kind]), arrivals[kind])
            for kind in KINDS
        }
    )


@contextmanager
def mosquitto(folder: Path) -> Iterator[tuple[int, psutil.Process]]:
    """Run a broker with the limits of deploy/broker/mosquitto.conf; yield its port and process."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    lines = [
        f"listener {port} 127.0.0.1",
        "allow_anonymous true",
        f"user {getpass.getuser()}",
        "persistence false",
    ]
    lines += ["max_queued_messages 1000", "message_size_limit 4000000"]
    path = folder / "mosquitto.conf"
    path.write_text("\n".join(lines) + "\n")
    process = psutil.Popen(
        [shutil.which("mosquitto") or "/usr/sbin/mosquitto", "-c", str(path)], stderr=subprocess.DEVNULL
    )
    try:
        deadline_s = time.monotonic() + 30
        while True:
            with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
                break
            if process.poll() is not None or time.monotonic() > deadline_s:
                sys.exit("mosquitto does not start")
            time.sleep(0.05)
        yield port, process
    finally:
        process.kill()
        process.wait()


def measure(hives: int, seconds: float, visits_an_hour: float) -> dict[str, Any]:
    """Run the load test once; return the figures."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < hives + 200:
        sys.exit(f"{hives} hives need {hives + 200} open files; the limit is {hard} (ulimit -Hn)")
    spawn = multiprocessing.get_context("spawn")
    ready, done, results = spawn.Event(), spawn.Event(), spawn.Queue()
    with (
        tempfile.TemporaryDirectory(prefix="hivewatch-fleet-") as folder,
        mosquitto(Path(folder)) as (port, broker),
    ):
        subscriber = spawn.Process(target=subscribe, args=(port, ready, done, results), daemon=True)
        subscriber.start()
        if not ready.wait(60):
            sys.exit("the subscriber did not start")
        started_s = time.monotonic()
        fleet, cpu_s = asyncio.run(_play(port, hives, seconds, visits_an_hour, broker))
        ended_s = time.monotonic()
        rss_bytes = broker.memory_info().rss
        done.set()
        try:
            arrivals = results.get(timeout=DRAIN_S + 60)
        except queue.Empty:
            sys.exit("the subscriber did not end")
    duration_s = ended_s - fleet.connected_s
    return {
        "hives": hives,
        "seconds": round(duration_s, 1),
        "connecting_s": round(fleet.connected_s - started_s, 1),
        "visits_an_hour": visits_an_hour,
        "lost_connections": fleet.lost_connections,
        "broker_cpu_percent": round(100 * cpu_s / duration_s, 1),
        "broker_rss_mb": round(rss_bytes / 1e6),
        "messages": {kind: _figures(fleet.sent[kind], arrivals[kind]) for kind in KINDS},
    }


async def _play(
    port: int, hives: int, seconds: float, visits_an_hour: float, broker: psutil.Process
) -> tuple[Hives, float]:
    """Run the hives; return them, and the broker's CPU time in seconds since all were connected."""
    fleet = Hives(port, hives, seconds, visits_an_hour)
    running = asyncio.create_task(fleet.run())
    while not fleet.connected_s and not running.done():
        await asyncio.sleep(0.02)
    before = broker.cpu_times()
    await running
    after = broker.cpu_times()
    return fleet, after.user + after.system - before.user - before.system


def _figures(sent: int, arrival: Arrival) -> dict[str, Any]:
    p50_ms, p99_ms, worst_ms = (
        np.percentile(arrival.latencies_s, [50, 99, 100]) * 1000 if arrival.latencies_s else [np.nan] * 3
    )
    return {
        "sent": sent,
        "delivered": arrival.received,
        "lost": sent - arrival.received,
        "repeated": arrival.repeated,
        "p50_ms": round(float(p50_ms), 2),
        "p99_ms": round(float(p99_ms), 2),
        "worst_ms": round(float(worst_ms), 2),
    }


def table(report: dict[str, Any]) -> str:
    """Return the figures as a table of text."""
    lines = [
        f"{report['hives']} hives, {report['visits_an_hour']:g} visits per hour each, {report['seconds']} s"
        f" (all connected after {report['connecting_s']} s)",
        f"broker: {report['broker_cpu_percent']} % of one core, {report['broker_rss_mb']} MB;"
        f" connections lost: {report['lost_connections']}",
        f"{'':10}{'sent':>8}{'delivered':>11}{'lost':>6}{'twice':>7}"
        f"{'p50 ms':>9}{'p99 ms':>9}{'worst ms':>10}",
    ]
    for kind, row in report["messages"].items():
        lines.append(
            f"{kind:10}{row['sent']:>8}{row['delivered']:>11}{row['lost']:>6}{row['repeated']:>7}"
            f"{row['p50_ms']:>9.1f}{row['p99_ms']:>9.1f}{row['worst_ms']:>10.1f}"
        )
    return "\n".join(lines)


def main() -> int:
    """Measure and print; return 1 if anything was lost."""
    parser = argparse.ArgumentParser(
        prog="scripts/fleet", description="Simulate the MQTT traffic of many hives against a local mosquitto."
    )
    parser.add_argument("--hives", type=int, default=1000, metavar="N", help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=60.0, metavar="S", help="default: %(default)s")
    parser.add_argument(
        "--visits-an-hour",
        type=float,
        default=20.0,
        metavar="N",
        help="per hive; the default, %(default)s, is a hive under heavy attack at noon in September",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    arguments = parser.parse_args()
    if arguments.hives < 1 or arguments.seconds <= END_AFTER_S or arguments.visits_an_hour <= 0:
        parser.error(f"--hives and --visits-an-hour must be above 0, --seconds above {END_AFTER_S:g}")
    report = measure(arguments.hives, arguments.seconds, arguments.visits_an_hour)
    print(json.dumps(report, indent=2) if arguments.json else table(report))
    return int(any(row["lost"] for row in report["messages"].values()))


if __name__ == "__main__":
    sys.exit(main())
