"""A replay decides as the daemon does that watches the same recording."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import pytest
import yaml
from support.brokers import Broker, Subscriber, wait_until
from support.mjpeg_server import MjpegServer

from hivewatch.camera.simulator.camera import SimulatorCamera
from hivewatch.config.sections import SimulatorConfig

pytestmark = pytest.mark.slow

VIDEO = SimulatorConfig(seed=11, hornet_every_s=16.0, hornet_stay_s=5.0, duration_s=16.0)
SIZE = (640, 360)
ATTEMPTS = 3  # on a busy machine the daemon drops frames, which a replay does not
Event = dict[str, Any]


def record_clip(path: Path, rate_hz: float) -> Path:
    """Record the simulator's video."""
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), rate_hz, SIZE)
    for frame in SimulatorCamera(VIDEO, *SIZE, rate_hz=rate_hz, paced=False).frames(threading.Event()):
        writer.write(cv2.cvtColor(frame.pixels, cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def jpegs(clip: Path) -> list[bytes]:
    """Return the frames of an AVI as it holds them."""
    content = clip.read_bytes()
    position = content.index(b"movi") + 4
    found = []
    while content[position : position + 4] == b"00dc":
        (length,) = struct.unpack_from("<I", content, position + 4)
        found.append(content[position + 8 : position + 8 + length])
        position += 8 + length + length % 2
    return found


def write_config(folder: Path, port: int, rate_hz: float, **sections: Any) -> Path:
    """Write a configuration in which no time of a decision is a whole number of frames."""
    folder.mkdir(exist_ok=True)
    path = folder / "hivewatch.yaml"
    sections = {
        "decision": {"quiet_s": 2.3 / rate_hz, "cool_down_s": 0.0, "update_every_s": 1.3 / rate_hz},
        "clock": {"wait_s": 0},
        "mqtt": {"host": "127.0.0.1", "port": port},
        "store": {"directory": "store"},
        **sections,
    }
    path.write_text(yaml.safe_dump(sections))
    return path


def replayed_events(clip: Path, config: Path, folder: Path) -> list[Event]:
    command = [sys.executable, "-m", "hivewatch", "replay", "--json", "--config", str(config), str(clip)]
    done = subprocess.run(
        [*command, "--out", str(folder)], capture_output=True, text=True, timeout=120, check=True
    )
    lines = map(json.loads, done.stdout.splitlines())
    return [line["sighting"] for line in lines if "sighting" in line]


def watched_events(config: Path, port: int, is_over: Callable[[Subscriber], bool]) -> tuple[list[Event], str]:
    """Run the daemon until it ends or ``is_over``; return the published events and the log."""
    command = [sys.executable, "-m", "hivewatch", "run", "--config", str(config)]
    log = config.with_name("daemon.log")
    with Subscriber(port) as subscriber, log.open("w") as output:
        daemon = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            wait_until(lambda: daemon.poll() is not None or is_over(subscriber), "the recording ends", 90)
            daemon.terminate()
            daemon.wait(20)
        finally:
            daemon.kill()
            daemon.wait()
        return [json.loads(payload) for payload in subscriber.on("event")], log.read_text()


def without_id(events: list[Event]) -> list[Event]:
    return [{key: value for key, value in event.items() if key != "sighting_id"} for event in events]


def test_a_replay_publishes_what_the_daemon_does_that_plays_the_clip(tmp_path: Path, broker: Broker) -> None:
    """Times, scores, votes, boxes and the hash of each picture are equal; only the ids are random."""
    clip = record_clip(tmp_path / "clip.avi", rate_hz=10.0)
    camera = {"kind": "video", "rate_hz": 2.0, "video": {"source": str(clip)}}
    for attempt in range(ATTEMPTS):
        config = write_config(tmp_path / f"{attempt}", broker.port, 2.0, camera=camera)
        watched, log = watched_events(config, broker.port, lambda _: False)
        if "were dropped" not in log:
            break
    replayed = replayed_events(clip, config, tmp_path / "out")
    assert [event["event_type"] for event in replayed].count("end") >= 1, "the clip has a hornet in it"
    assert without_id(watched) == without_id(replayed)


@pytest.fixture
def server() -> Iterator[MjpegServer]:
    server = MjpegServer()
    yield server
    server.kill()


def test_a_replay_decides_as_the_daemon_does_that_watches_a_network_camera(
    tmp_path: Path, broker: Broker, server: MjpegServer
) -> None:
    """The camera shows the pictures of the clip, at its pace. Only the times of their arrival vary."""
    rate_hz, lead = 1.0, 60
    clip = record_clip(tmp_path / "clip.avi", rate_hz)
    pictures = jpegs(clip)
    assert len(pictures) == VIDEO.duration_s * rate_hz

    def picture(number: int) -> bytes:
        """Return the first picture while the daemon connects, then the clip."""
        server.rate_hz = 20.0 if number < lead else rate_hz
        return pictures[min(max(0, number - lead), len(pictures) - 1)]

    server.picture = picture
    server.start()
    ungated = {"motion": {"enabled": False}}  # the lead would teach the background
    camera = {"kind": "video", "rate_hz": 20.0, "video": {"source": server.url}}
    config = write_config(tmp_path / "watched", broker.port, rate_hz, gate=ungated, camera=camera)
    watched, _ = watched_events(config, broker.port, lambda _: server.sent > lead + len(pictures))
    replayed = replayed_events(clip, config, tmp_path / "out")
    decided = ("event_type", "score", "best_score", "votes_for", "votes", "peak", "box")
    assert "end" in [event["event_type"] for event in replayed], "the clip has a hornet in it"
    assert [[event[key] for key in decided] for event in watched] == [
        [event[key] for key in decided] for event in replayed
    ]
    for ours, theirs in zip(watched, replayed, strict=True):
        assert seconds(ours) == pytest.approx(seconds(theirs), abs=0.5 / rate_hz)


def seconds(event: Event) -> list[float]:
    """Return the times of an event, of the last vote and of the best picture since the visit started."""
    times = event["at"], event["last_seen_at"], event["frame"]["taken_at"]
    started_at = datetime.fromisoformat(event["started_at"])
    return [(datetime.fromisoformat(time) - started_at).total_seconds() for time in times]
