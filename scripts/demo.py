"""Show hivewatch at work: the real daemon, a broker, and what a subscriber sees as it comes.

`scripts/demo` prepares the environment and runs this. Exit codes: 0 shown to the end, 1 it did not work
(a sentence says why), 2 wrong command line, 130 interrupted; otherwise the exit code of hivewatch.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import logging
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import yaml
from paho.mqtt.enums import CallbackAPIVersion

HIVE = "demo"
TOPICS = f"hivewatch/{HIVE}"
CLIPS = {".mp4", ".avi", ".mkv", ".mov", ".m4v", ".webm", ".mjpg", ".mjpeg", ".ts", ".h264"}
STOP_S = 15.0
ANSWER_S = 10.0


class DemoError(Exception):
    """The demo cannot go on; the message is for the person in front of it."""


@dataclass
class Viewer:
    """Prints what comes, as a subscriber sees it, and remembers what the sightings' pictures should be."""

    ended: list[dict[str, Any]] = field(default_factory=list)
    announced: set[str] = field(default_factory=set)
    pictures: set[str] = field(default_factory=set)
    is_offline: bool = False

    def show(self, topic: str, payload: bytes | bytearray, *, retained: bool) -> None:
        """Print one message. Raises DemoError for a picture that no event has announced."""
        leaf = topic.rpartition("/")[2]
        if retained:
            text = f"{len(payload)} bytes, kept by the broker from before"
        elif leaf == "event":
            text = self._event(json.loads(payload))
        elif leaf == "snapshot":
            text = self._picture(payload)
        else:
            text = payload.decode()
            self.is_offline = text == "offline"
        # On a terminal a progress bar may stand in this line.
        print(f"\r\x1b[K{topic:27}  {text}" if sys.stdout.isatty() else f"{topic:27}  {text}", flush=True)

    def _event(self, event: dict[str, Any]) -> str:
        self.announced.add(event["snapshot"]["sha256"])
        if event["event_type"] == "end":
            self.ended.append(event)
        box = event["box"]
        place = "no box" if box is None else "box x {x0:.2f}-{x1:.2f} y {y0:.2f}-{y1:.2f}".format(**box)
        at, since = (_local(event[name]) for name in ("at", "started_at"))
        return (
            f"{event['event_type']:6} score {event['score']:.2f}, best {event['best_score']:.2f}, {place},"
            f" {event['votes_for']} of {event['votes']} frames, {at}, began {since}"
        )

    def _picture(self, payload: bytes | bytearray) -> str:
        sha256 = hashlib.sha256(payload).hexdigest()
        if sha256 not in self.announced:
            raise DemoError(f"the picture on {TOPICS}/snapshot (SHA-256 {sha256}) belongs to no event")
        self.pictures.add(sha256)
        return f"JPEG of {len(payload) / 1000:.0f} kB, SHA-256 {sha256[:12]}..., as its event says"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo and return its exit code."""
    chosen = _parser().parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(130))
    try:
        with contextlib.ExitStack() as opened:
            return _demo(chosen, opened)
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "path", nargs="?", type=Path, metavar="PATH", help="your own clip, picture or folder of them"
    )
    parser.add_argument("--broker", metavar="HOST[:PORT]", help="a broker of yours instead of the demo's own")
    parser.add_argument(
        "--limit", type=float, default=120.0, metavar="SECONDS", help="wait so long for a hornet (120)"
    )
    return parser


def _demo(chosen: argparse.Namespace, opened: contextlib.ExitStack) -> int:
    if chosen.path and not chosen.path.exists():
        raise DemoError(f"{chosen.path} does not exist")
    folder = _make_folder()
    if chosen.broker:
        host, _, port = chosen.broker.partition(":")
        address = host, int(port or 1883)
    else:
        address = opened.enter_context(own_broker())
    config = folder / "hivewatch.yaml"
    config.write_text(yaml.safe_dump(_config(chosen.path, *address), sort_keys=False))
    messages = opened.enter_context(_subscribed(*address))
    print(f"Watching {chosen.path or 'a drawn hive'}; alerts go to the broker on {address[0]}:{address[1]}.")
    viewer = Viewer()
    if chosen.path:
        code = _replay(chosen.path, config, folder / "replay.txt", messages, viewer, opened)
    else:
        code = _watch(config, chosen.limit, messages, viewer, opened)
    _tell_pictures(viewer, folder)
    return code


def _make_folder() -> Path:
    folder = Path("hivewatch-demo") / f"{datetime.now():%Y-%m-%d-%H%M%S}"
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise DemoError(f"cannot make {folder.absolute()}: {error.strerror}; go to another folder") from error
    return folder


def _config(path: Path | None, host: str, port: int) -> dict[str, Any]:
    """Return the daemon's configuration; what is not named here is at its default."""
    config: dict[str, Any] = {
        "hive": {"id": HIVE, "name": "Demo hive"},
        "camera": {"kind": "simulator", "simulator": {"hornet_every_s": 20.0, "hornet_stay_s": 8.0}},
        "decision": {"quiet_s": 4.0},
        "store": {"directory": "store"},
        "mqtt": {"host": host, "port": port},
        "log": {"level": "warning"},
    }
    if path:
        # A clip is judged as a camera would be. Pictures stand each for itself, as if taken a minute apart.
        config["camera"] = {} if _has_clips(path) else {"rate_hz": 1 / 60}
        config["decision"] = {} if _has_clips(path) else {"votes": 1, "out_of": 1, "cool_down_s": 0.0}
    return config


