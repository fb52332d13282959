"""The recipes of deploy/clients and the access rules of deploy/broker, with a real mosquitto."""

from __future__ import annotations

import getpass
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from support.brokers import Broker, free_port, wait_until
from support.paths import PROJECT
from support.spoken_hive import SpokenHive

from hivewatch.config.sections import MqttConfig
from hivewatch.domain.sightings import Phase
from hivewatch.mqtt.probe import Outcome, probe

pytestmark = pytest.mark.slow

DEPLOY = PROJECT / "deploy"
CLIENTS = DEPLOY / "clients"
SLOW_S = 60.0


class Published(NamedTuple):
    """A notification that the fake ntfy server received."""

    topic: str
    title: str
    message: str
    picture: bytes


class Ntfy:
    """A small HTTP server in place of ntfy; ``refusing`` holds the error statuses to answer with first."""

    def __init__(self) -> None:
        self.published: list[Published] = []
        self.refusing: list[int] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status = outer.refusing.pop(0) if outer.refusing else 200
                if status == 200:
                    parts = urlsplit(self.path)
                    query = parse_qs(parts.query)
                    outer.published.append(
                        Published(parts.path, query["title"][0], query["message"][0], body)
                    )
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_words: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/my-hives"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()


@pytest.fixture
def ntfy() -> Iterator[Ntfy]:
    server = Ntfy()
    yield server
    server.close()


@contextmanager
def running(command: list[str], tmp_path: Path) -> Iterator[Path]:
    """Run a client in ``tmp_path`` with its output in a file; yield the file."""
    output = tmp_path / "output"
    with output.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, cwd=tmp_path)
    try:
        yield output
        assert process.poll() is None, output.read_text()
    finally:
        process.kill()
        process.wait()


def wait_for_subscription(port: int, action: Any, done: Any, what: str) -> None:
    """Repeat ``action`` until ``done``, since a client does not report when it has subscribed."""

    def attempt() -> bool:
        action()
        return bool(done())

    wait_until(attempt, what, SLOW_S)


def test_the_python_subscriber_prints_visits_and_saves_pictures(tmp_path: Path, broker: Broker) -> None:
    command = [sys.executable, str(CLIENTS / "subscriber.py"), "127.0.0.1", str(broker.port)]
    with SpokenHive(broker.port, "a") as hive, running(command, tmp_path) as output:
        wait_for_subscription(
            broker.port, lambda: hive.visit("v", [Phase.START]), output.read_text, "a visit is printed"
        )
        picture = hive.visit("v", [Phase.END])
        wait_until(lambda: (tmp_path / "a.jpg").exists(), "the picture is saved", SLOW_S)
        wait_until(lambda: (tmp_path / "a.jpg").read_bytes() == picture, "it is the last one", SLOW_S)
    assert "Hive a score 0.90" in output.read_text()


def test_the_python_subscriber_is_about_ten_lines_long() -> None:
    lines = (CLIENTS / "subscriber.py").read_text().splitlines()
    code = [line for line in lines if line and not line.startswith('"""')]
    assert len(code) <= 13


def test_mosquitto_sub_prints_events_and_fetches_the_last_picture(tmp_path: Path, broker: Broker) -> None:
    recipes = [
        line.strip().split("  #")[0]
        for line in (CLIENTS / "README.md").read_text().splitlines()
        if line.strip().startswith("mosquitto_sub")
    ]
    events, picture, presence = (
        line.replace("-h BROKER", f"-h 127.0.0.1 -p {broker.port} -W 30") for line in recipes
    )
    with SpokenHive(broker.port, "hive1") as hive:
        last = hive.visit("v1")
        subprocess.run(["sh", "-c", picture], cwd=tmp_path, check=True, timeout=SLOW_S)
        assert (tmp_path / "last.jpg").read_bytes() == last
        shell = ["sh", "-c", f"{presence} -C 1"]
        said = subprocess.run(shell, capture_output=True, text=True, check=True, timeout=SLOW_S).stdout
        assert said == "hivewatch/hive1/availability online\n"
        with running(["sh", "-c", f"exec {events}"], tmp_path) as output:
            wait_for_subscription(
                broker.port, lambda: hive.visit("v2", [Phase.START]), output.read_text, "an event is printed"
            )
        topic, document = output.read_text().splitlines()[0].split(" ", 1)
    assert topic == "hivewatch/hive1/event"
    assert json.loads(document)["sighting_id"] == "v2"


