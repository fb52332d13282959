"""Trials that kill the process at random instants."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import cv2
import yaml

from hivewatch.config.sections import CameraConfig, MqttConfig
from hivewatch.mqtt.publisher import Publisher
from hivewatch.store import Store
from support.brokers import Broker, Subscriber, wait_until
from support.fakes import make_pixels
from support.paths import SUPPORT
from support.trials import Outcome, compare, event_key, timed

JPEG_END = b"\xff\xd9"
DELIVERY_S = 120.0
# Every frame starts, updates or ends a sighting: the untrained model scores all of them above the
# threshold.
_DECISION = {"threshold": 0.0, "release": 0.0, "votes": 1, "update_gain": 0.0, "update_every_s": 0.0}


def kill_replays(directory: Path, model: Path, runs: int, seed: int = 1) -> Outcome:
    """Kill replays, deliver the rest of the outbox, and compare store and received events with the output."""
    directory.mkdir()
    clips = _make_clips(directory / "clips")
    store = directory / "store"
    broker = Broker(directory).start()
    config = directory / "hivewatch.yaml"
    config.write_text(yaml.safe_dump(_configuration(store, model, broker.port)))
    with (
        timed(Outcome("kill -9 at a random instant of a replay", runs)) as outcome,
        Subscriber(broker.port) as came,
    ):
        try:
            committed, killed = _replays(runs, seed, config, clips)
            _check_files(outcome, store)
            _deliver(store, broker.port)
            expected = [event_key(json.dumps(document)) for document in committed]
            wait_until(lambda: set(expected) <= set(map(event_key, came.on("event"))), "all events", 20)
        finally:
            broker.kill()
        compare(outcome, expected, [event_key(event) for event in came.on("event")])
        _check_store(outcome, store, {document["sighting_id"] for document in committed})
        outcome.note = f"{killed} killed, {len(committed)} events committed"
    return outcome


def _make_clips(folder: Path) -> Path:
    """Write clips, each of which is a source, and so a sighting, of its own."""
    folder.mkdir(parents=True)
    for number in range(10):
        file, codec = folder / f"{number:02}.avi", cv2.VideoWriter.fourcc(*"MJPG")
        writer = cv2.VideoWriter(str(file), codec, CameraConfig().rate_hz, (320, 240))
        for seed in range(4 * number, 4 * number + 4):
            writer.write(make_pixels(320, 240, seed))
        writer.release()
    return folder


def _configuration(store: Path, model: Path, port: int) -> dict[str, object]:
    return {
        "gate": {"motion": {"enabled": False}},
        "decision": _DECISION,
        "classifier": {"model": str(model), "threads": 1},
        "store": {"directory": str(store)},
        "mqtt": {"host": "127.0.0.1", "port": port},
        "log": {"level": "error"},
    }


def _replays(runs: int, seed: int, config: Path, clips: Path) -> tuple[list[dict[str, str]], int]:
    script = SUPPORT / "kill_replays.py"
    command = [sys.executable, str(script), str(runs), str(seed), str(config), str(clips)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *events, last = [json.loads(line) for line in done.stdout.splitlines()]
    return [event["sighting"] for event in events], last["killed"]


def _deliver(store: Path, port: int) -> None:
    with Store(store) as opened:
        publisher = Publisher(MqttConfig(host="127.0.0.1", port=port), opened, "hivewatch-after")
        publisher.start()
        assert publisher.drain(DELIVERY_S), "the outbox was not emptied"
        publisher.stop(5.0)


def _check_files(outcome: Outcome, store: Path) -> None:
    """Check the pictures that the last kill left."""
    for file in store.glob("snapshots/*/*.jpg"):
        if not (file.name.startswith(".") or file.read_bytes().endswith(JPEG_END)):
            outcome.problems.append(f"{file.name} is half a file")


def _check_store(outcome: Outcome, store: Path, committed: set[str]) -> None:
    with closing(sqlite3.connect(store / "hivewatch.db")) as database:
        (integrity,) = database.execute("PRAGMA integrity_check").fetchone()
    if integrity != "ok":
        outcome.problems.append(f"the database is damaged: {integrity}")
    with Store(store) as opened:
        missing = committed - {stored.id for stored in opened.sightings(100_000)}
        if missing:
            outcome.problems.append(f"{len(missing)} sightings are not in the store")
        if lost := opened.status().pictures_lost:
            outcome.problems.append(f"{lost} pictures lost")
