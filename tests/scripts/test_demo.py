"""The demo as a user runs it: its own process, with the real daemon and a real broker."""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import paho.mqtt.publish
import psutil
import pytest
import yaml
from support.brokers import Broker, free_port, wait_until
from support.hostile_broker import SUBACK, SUBSCRIBE, HostileBroker, packet, publish
from support.paths import PROJECT

from hivewatch.camera.simulator.camera import SimulatorCamera
from hivewatch.config.sections import SimulatorConfig

pytestmark = pytest.mark.slow

DEMO = PROJECT / "scripts" / "demo.py"
# A bound for a run that hangs; none takes as long, even on a busy machine.
DEADLINE_S = 280.0


@contextmanager
def demo(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-u", str(DEMO), *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def write_clip(path: Path, seconds: float, rate_hz: float) -> None:
    """Write a clip of the simulated hive while a hornet visits it."""
    video, size = SimulatorConfig(hornet_every_s=seconds, hornet_stay_s=seconds), (640, 360)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), rate_hz, size)
    frames = SimulatorCamera(video, *size, rate_hz=rate_hz, paced=False).frames(threading.Event())
    for frame in itertools.islice(frames, round(seconds * rate_hz)):
        writer.write(cv2.cvtColor(frame.pixels, cv2.COLOR_RGB2BGR))
    writer.release()


def wait_for_daemon(process: subprocess.Popen[str]) -> psutil.Process:
    """Wait until the demo has started; return the daemon's process."""
    assert process.stdout is not None
    assert process.stdout.readline().startswith("Watching")
    wait_until(lambda: bool(psutil.Process(process.pid).children()), "the daemon is started")
    return psutil.Process(process.pid).children()[0]


def test_a_sighting_is_shown_from_start_to_end_with_the_picture_its_event_names(
    tmp_path: Path,
) -> None:
    (tmp_path / "hivewatch").mkdir()  # as beside a checkout: it must not be imported as the package
    with demo(tmp_path) as process:
        output, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, output
    lines = [line.split(maxsplit=2)[:2] for line in output.splitlines() if line.startswith("hivewatch/")]
    shown = [(topic.removeprefix("hivewatch/demo/"), first) for topic, first in lines]
    messages = [entry for entry in shown if entry[0] != "hornet/state"]
    assert messages[:3] == [("availability", "online"), ("event", "start"), ("snapshot", "JPEG")]
    assert [state for topic, state in shown if topic == "hornet/state"] == ["OFF", "ON", "OFF"]
    assert ("event", "end") in shown
    assert shown[-1] == ("availability", "offline")
    assert "Traceback" not in output
    snapshot = re.search(r"^Annotated snapshot: (.+)$", output, re.MULTILINE)
    assert snapshot, output
    assert Path(snapshot[1]).is_relative_to(tmp_path / "hivewatch-demo")
    height_px, width_px, _ = cv2.imread(snapshot[1]).shape
    assert width_px == 1280
    assert height_px > 720, "there is a footer below the picture"


def test_own_pictures_are_judged_one_by_one_and_no_hornet_is_reported(
    tmp_path: Path,
) -> None:
    (tmp_path / "pictures").mkdir()
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / "pictures" / name), np.full((360, 640, 3), 128, np.uint8))
    with demo(tmp_path, "pictures") as process:
        output, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, output
    assert "pictures: no hornet in 2 pictures" in output


def test_own_clip_is_watched_by_the_daemon_and_answered_in_the_time_of_the_clip(
    tmp_path: Path,
) -> None:
    write_clip(tmp_path / "own.avi", seconds=8.0, rate_hz=30.0)
    with demo(tmp_path, "own.avi") as process:
        output, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, output
    lines = output.splitlines()
    assert "The clip plays as it was taken, 0:08 long, at 5 frames a second." in lines
    messages = [line.split()[:2] for line in lines if line.startswith("hivewatch/")]
    assert messages[0] == ["hivewatch/demo/availability", "online"], "it is the daemon, not a replay"
    assert messages[-1] == ["hivewatch/demo/availability", "offline"]
    assert re.search(
        "^own.avi: hornet from 0:0[0-4] to 0:0[2-8], best picture [0-9]+ %", output, re.MULTILINE
    )
    assert re.search("^Annotated snapshot: .+", output, re.MULTILINE)