def bridge(broker: Broker, ntfy: Ntfy) -> list[str]:
    return [
        sys.executable,
        str(CLIENTS / "ntfy.py"),
        "--broker",
        "127.0.0.1",
        "--port",
        str(broker.port),
        ntfy.url,
    ]


def test_ntfy_gets_each_visit_once_with_its_own_picture(tmp_path: Path, broker: Broker, ntfy: Ntfy) -> None:
    with SpokenHive(broker.port, "a") as hive, running(bridge(broker, ntfy), tmp_path):
        wait_for_subscription(
            broker.port,
            lambda: hive.visit("first", [Phase.START]),
            lambda: ntfy.published,
            "ntfy is notified",
        )
        before = len(ntfy.published)
        assert before == 1
        (event, snapshot), (later, other) = hive.alert("v1", Phase.START), hive.alert("v2", Phase.START)
        hive.say(event, later, event, snapshot, other)  # on a slow link events overtake pictures
        hive.visit("v1", [Phase.UPDATE, Phase.END])
        hive.visit("last", [Phase.START])
        wait_until(lambda: len(ntfy.published) >= before + 3, "ntfy is notified of the last visit", SLOW_S)
    published = ntfy.published[before:]
    assert [one.picture for one in published[:2]] == [snapshot.payload, other.payload]
    assert len(published) == 3
    assert published[0].topic == "/my-hives"
    assert published[0].title == "Hornet at Hive a"
    assert "score 90%" in published[0].message


def test_a_notification_that_fails_is_sent_again(tmp_path: Path, broker: Broker, ntfy: Ntfy) -> None:
    ntfy.refusing = [503, 429]
    with SpokenHive(broker.port, "a") as hive, running(bridge(broker, ntfy), tmp_path) as output:
        wait_for_subscription(
            broker.port, lambda: hive.visit("v", [Phase.START]), lambda: ntfy.published, "ntfy is notified"
        )
    assert len(ntfy.published) == 1
    assert "503" in output.read_text()


class GuardedBroker:
    """A mosquitto with deploy/broker/acl and a login for each of ``names``."""

    def __init__(self, folder: Path, *names: str) -> None:
        passwords = folder / "passwords"
        passwords.touch(mode=0o600)
        for name in names:
            subprocess.run(["mosquitto_passwd", "-b", str(passwords), name, "honey"], check=True)
        self.port = free_port()
        lines = (DEPLOY / "broker" / "mosquitto.conf").read_text().splitlines()
        replaced = {
            "listener": f"listener {self.port} 127.0.0.1\nuser {getpass.getuser()}",
            "password_file": f"password_file {passwords}",
            "acl_file": f"acl_file {DEPLOY / 'broker' / 'acl'}",
            "persistence": "persistence false",
        }
        omitted = {"certfile", "keyfile", "persistence_location"}
        kept = [line for line in lines if line.split(" ")[0] not in omitted]
        text = "\n".join(replaced.get(line.split(" ")[0], line) for line in kept)
        (folder / "mosquitto.conf").write_text(f"{text}\n")
        self.process = subprocess.Popen(
            ["/usr/sbin/mosquitto", "-c", str(folder / "mosquitto.conf")], stderr=subprocess.DEVNULL
        )

    def client(self, name: str, *topics: str) -> tuple[mqtt.Client, list[tuple[str, bytes]]]:
        """Return a client logged in as ``name`` and subscribed to ``topics``, and what it receives."""
        received: list[tuple[str, bytes]] = []
        subscribed = threading.Event()
        client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        client.username_pw_set(name, "honey")
        client.on_connect = lambda client, *_: client.subscribe(
            [(topic, mqtt.SubscribeOptions(1)) for topic in topics]
        )
        client.on_subscribe = lambda *_: subscribed.set()
        client.on_message = lambda _c, _d, m: received.append((m.topic, bytes(m.payload)))

        def connected() -> bool:
            try:
                client.connect("127.0.0.1", self.port)
            except ConnectionRefusedError:
                return False
            return True

        wait_until(connected, "the broker answers", SLOW_S)
        client.loop_start()
        assert subscribed.wait(SLOW_S)
        return client, received


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[GuardedBroker]:
    guarded = GuardedBroker(tmp_path, "hive1", "hive2", "keeper", "guest")
    yield guarded
    guarded.process.kill()
    guarded.process.wait()


