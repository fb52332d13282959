"""Show hivewatch at work: the real daemon, a broker, and the messages as a subscriber receives them.

`scripts/demo` sets up the environment and runs this. Exit codes: 0 success, 1 failure (a message says why),
2 wrong command line, 130 interrupted; otherwise the exit code of hivewatch.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import IO, Any

import yaml
from tqdm import tqdm

from hivewatch.answers.findings import Hornet, Span
from hivewatch.answers.words import clip_time, hornet_line
from hivewatch.camera.sources.clip import stated_length
from hivewatch.camera.sources.files import CLIP_SUFFIXES
from hivewatch.camera.sources.picture import modified_at
from hivewatch.config.sections import CameraConfig, MqttConfig
from hivewatch.domain.frames import Box, Location, Point
from hivewatch.domain.names import printable
from hivewatch.domain.wire import Message
from hivewatch.errors import PublishError
from hivewatch.messages.contract import TOPICS
from hivewatch.mqtt import waiting
from hivewatch.mqtt.connection import ConnectError, Connection
from hivewatch.mqtt.credentials import Credentials

HIVE = "demo"
SHOWN = ("availability", "hornet/state", "event", "snapshot")
BROKER_TIMEOUT_S = 10.0
LARGEST_PICTURE_BYTES = 16 * 1024 * 1024
STOP_TIMEOUT_S = 15.0
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class DemoError(Exception):
    """The demo cannot continue; the message says why."""


class Viewer:
    """A subscriber that prints the demo hive's messages and checks pictures against their events."""

    def __init__(self, host: str, port: int) -> None:
        """Subscribe; raises DemoError if the broker does not answer."""
        self.ended: list[dict[str, Any]] = []
        self.pictures: set[str] = set()
        self.is_online = False
        self._announced: set[str] = set()
        self._topics = f"hivewatch/{HIVE}"
        self._inbox: deque[Message] = deque()
        self._connection = Connection(
            MqttConfig(host=host, port=port),
            f"hivewatch-demo-{secrets.token_hex(4)}",
            Credentials(None, None),
            largest_incoming_bytes=LARGEST_PICTURE_BYTES,
        )
        run_once = partial(self._connection.run_once, None)
        try:
            waiting.connect(self._connection, BROKER_TIMEOUT_S, run_once)
            reply = self._connection.subscribe([f"{self._topics}/#"], self._inbox.append)
            is_answered = waiting.wait_for(lambda: reply.is_answered, BROKER_TIMEOUT_S, run_once)
        except ConnectError as error:
            raise DemoError(f"no broker answers on {host}:{port}: {error}") from error
        except PublishError as error:
            raise DemoError(f"the broker on {host}:{port} rejects the demo: {error}") from error
        if not is_answered or reply.refusal:
            raise DemoError(f"the broker on {host}:{port} rejects the demo")

    def show_next(self) -> None:
        """Print what arrives soon; raises DemoError for a picture without an event, and PublishError."""
        self._connection.run_once(None, 0.2)
        while self._inbox:
            self._show(self._inbox.popleft())

    def show_rest(self) -> None:
        """Print everything the broker has received so far, up to a last message sent here."""
        last = Message(f"{self._topics}/demo", b"end", retained=False)
        self._publish(last)
        until_s = time.monotonic() + BROKER_TIMEOUT_S
        while last.topic not in (message.topic for message in self._inbox) and time.monotonic() < until_s:
            self._connection.run_once(None, 0.2)
        while self._inbox and (message := self._inbox.popleft()).topic != last.topic:
            self._show(message)

    def close(self) -> None:
        """Delete the retained messages, since the broker may be the user's own, and disconnect."""
        with contextlib.suppress(PublishError):
            for entry in TOPICS:
                if entry.retained:
                    self._publish(Message(f"{self._topics}/{entry.leaf}", b"", retained=True))
            self._connection.disconnect()
        self._connection.close()

    def _publish(self, message: Message) -> None:
        """Publish and wait for the acknowledgement; raises PublishError."""
        reply = self._connection.publish(message)
        waiting.wait_for(
            lambda: reply.is_answered, BROKER_TIMEOUT_S, partial(self._connection.run_once, None)
        )

    def _show(self, message: Message) -> None:
        payload = message.payload
        leaf = message.topic.removeprefix(f"{self._topics}/")
        if leaf not in SHOWN:
            return  # the demo shows only hornets, not health
        if message.retained:
            text = f"{len(payload)} bytes, retained from an earlier run"
        elif leaf == "event":
            text = self._event(json.loads(payload))
        elif leaf == "snapshot":
            text = self._picture(payload)
        else:
            text = payload.decode()
            self.is_online = self.is_online or text == "online"
        clear = "\r\x1b[K" if sys.stdout.isatty() else ""  # there may be a progress bar in this line
        print(f"{clear}{message.topic:27}  {text}", flush=True)

    def _event(self, event: dict[str, Any]) -> str:
        self._announced.add(event["snapshot"]["sha256"])
        if event["event_type"] == "end":
            self.ended.append(event)
        box = event["box"]
        box_text = "no box" if box is None else "box x {x0:.2f}-{x1:.2f} y {y0:.2f}-{y1:.2f}".format(**box)
        at, started_at = (
            f"{datetime.fromisoformat(event[name]).astimezone():%H:%M:%S}" for name in ("at", "started_at")
        )
        return (
            f"{event['event_type']:6}  score {event['score']:.2f} (best {event['best_score']:.2f}),"
            f" {box_text}, {event['votes_for']} of {event['votes']} frames, at {at}, started {started_at}"
        )

    def _picture(self, payload: bytes) -> str:
        sha256 = hashlib.sha256(payload).hexdigest()
        if sha256 not in self._announced:
            raise DemoError(f"the picture on {self._topics}/snapshot, SHA-256 {sha256}, belongs to no event")
        self.pictures.add(sha256)
        return f"JPEG    {len(payload) / 1000:.0f} kB, SHA-256 {sha256[:12]}... as its event says"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo and return its exit code."""
    chosen = _parser().parse_args(arguments)
    # SIGINT too, since a shell ignores it in the processes it starts in the background.
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: sys.exit(130))
    try:
        with contextlib.ExitStack() as opened:
            return _demo(chosen, opened)
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr)
    except PublishError as error:
        print(f"demo: the connection to the broker was lost: {error}", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "path", nargs="?", type=Path, metavar="PATH", help="your own clip, picture or folder of them"
    )
    parser.add_argument(
        "--model", type=Path, metavar="FILE", help="your own model instead of the released one"
    )
    parser.add_argument(
        "--broker", type=_address, metavar="HOST[:PORT]", help="use this broker instead of a private one"
    )
    parser.add_argument(
        "--limit",
        type=float,
        default=120.0,
        metavar="SECONDS",
        help="how long to wait for a simulated hornet (default: %(default)g)",
    )
    return parser


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.partition(":")
    if not host or not (port or "1883").isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST or HOST:PORT")
    return host, int(port or 1883)


def _demo(chosen: argparse.Namespace, opened: contextlib.ExitStack) -> int:
    for path in filter(None, (chosen.path, chosen.model)):
        if not path.exists():
            raise DemoError(f"{printable(path)} does not exist")
        if _is_clip(path) or path == chosen.model:
            _require_utf8(path)
    folder = _make_folder()
    host, port = chosen.broker or opened.enter_context(own_broker())
    config = folder / "hivewatch.yaml"
    config.write_text(yaml.safe_dump(_config(chosen, host, port), sort_keys=False))
    viewer = opened.enter_context(contextlib.closing(Viewer(host, port)))
    watched = "a simulated hive" if chosen.path is None else printable(chosen.path)
    print(f"Watching {watched}; alerts go to the broker on {host}:{port}.", flush=True)
    if chosen.path is None:
        code = _watch(config, chosen.limit, viewer, opened)
    elif _is_clip(chosen.path):
        code = _watch_clip(chosen.path, config, viewer, opened)
    else:
        code = _replay(chosen.path, config, viewer, opened)
    _print_pictures(viewer, folder)
    return code


def _make_folder() -> Path:
    folder = Path("hivewatch-demo", f"{datetime.now():%Y-%m-%d-%H%M%S}-{os.getpid()}")
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise DemoError(
            f"cannot create {folder.absolute()}: {error.strerror}; run the demo in another folder"
        ) from error
    return folder


def _config(chosen: argparse.Namespace, host: str, port: int) -> dict[str, Any]:
    """Return the daemon's configuration; everything else is at its default."""
    sections: dict[str, Any] = {}
    if chosen.path is None:
        simulator = {"hornet_every_s": 20.0, "hornet_stay_s": 8.0}
        sections = {
            "camera": {"kind": "simulator", "simulator": simulator},
            "decision": {"quiet_s": 4.0},
        }
    elif _is_clip(chosen.path):
        sections = {"camera": {"kind": "video", "video": {"source": str(chosen.path.absolute())}}}
    if chosen.model is not None:
        sections["classifier"] = {"model": str(chosen.model.absolute())}
    return {
        "hive": {"id": HIVE, "name": "Demo hive"},
        **sections,
        "store": {"directory": "store"},
        "mqtt": {"host": host, "port": port},
        "clock": {"wait_s": 0},  # do not wait for a time server
        "log": {"level": "warning"},
    }


