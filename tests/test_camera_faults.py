"""The whole daemon with a real network camera that fails in every way, and a real broker that hears of it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from brokers import Broker, Subscriber, wait_until
from daemons import ALWAYS_A_HORNET, Daemon
from fakes import make_pixels
from jsonschema import Draft202012Validator
from mjpeg_server import MjpegServer

from hivewatch.camera_status import camera_schema

TIMEOUT_S, RAISE_S, CLEAR_S = 1.0, 1.5, 0.5
SLACK_S = 20.0  # for a busy machine; scripts/faults measures how long it really takes


def entrance(number: int) -> np.ndarray:
    """Return a picture as of a live sensor: no two are alike."""
    noise = np.random.default_rng(number).integers(0, 12, (120, 160, 3), np.uint8)
    return make_pixels(160, 120) // 2 + 60 + noise


def frozen(_number: int) -> np.ndarray:
    return entrance(0)


def black(number: int) -> np.ndarray:
    return entrance(number) // 20


@pytest.fixture
def server() -> Iterator[MjpegServer]:
    server = MjpegServer(rate_hz=10.0)
    server.picture = entrance
    server.start()
    yield server
    server.kill()


def camera(server: MjpegServer, **checks: float) -> dict[str, Any]:
    return {
        "kind": "video",
        "rate_hz": 8.0,
        "timeout_s": TIMEOUT_S,
        "video": {"source": server.url, "reconnect_first_s": 0.2, "reconnect_longest_s": 1.0},
        "checks": {"raise_after_s": RAISE_S, "clear_after_s": CLEAR_S, "reopenings": 2, **checks},
    }


class CameraTopic:
    """What a subscriber knows of the camera."""

    def __init__(self, subscriber: Subscriber) -> None:
        self._subscriber = subscriber

    @property
    def documents(self) -> list[dict[str, Any]]:
        return [json.loads(payload) for payload in self._subscriber.on("camera/status")]

    def wait_for(self, status: str, *reasons: str) -> float:
        """Wait until the camera has this status; return how long that took, in seconds."""
        began_s = time.monotonic()
        wait_until(
            lambda: [(d["status"], d["reasons"]) for d in self.documents[-1:]] == [(status, list(reasons))],
            f"{status} {reasons}; told so far: {[(d['status'], d['reasons']) for d in self.documents]}",
            SLACK_S,
        )
        return time.monotonic() - began_s


def test_every_fault_of_a_network_camera_reaches_a_subscriber_and_its_end_does_too(
    tmp_path: Path, tiny_model_path: Path, broker: Broker, server: MjpegServer
) -> None:
    sections = {
        "camera": camera(server, reopenings=100),
        "decision": ALWAYS_A_HORNET | {"cool_down_s": 0.0},
        "mqtt": {"host": "127.0.0.1", "port": broker.port},
    }
    with (
        Subscriber(broker.port) as subscriber,
        Daemon(tmp_path, tiny_model_path, **sections) as daemon,
    ):
        topic = CameraTopic(subscriber)
        wait_until(lambda: bool(topic.documents), "a first status", 60)
        topic.wait_for("online")

        server.hangs.set()
        topic.wait_for("offline", "no_frames")
        events = [json.loads(payload)["event_type"] for payload in subscriber.on("event")]
        wait_until(lambda: b'"event_type":"end"' in subscriber.on("event")[-1], "the open sighting ends")
        assert events[0] == "start"
        server.hangs.clear()
        topic.wait_for("online")

        server.picture = frozen
        topic.wait_for("offline", "repeating")
        daemon.wait_for_log("afresh, try 1 of")
        server.picture = entrance
        topic.wait_for("online")

        server.picture = black
        topic.wait_for("degraded", "dark")
        server.picture = entrance
        topic.wait_for("online")

        server.kill()
        topic.wait_for("offline", "no_frames")
        server.start()
        topic.wait_for("online")
        wait_until(lambda: b'"event_type":"start"' in subscriber.on("event")[-1], "sightings go on", 20)
        assert daemon.stop() == 0
    assert "Traceback" not in daemon.log
    for document in topic.documents:
        Draft202012Validator(camera_schema()).validate(document)


def test_a_camera_that_stays_frozen_ends_the_daemon_with_exit_code_4_and_its_last_word_is_offline(
    tmp_path: Path, tiny_model_path: Path, broker: Broker, server: MjpegServer
) -> None:
    server.picture = frozen
    mqtt = {"host": "127.0.0.1", "port": broker.port}
    with Daemon(tmp_path, tiny_model_path, camera=camera(server), mqtt=mqtt) as daemon:
        assert daemon.process.wait(60) == 4
    assert "the same picture comes again and again, although it was opened afresh 2 times" in daemon.log
    assert "Traceback" not in daemon.log
    with Subscriber(broker.port) as subscriber:
        CameraTopic(subscriber).wait_for("offline", "repeating")
        assert subscriber.on("availability") == [b"offline"]