def _has_clips(path: Path) -> bool:
    return any(file.suffix.lower() in CLIPS for file in (path, *path.rglob("*")))


def _watch(
    config: Path,
    limit_s: float,
    messages: queue.Queue[mqtt.MQTTMessage],
    viewer: Viewer,
    opened: contextlib.ExitStack,
) -> int:
    """Run the daemon until its first sighting has ended, and stop it."""
    daemon = opened.enter_context(_hivewatch(["run", "--config", str(config)]))
    deadline_s = time.monotonic() + limit_s
    while not viewer.ended:
        _show_next(messages, viewer)
        if daemon.poll() is not None:
            raise DemoError(f"the daemon ended with exit code {daemon.returncode}; its reason stands above")
        if time.monotonic() > deadline_s:
            raise DemoError(f"no sighting began and ended within {limit_s:g} s; is this machine very busy?")
    daemon.terminate()
    _show_rest(daemon, messages, viewer)
    return daemon.returncode


def _replay(
    path: Path,
    config: Path,
    report: Path,
    messages: queue.Queue[mqtt.MQTTMessage],
    viewer: Viewer,
    opened: contextlib.ExitStack,
) -> int:
    """Send the files through the daemon's loop to their end."""
    ungated = [] if _has_clips(path) else ["--ungated"]
    arguments = ["replay", str(path), "--publish", "--config", str(config), *ungated]
    with report.open("w") as output:
        replay = opened.enter_context(_hivewatch(arguments, output))
        while replay.poll() is None:
            _show_next(messages, viewer)
    _show_rest(replay, messages, viewer)
    if replay.returncode == 0:
        print(report.read_text().splitlines()[-1])
    return replay.returncode


@contextlib.contextmanager
def _hivewatch(arguments: list[str], output: Any = None) -> Iterator[subprocess.Popen[bytes]]:
    """Run hivewatch in a process group of its own, so that a Ctrl-C reaches us alone; end it afterwards."""
    process = subprocess.Popen(
        [sys.executable, "-m", "hivewatch", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=output,
        process_group=0,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _show_next(messages: queue.Queue[mqtt.MQTTMessage], viewer: Viewer) -> None:
    with contextlib.suppress(queue.Empty):
        message = messages.get(timeout=0.2)
        viewer.show(message.topic, message.payload, retained=message.retain)


def _show_rest(
    process: subprocess.Popen[bytes], messages: queue.Queue[mqtt.MQTTMessage], viewer: Viewer
) -> None:
    """Show what comes until hivewatch has ended and said goodbye."""
    deadline_s = time.monotonic() + STOP_S
    while process.poll() is None or not viewer.is_offline:
        _show_next(messages, viewer)
        if time.monotonic() > deadline_s:
            raise DemoError(f"hivewatch has not said goodbye within {STOP_S:g} s")


def _tell_pictures(viewer: Viewer, folder: Path) -> None:
    """Print where the annotated snapshots lie; raises DemoError where one is not what was told."""
    files = {hashlib.sha256(file.read_bytes()).hexdigest(): file for file in folder.rglob("*.jpg")}
    for event in viewer.ended:
        sha256 = event["snapshot"]["sha256"]
        if sha256 not in files or sha256 not in viewer.pictures:
            raise DemoError(f"the picture of sighting {event['sighting_id']} was not sent, or not kept")
        print(f"Annotated snapshot: {files[sha256].absolute()}")
    if not viewer.ended:
        print("No hornet was seen.")


@contextlib.contextmanager
def own_broker() -> Iterator[tuple[str, int]]:
    """Run an MQTT broker inside this process; yields its address."""
    from amqtt.broker import Broker

    for name in ("amqtt", "transitions"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with socket.create_server(("127.0.0.1", 0)) as free:
        address: tuple[str, int] = free.getsockname()
    config = {
        "listeners": {"default": {"type": "tcp", "bind": f"{address[0]}:{address[1]}"}},
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    }

    async def start() -> Any:
        broker = Broker(config)
        await broker.start()
        return broker

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    broker = asyncio.run_coroutine_threadsafe(start(), loop).result(ANSWER_S)
    try:
        yield address
    finally:
        asyncio.run_coroutine_threadsafe(broker.shutdown(), loop).result(ANSWER_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(ANSWER_S)
        loop.close()


@contextlib.contextmanager
def _subscribed(host: str, port: int) -> Iterator[queue.Queue[mqtt.MQTTMessage]]:
    """Subscribe to all that the demo's hive publishes; yields the queue of what comes."""
    messages: queue.Queue[mqtt.MQTTMessage] = queue.Queue()
    is_subscribed = threading.Event()
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.on_connect = lambda client, *_: client.subscribe(f"{TOPICS}/#", 1)
    client.on_subscribe = lambda *_: is_subscribed.set()
    client.on_message = lambda _client, _data, message: messages.put(message)
    try:
        client.connect(host, port)
    except (OSError, UnicodeError) as error:
        raise DemoError(f"no broker answers on {host}:{port}: {error}") from error
    client.loop_start()
    try:
        if not is_subscribed.wait(ANSWER_S):
            raise DemoError(f"the broker on {host}:{port} does not let the demo in")
        yield messages
    finally:
        for leaf in ("availability", "snapshot"):  # leave nothing retained on somebody's broker
            client.publish(f"{TOPICS}/{leaf}", b"", 1, retain=True).wait_for_publish(ANSWER_S)
        client.disconnect()
        client.loop_stop()


def _local(text: str) -> str:
    return f"{datetime.fromisoformat(text).astimezone():%H:%M:%S}"


if __name__ == "__main__":
    sys.exit(main())