def _require_utf8(path: Path) -> None:
    """Raise DemoError for a path that cannot be written into the daemon's configuration."""
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError as error:
        raise DemoError(f"the name of {printable(path.absolute())} is not UTF-8: rename it") from error


def _is_clip(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in CLIP_SUFFIXES


def _watch(config: Path, limit_s: float, viewer: Viewer, opened: contextlib.ExitStack) -> int:
    """Run the daemon until its first sighting has ended, then stop it."""
    daemon = opened.enter_context(_hivewatch(["run", "--config", str(config)]))
    deadline_s = time.monotonic() + limit_s
    while not viewer.ended:
        viewer.show_next()
        if daemon.poll() is not None:
            raise DemoError(f"the daemon ended with exit code {daemon.returncode}; see its message above")
        if time.monotonic() > deadline_s:
            raise DemoError(f"no complete sighting within {limit_s:g} s")
    daemon.terminate()
    daemon.wait(STOP_TIMEOUT_S)
    viewer.show_rest()
    return daemon.returncode


def _watch_clip(path: Path, config: Path, viewer: Viewer, opened: contextlib.ExitStack) -> int:
    """Run the daemon with the clip as its camera, to the end of the clip; it takes as long as the clip."""
    rate_hz = CameraConfig().rate_hz
    _, length_s = stated_length(path, rate_hz)
    print(f"The clip plays as it was taken, {clip_time(length_s)} long, at {rate_hz:g} frames a second.")
    daemon = opened.enter_context(_hivewatch(["run", "--config", str(config)]))
    shape = "{percentage:3.0f}%|{bar}| {n_fmt} of {total_fmt} s"
    with tqdm(total=round(length_s), bar_format=shape, disable=None if length_s >= 1 else True) as bar:
        started_s = None
        while daemon.poll() is None:
            viewer.show_next()
            if started_s is None and viewer.is_online:
                started_s = time.monotonic()
            if started_s is not None:
                bar.update(min(round(time.monotonic() - started_s), round(length_s)) - bar.n)
    viewer.show_rest()
    if daemon.returncode == 0:
        for event in viewer.ended:
            print(hornet_line(_hornet(event, path)))
        if not viewer.ended:
            print(f"No hornet was seen in {printable(path)}.")
    return daemon.returncode


def _hornet(event: dict[str, Any], path: Path) -> Hornet:
    """Return the visit that the end ``event`` reports, in the time of the clip at ``path``."""
    first_at = modified_at(path)
    span = Span(
        *(
            (datetime.fromisoformat(text) - first_at).total_seconds()
            for text in (event["started_at"], event["last_seen_at"], event["frame"]["taken_at"])
        )
    )
    box = None if event["box"] is None else Box(**event["box"])
    location = Location(Point(**event["peak"]), box)
    return Hornet(event["sighting_id"], str(path), event["best_score"], location, span)


def _replay(path: Path, config: Path, viewer: Viewer, opened: contextlib.ExitStack) -> int:
    """Run the files through the daemon's loop, to their end."""
    answer = config.with_name("replay.txt")
    with answer.open("w") as output:
        replay = opened.enter_context(
            _hivewatch(["replay", str(path), "--publish", "--config", str(config)], output)
        )
        while replay.poll() is None:
            viewer.show_next()
    viewer.show_rest()
    if replay.returncode == 0:
        print(answer.read_text(), end="")
    return replay.returncode


@contextlib.contextmanager
def _hivewatch(arguments: list[str], output: IO[str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Run hivewatch in its own process group, so that Ctrl-C reaches only the demo; end it afterwards."""
    # -P: otherwise a checkout named hivewatch in the current folder would be imported as the package.
    command = [sys.executable, "-P", "-m", "hivewatch", *arguments]
    process = None
    try:
        with _stop_deferred():
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, process_group=0)
        yield process
    finally:
        if process is not None:
            _end(process)


@contextlib.contextmanager
def _stop_deferred() -> Iterator[None]:
    """Defer stop signals until after the block, or a child that was just started would be left behind."""
    received: list[int] = []
    handlers = {number: signal.signal(number, lambda n, _: received.append(n)) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if received:
        sys.exit(130)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _print_pictures(viewer: Viewer, folder: Path) -> None:
    """Print the paths of the annotated snapshots; raises DemoError if one does not match its event."""
    files = {hashlib.sha256(file.read_bytes()).hexdigest(): file for file in folder.rglob("*.jpg")}
    for event in viewer.ended:
        sha256 = event["snapshot"]["sha256"]
        if sha256 not in files or sha256 not in viewer.pictures:
            raise DemoError(f"the picture of sighting {event['sighting_id']} was not sent or not stored")
        print(f"Annotated snapshot: {files[sha256].absolute()}")


@contextlib.contextmanager
def own_broker() -> Iterator[tuple[str, int]]:
    """Run an MQTT broker in this process; yield its address."""
    from amqtt.broker import Broker

    for name in ("amqtt", "transitions"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with socket.create_server(("127.0.0.1", 0)) as free:
        host, port = free.getsockname()
    config = {
        "listeners": {"default": {"type": "tcp", "bind": f"{host}:{port}"}},
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    }

    async def start() -> Any:
        broker = Broker(config)
        await broker.start()
        return broker

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    broker = asyncio.run_coroutine_threadsafe(start(), loop).result(BROKER_TIMEOUT_S)
    try:
        yield host, port
    finally:
        asyncio.run_coroutine_threadsafe(broker.shutdown(), loop).result(BROKER_TIMEOUT_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(BROKER_TIMEOUT_S)
        loop.close()


if __name__ == "__main__":
    sys.exit(main())
