"""The whole daemon: a process with a camera, a store and a real broker, controlled by signals."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
from pathlib import Path

import cv2
import pytest
from jsonschema import Draft202012Validator
from support.brokers import Broker, Subscriber, free_port, wait_until
from support.daemons import ALWAYS_A_HORNET, SMALL_SIMULATOR, Daemon

from hivewatch.messages.documents import schema
from hivewatch.store import Store

pytestmark = pytest.mark.slow

STATUS = re.compile(r"STATUS=watching, [0-9.]+ fps, last hornet \d\d:\d\d, outbox 0$")


def mqtt(port: int) -> dict[str, object]:
    return {"host": "127.0.0.1", "port": port, "reconnect_longest_s": 1}


def events(subscriber: Subscriber) -> list[dict[str, object]]:
    return [json.loads(payload) for payload in subscriber.on("event")]


def test_a_sighting_reaches_a_subscriber_and_the_disk(
    tmp_path: Path, tiny_model_path: Path, broker: Broker
) -> None:
    with (
        Subscriber(broker.port) as subscriber,
        Daemon(tmp_path, tiny_model_path, mqtt=mqtt(broker.port)) as daemon,
    ):
        wait_until(lambda: bool(subscriber.on("snapshot")), "a snapshot arrives", 60)
        assert daemon.stop() == 0
        wait_until(lambda: subscriber.on("availability")[-1] == b"offline", "offline arrives")
    published = events(subscriber)
    for event in published:
        Draft202012Validator(schema("sighting")).validate(event)
        assert event["test"] is True, "the simulator's hornets are drawn"
    assert [event["event_type"] for event in published][:: len(published) - 1] == ["start", "end"]
    assert subscriber.on("availability") == [b"online", b"offline"]
    with Store(daemon.store) as store:
        (sighting,) = store.sightings(10)
        assert store.outbox_depth() == 0
    assert sighting.ended_at is not None
    assert cv2.imread(str(sighting.clean_path)).shape == (240, 320, 3)
    assert cv2.imread(str(sighting.annotated_path)) is not None


def test_without_a_broker_the_daemon_keeps_alerts_and_sends_them_later(
    tmp_path: Path, tiny_model_path: Path
) -> None:
    (tmp_path / "broker").mkdir()
    broker = Broker(tmp_path / "broker")
    with Daemon(tmp_path, tiny_model_path, mqtt=mqtt(broker.port)) as daemon:
        daemon.wait_for_log("not connected")
        daemon.wait_for_log("start, best score")
        with broker.start() and Subscriber(broker.port) as subscriber:
            wait_until(lambda: bool(events(subscriber)), "the stored event arrives", 30)
        assert daemon.stop() == 0
    broker.kill()
    assert events(subscriber)[0]["event_type"] == "start"


def test_sigterm_ends_an_open_sighting_within_five_seconds_even_without_a_broker(
    tmp_path: Path, tiny_model_path: Path
) -> None:
    with Daemon(tmp_path, tiny_model_path, mqtt=mqtt(free_port())) as daemon:
        daemon.wait_for_log("start, best score")
        daemon.signal(signal.SIGTERM)
        assert daemon.process.wait(5) == 0
    with Store(daemon.store) as store:
        assert [sighting.phase for sighting in store.sightings(10)] == ["end"]
        assert store.outbox_depth() > 0


def test_a_sighting_interrupted_by_a_kill_is_ended_at_the_next_start(
    tmp_path: Path, tiny_model_path: Path, broker: Broker
) -> None:
    with Daemon(tmp_path, tiny_model_path, mqtt=mqtt(broker.port)) as daemon:
        daemon.wait_for_log("start, best score")
        daemon.signal(signal.SIGKILL)
        daemon.process.wait(20)
    with (
        Subscriber(broker.port) as subscriber,
        Daemon(tmp_path, tiny_model_path, mqtt=mqtt(broker.port)) as daemon,
    ):
        wait_until(lambda: any(e.get("interrupted") for e in events(subscriber)), "the end arrives", 60)
        assert daemon.stop() == 0
    interrupted = next(event for event in events(subscriber) if event.get("interrupted"))
    Draft202012Validator(schema("sighting")).validate(interrupted)
    with Store(daemon.store) as store:
        stored = {sighting.id: sighting for sighting in store.sightings(10)}
    assert stored[str(interrupted["sighting_id"])].phase == "end"


def test_sigterm_during_start_up_ends_the_daemon(tmp_path: Path, tiny_model_path: Path) -> None:
    with Daemon(tmp_path, tiny_model_path) as daemon:
        wait_until(
            lambda: b"hivewatch" in Path(f"/proc/{daemon.process.pid}/cmdline").read_bytes(), "it runs"
        )
        assert daemon.stop() in (0, -signal.SIGTERM)


def test_a_reload_applies_new_thresholds_and_keeps_watching(tmp_path: Path, tiny_model_path: Path) -> None:
    with Daemon(tmp_path, tiny_model_path, decision={"threshold": 1.0}) as daemon:
        daemon.wait_for_log("watching simulator")
        daemon.configure(decision=ALWAYS_A_HORNET)
        daemon.signal(signal.SIGHUP)
        daemon.wait_for_log("reloaded")
        daemon.wait_for_log("start, best score")
        assert "decision.threshold" in daemon.log
        assert daemon.stop() == 0


def test_a_bad_file_at_reload_is_rejected_and_the_old_one_stays_in_force(
    tmp_path: Path, tiny_model_path: Path
) -> None:
    with Daemon(tmp_path, tiny_model_path, decision={"threshold": 1.0}) as daemon:
        daemon.wait_for_log("watching simulator")
        daemon.configure(decision=ALWAYS_A_HORNET | {"votse": 1})
        daemon.signal(signal.SIGHUP)
        daemon.wait_for_log("did you mean votes?")
        daemon.configure(decision={"threshold": 1.0}, hive={"name": "Other"})
        daemon.signal(signal.SIGHUP)
        daemon.wait_for_log("takes effect at the next start only: hive.name")
        assert daemon.stop() == 0
    assert "start, best score" not in daemon.log


@pytest.mark.parametrize(
    ("sections", "code", "words"),
    [
        ({"camera": {"kind": "video", "video": {"source": "missing.mp4"}}}, 4, "missing.mp4"),
        ({"camera": {"kind": "folder", "folder": {"path": "."}}}, 4, "not one of"),
        ({"classifier": {"model": "hivewatch.yaml"}}, 5, "hivewatch.yaml"),
        ({"store": {"directory": "/proc/hivewatch"}}, 6, "/proc/hivewatch"),
        ({"mqtt": {"prot": 1}}, 3, "did you mean port?"),
    ],
)
def test_each_reason_that_makes_watching_impossible_has_its_own_exit_code(
    tmp_path: Path, tiny_model_path: Path, sections: dict[str, object], code: int, words: str
) -> None:
    (tmp_path / "not-a-picture.jpg").write_bytes(b"nothing")
    with Daemon(tmp_path, tiny_model_path, **sections) as daemon:
        assert daemon.process.wait(60) == code
    assert words in daemon.log
    assert "Traceback" not in daemon.log


def test_a_second_daemon_on_the_same_store_is_rejected(tmp_path: Path, tiny_model_path: Path) -> None:
    with Daemon(tmp_path, tiny_model_path) as daemon:
        daemon.wait_for_log("watching simulator")
        command = [*daemon.process.args]  # type: ignore[misc]
        second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 6
    assert "another" in second.stderr


def test_the_end_of_a_video_ends_the_daemon_and_its_sighting(tmp_path: Path, tiny_model_path: Path) -> None:
    video = SMALL_SIMULATOR | {"simulator": {"duration_s": 1.0}}
    with Daemon(tmp_path, tiny_model_path, camera=video) as daemon:
        assert daemon.process.wait(60) == 0
    assert "simulator has ended" in daemon.log
    assert "end, best score" in daemon.log


def test_systemd_gets_ready_when_watching_then_a_watchdog_beat_per_frame_then_stopping(
    tmp_path: Path, tiny_model_path: Path
) -> None:
    pytest.importorskip("systemd.daemon", reason="systemd-python is not installed")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(60)
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        with Daemon(tmp_path, tiny_model_path, environment) as daemon:
            notifications = [listener.recv(4096).decode() for _ in range(4)]
            while not STATUS.search(notifications[-1]):
                notifications.append(listener.recv(4096).decode())
            assert daemon.stop() == 0
            while not notifications[-1].startswith("STOPPING"):
                notifications.append(listener.recv(4096).decode())
    assert notifications[0] == "READY=1\nSTATUS=watching"
    assert all(message.startswith("WATCHDOG=1\nSTATUS=") for message in notifications[1:-1])