def test_a_clip_without_a_hornet_is_answered_plainly_by_the_model_that_was_named(
    tmp_path: Path, tiny_model_path: Path
) -> None:
    writer = cv2.VideoWriter(str(tmp_path / "own.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (160, 120))
    for _ in range(10):
        writer.write(np.full((120, 160, 3), 128, np.uint8))
    writer.release()
    with demo(tmp_path, "own.avi", "--model", str(tiny_model_path)) as process:
        output, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, output
    assert "No hornet was seen in own.avi." in output
    (config,) = (tmp_path / "hivewatch-demo").glob("*/hivewatch.yaml")
    assert yaml.safe_load(config.read_text())["classifier"] == {"model": str(tiny_model_path)}


@pytest.mark.parametrize(("name", "code"), [("no.pt", 1), ("text.pt", 5)])
def test_a_model_that_cannot_be_used_is_a_failure_and_not_no_hornet(
    tmp_path: Path, name: str, code: int
) -> None:
    (tmp_path / "text.pt").write_text("not a model")
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((90, 160, 3), np.uint8))
    with demo(tmp_path, "a.png", "--model", name) as process:
        output, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == code, output
    assert name in output
    assert "no hornet" not in output.lower()


def test_a_clip_that_cannot_be_read_is_a_failure_and_not_no_hornet(tmp_path: Path) -> None:
    (tmp_path / "own.mp4").write_text("not a clip")
    with demo(tmp_path, "own.mp4") as process:
        output, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 4, output
    assert "cannot be opened as a video" in output
    assert "no hornet" not in output.lower()


def test_a_clip_whose_name_is_not_utf_8_is_a_failure_that_says_so(tmp_path: Path) -> None:
    name = os.fsdecode(b"h\xe4.mp4")
    (tmp_path / name).write_text("not a clip")
    with demo(tmp_path, name) as process:
        output, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1, output
    assert r"h\xe4.mp4 is not UTF-8: rename it" in output


def test_a_file_that_cannot_be_replayed_is_a_failure_and_not_no_hornet(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a picture")
    with demo(tmp_path, "notes.txt") as process:
        output, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 4
    assert "notes.txt is neither a picture nor a clip" in output
    assert "No hornet" not in output


def test_no_sighting_within_the_limit_is_a_failure(tmp_path: Path) -> None:
    with demo(tmp_path, "--limit", "0") as process:
        output, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1
    assert "demo: no complete sighting within 0 s" in output


def test_a_missing_broker_is_reported_before_anything_starts(tmp_path: Path) -> None:
    port = free_port()
    with demo(tmp_path, "--broker", f"127.0.0.1:{port}") as process:
        output, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1
    assert output.startswith(f"demo: no broker answers on 127.0.0.1:{port}: ")


def test_a_packet_that_is_not_mqtt_ends_the_demo_with_a_sentence(tmp_path: Path) -> None:
    def subscribed(kind: int, content: bytes) -> list[bytes] | None:
        evil = publish(b"hivewatch/demo/\xff", b"{}", "3.1.1")
        return [packet(SUBACK, content[:2] + b"\1"), evil] if kind == SUBSCRIBE & 0xF0 else None

    with (
        HostileBroker(subscribed) as broker,
        demo(tmp_path, "--broker", f"127.0.0.1:{broker.port}") as process,
    ):
        output, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1
    assert "what is not MQTT" in output
    assert "Traceback" not in output


def test_a_picture_without_an_event_is_a_failure(tmp_path: Path, broker: Broker) -> None:
    with demo(tmp_path, "--broker", f"127.0.0.1:{broker.port}") as process:
        wait_for_daemon(process)
        paho.mqtt.publish.single("hivewatch/demo/snapshot", b"\xff\xd8", qos=1, port=broker.port)
        output, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1
    assert re.search(r"demo: the picture on hivewatch/demo/snapshot, .* belongs to no event", output)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "kill"])
def test_stopping_leaves_no_process_behind(tmp_path: Path, number: signal.Signals) -> None:
    with demo(tmp_path) as process:
        daemon = wait_for_daemon(process)
        process.send_signal(number)
        output, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 130
    assert "Traceback" not in output
    assert not daemon.is_running()
