"""Passwords of a working daemon: in nothing it logs, publishes, stores or serves, whatever fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from support.brokers import Broker, Subscriber, free_port, wait_until
from support.daemons import Daemon
from support.mjpeg_server import MjpegServer

pytestmark = pytest.mark.slow

CAMERA, BROKER, USER = "GEHEIM123", "KENNWORT456", "hive"
QUERY = f"user=keeper&pwd=GEH@EI/M123&x={CAMERA}"
SECRETS = (CAMERA, "EI/M123", "M123", BROKER)
# Variables with which a person asks the libraries for more.
LOUD = {"OPENCV_FFMPEG_LOGLEVEL": "56", "OPENCV_FFMPEG_DEBUG": "1", "OPENCV_LOG_LEVEL": "DEBUG"}
LOUD |= {"OPENCV_VIDEOIO_DEBUG": "1"}


def camera(port: int, **options: float) -> dict[str, object]:
    """Return a camera whose password is in user, path and query of its address."""
    source = f"http://keeper:{CAMERA}@127.0.0.1:{port}/{CAMERA}?{QUERY}"
    video = {"source": source, "reconnect_first_s": 0.2, "reconnect_longest_s": 0.2} | options
    return {"kind": "video", "rate_hz": 10.0, "timeout_s": 2.0, "video": video, "checks": {"enabled": False}}


def mqtt(directory: Path, port: int, word: str = BROKER) -> dict[str, object]:
    (directory / "word").write_text(word)
    return {
        "host": "127.0.0.1",
        "port": port,
        "username": USER,
        "password_file": "word",
        "reconnect_longest_s": 1,
    }


def shown_in(*texts: bytes | str) -> list[str]:
    """Return the secrets that one of the texts has."""
    found = [text if isinstance(text, bytes) else text.encode() for text in texts]
    return [secret for secret in SECRETS if any(secret.encode() in text for text in found)]


def stored(directory: Path) -> list[bytes]:
    return [path.read_bytes() for path in directory.rglob("*") if path.is_file()]


def test_a_daemon_shows_none_while_it_watches_and_when_its_camera_is_lost(
    tmp_path: Path, tiny_model_path: Path
) -> None:
    (tmp_path / "broker").mkdir()
    broker = Broker(tmp_path / "broker", BROKER).start()
    server = MjpegServer(rate_hz=10.0).start()
    daemon = Daemon(
        *(tmp_path, tiny_model_path, LOUD),
        camera=camera(server.port, give_up_after_s=2.0),
        mqtt=mqtt(tmp_path, broker.port) | {"commands": True},
        homeassistant={"enabled": True},
        log={"level": "debug"},
    )
    with Subscriber(broker.port, BROKER) as subscriber, daemon:
        wait_until(lambda: bool(subscriber.on("snapshot")), "a snapshot arrives")
        wait_until(lambda: bool(subscriber.on("health")), "health arrives")
        own = Path("/proc", str(daemon.process.pid))
        names = [path.read_bytes() for path in own.glob("task/*/comm")]
        arguments = (own / "cmdline").read_bytes()
        server.kill()
        assert daemon.process.wait(60) == 4
    broker.kill()
    messages = [part for message in subscriber.received for part in (message.payload, message.topic)]
    assert json.loads(subscriber.on("health")[0])["source"] == "http://..."
    assert "http://...: " in daemon.log
    assert shown_in(daemon.log, *messages, *names, arguments, *stored(daemon.store)) == []


def test_a_daemon_shows_none_when_the_broker_refuses_it(tmp_path: Path, tiny_model_path: Path) -> None:
    (tmp_path / "broker").mkdir()
    broker = Broker(tmp_path / "broker", BROKER).start()
    wrong = mqtt(tmp_path, broker.port, f"{BROKER}x{CAMERA}")
    with Daemon(tmp_path, tiny_model_path, mqtt=wrong, log={"level": "debug"}) as daemon:
        daemon.wait_for_log("not connected: the broker refuses the connection")
        assert daemon.stop() == 0
    broker.kill()
    assert shown_in(daemon.log, *stored(daemon.store)) == []


@pytest.mark.parametrize("scheme", ["rtsp", "http", "rtmp", "tcp"])
def test_ffmpeg_shows_none_of_an_address_that_nobody_answers(
    scheme: str, tmp_path: Path, tiny_model_path: Path
) -> None:
    """FFmpeg's own lines repeat the whole address."""
    port = free_port()
    lost = camera(port, give_up_after_s=1.0)
    lost["video"] = lost["video"] | {"source": f"{scheme}://keeper:{CAMERA}@127.0.0.1:{port}/{CAMERA}"}  # type: ignore[operator]
    with Daemon(tmp_path, tiny_model_path, LOUD, camera=lost, log={"level": "debug"}) as daemon:
        assert daemon.process.wait(60) == 4
    assert f"{scheme}://127.0.0.1:{port} has delivered no frame" in daemon.log
    assert shown_in(daemon.log) == []


def run(daemon: Daemon, *arguments: str) -> str:
    """Return what a command prints, with the settings of ``daemon``."""
    command = [sys.executable, "-m", "hivewatch", *arguments, "--config", str(daemon.config_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_the_tools_show_none(tmp_path: Path, tiny_model_path: Path) -> None:
    (tmp_path / "broker").mkdir()
    broker = Broker(tmp_path / "broker", BROKER).start()
    server = MjpegServer(rate_hz=10.0).start()
    daemon = Daemon(tmp_path, tiny_model_path, camera=camera(server.port), mqtt=mqtt(tmp_path, broker.port))
    printed = [run(daemon, "check"), run(daemon, "doctor"), run(daemon, "doctor", "--json")]
    assert "http://... delivers" in printed[1]
    assert "accepts messages to" in printed[1]
    assert f"from {USER} " not in printed[1]
    server.kill()
    mqtt(tmp_path, broker.port, f"{BROKER}x")
    printed.append(run(daemon, "doctor"))
    assert "rejects mqtt.username" in printed[-1]
    broker.kill()
    (tmp_path / "word").write_bytes(BROKER.encode() + b"\xe4")
    printed.append(run(daemon, "doctor"))
    assert "save the password as UTF-8" in printed[-1]
    assert shown_in(*printed) == []


def test_the_preview_shows_none(tmp_path: Path, tiny_model_path: Path) -> None:
    server = MjpegServer(rate_hz=10.0).start()
    daemon = Daemon(tmp_path, tiny_model_path, camera=camera(server.port))
    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "hivewatch", "preview", "--address", address]
    log = tmp_path / "preview.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--config", str(daemon.config_path)], stdout=output, stderr=output, env=os.environ
        )
    try:
        wait_until(lambda: b"Open http" in log.read_bytes(), "the preview serves")
        answers: list[bytes] = []

        def has_picture() -> bool:
            with urllib.request.urlopen(f"http://{address}/state") as answer:
                answers.append(answer.read())
            return json.loads(answers[-1])["frame"] is not None

        wait_until(has_picture, "the preview has a picture")
        server.kill()
        wait_until(lambda: b"reconnecting" in log.read_bytes(), "the camera is lost")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)
    assert shown_in(log.read_bytes(), *answers) == []