def test_the_doctor_can_read_its_own_probe_back(guarded: GuardedBroker, tmp_path: Path) -> None:
    password = tmp_path / "word"
    password.write_text("honey\n")
    guarded.client("keeper", "#")  # the broker is up
    config = MqttConfig(host="127.0.0.1", port=guarded.port, username="hive1", password_file=password)
    assert probe(config, "hive1-doctor", "hivewatch/hive1/doctor").outcome is Outcome.WORKS


def test_a_hive_can_write_only_for_itself(guarded: GuardedBroker) -> None:
    _, seen = guarded.client("keeper", "#")
    hive, _ = guarded.client("hive1", "hivewatch/hive1/command/+")
    for topic in (
        *("hivewatch/hive2/event", "hivewatch/hive2/availability", "hivewatch/hive2/command/pause"),
        *("homeassistant/device/hivewatch_hive2/config", "homeassistant/status", "hivewatch/event", "other"),
        *("hivewatch/hive1/event", "homeassistant/device/hivewatch_hive1/config"),
    ):
        hive.publish(topic, b"mine", 1).wait_for_publish(SLOW_S)
    hive.publish("hivewatch/hive1/last", b"", 1).wait_for_publish(SLOW_S)
    wait_until(lambda: ("hivewatch/hive1/last", b"") in seen, "the last one arrives", SLOW_S)
    assert [topic for topic, _ in seen[:-1]] == [
        "hivewatch/hive1/event",
        "homeassistant/device/hivewatch_hive1/config",
    ]


def test_a_hive_receives_only_its_own_commands(guarded: GuardedBroker) -> None:
    keeper, _ = guarded.client("keeper", "hivewatch/nothing")
    _, received = guarded.client(
        "hive1", "#", "hivewatch/+/command/+", "hivewatch/hive1/command/+", "homeassistant/status"
    )
    for topic in ("hivewatch/hive2/event", "hivewatch/hive2/command/pause", "hivewatch/hive1/command/pause"):
        keeper.publish(topic, b"x", 1).wait_for_publish(SLOW_S)
    keeper.publish("homeassistant/status", b"online", 1).wait_for_publish(SLOW_S)
    wait_until(lambda: ("homeassistant/status", b"online") in received, "the last one arrives", SLOW_S)
    assert {topic for topic, _ in received} == {"hivewatch/hive1/command/pause", "homeassistant/status"}


def test_a_guest_may_read_but_not_send_commands(guarded: GuardedBroker) -> None:
    _, commanded = guarded.client("hive1", "hivewatch/hive1/command/+")
    guest, seen = guarded.client("guest", "hivewatch/#")
    keeper, _ = guarded.client("keeper", "hivewatch/nothing")
    guest.publish("hivewatch/hive1/command/pause", b"guest", 1).wait_for_publish(SLOW_S)
    keeper.publish("hivewatch/hive1/command/resume", b"keeper", 1).wait_for_publish(SLOW_S)
    wait_until(lambda: bool(commanded) and bool(seen), "the keeper's command arrives", SLOW_S)
    assert commanded == [("hivewatch/hive1/command/resume", b"keeper")]


def test_a_client_without_a_login_is_rejected(guarded: GuardedBroker) -> None:
    guarded.client("keeper", "hivewatch/nothing")
    done = subprocess.run(
        [
            "mosquitto_pub",
            "-h",
            "127.0.0.1",
            "-p",
            str(guarded.port),
            "-t",
            "hivewatch/hive1/event",
            "-m",
            "x",
        ],
        capture_output=True,
        text=True,
        env=os.environ,
        timeout=SLOW_S,
        check=False,
    )
    assert done.returncode != 0
    assert "not authorised" in done.stderr.lower()


def test_the_fleet_load_test_loses_nothing() -> None:
    script = PROJECT / "scripts" / "fleet.py"
    command = [
        sys.executable,
        str(script),
        "--hives",
        "20",
        "--seconds",
        "12",
        "--visits-an-hour",
        "2000",
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr
    messages = json.loads(done.stdout)["messages"]
    for kind in ("event", "snapshot"):
        assert messages[kind]["sent"] > 0
        assert messages[kind]["sent"] == messages[kind]["delivered"]
        assert messages[kind]["p50_ms"] > 0
