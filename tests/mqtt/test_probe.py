"""The probe distinguishes the faults between the hive and a real broker."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.brokers import Broker, Subscriber, free_port, wait_until
from support.hostile_broker import CONNECT, HostileBroker

from hivewatch.config.sections import Config, MqttConfig
from hivewatch.doctor.broker import check_broker
from hivewatch.mqtt import probe as probe_module
from hivewatch.mqtt.probe import Outcome, probe
from hivewatch.mqtt.publisher import Publisher
from hivewatch.store import Store

TOPIC = "hivewatch/h1/doctor"


@pytest.fixture
def passwords(tmp_path: Path) -> Path:
    (tmp_path / "right").write_text("secret\n")
    (tmp_path / "wrong").write_text("guess\n")
    return tmp_path


def outcome(port: int, password: Path | None = None, host: str = "127.0.0.1") -> Outcome:
    config = MqttConfig(
        host=host, port=port, username="hive" if password else "", password_file=password or None
    )
    return probe(config, "hivewatch-h1-doctor", TOPIC).outcome


def closed_broker(directory: Path, access: str = "") -> Broker:
    """Return a running broker that requires the password."""
    (directory / "broker").mkdir()
    broker = Broker(directory / "broker", password="secret")
    if access:
        broker.restrict(access)
    return broker.start()


def test_a_broker_that_returns_the_message_works_and_retains_nothing(broker: Broker) -> None:
    with Subscriber(broker.port) as subscriber:
        assert outcome(broker.port) is Outcome.WORKS
        wait_until(lambda: bool(subscriber.received), "the probe arrives")
    with Subscriber(broker.port) as later:
        assert later.received == []
    assert [message.topic for message in subscriber.received] == [TOPIC]


def test_a_closed_port_is_refused() -> None:
    assert outcome(free_port()) is Outcome.REFUSED


@pytest.mark.parametrize("host", ["no-such-host.invalid", "255.255.255.255"])
def test_an_unreachable_host_is_no_route(host: str) -> None:
    assert outcome(1883, host=host) is Outcome.NO_ROUTE


@pytest.mark.parametrize("greeting", [b"", b"SSH-2.0-OpenSSH_9.2\r\n"])
def test_a_server_that_does_not_speak_mqtt_is_no_broker(
    greeting: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe_module, "STEP_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = "import socket, sys, time; s = socket.socket(fileno=int(sys.argv[1]));\n"
        code += f"while True:\n  c, _ = s.accept(); c.sendall({greeting!r}); time.sleep(0.1); kept = c"
        number = str(server.fileno())
        with subprocess.Popen([sys.executable, "-c", code, number], pass_fds=[server.fileno()]) as process:
            assert outcome(server.getsockname()[1]) is Outcome.NO_BROKER
            process.kill()


def test_a_wrong_password_is_bad_credentials_and_the_right_one_works(tmp_path: Path, passwords: Path) -> None:
    broker = closed_broker(tmp_path)
    assert outcome(broker.port, passwords / "wrong") is Outcome.BAD_CREDENTIALS
    assert outcome(broker.port) is Outcome.BAD_CREDENTIALS
    assert outcome(broker.port, passwords / "right") is Outcome.WORKS
    broker.kill()


@pytest.mark.parametrize(
    ("access", "expected"),
    [
        ("topic readwrite hivewatch/h1/#", Outcome.WORKS),
        ("topic read #", Outcome.NOT_AUTHORISED),
        ("topic readwrite hivewatch/other/#", Outcome.NOT_AUTHORISED),
        ("topic write hivewatch/h1/#", Outcome.UNREADABLE),
    ],
)
def test_the_outcome_follows_the_access_list(
    tmp_path: Path, passwords: Path, monkeypatch: pytest.MonkeyPatch, access: str, expected: Outcome
) -> None:
    monkeypatch.setattr(probe_module, "STEP_S", 2.0)
    broker = closed_broker(tmp_path, access)
    assert outcome(broker.port, passwords / "right") is expected
    broker.kill()


@pytest.fixture
def old_broker(tmp_path: Path) -> Iterator[int]:
    """Return the port of a real broker that supports only MQTT 3.1.1: amqtt."""
    pytest.importorskip("amqtt", reason="amqtt is not installed")
    port = free_port()
    file = tmp_path / "amqtt.yaml"
    listeners = {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}}
    plugins = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
    file.write_text(yaml.safe_dump({"listeners": listeners, "plugins": plugins}))
    command = [str(Path(sys.executable).with_name("amqtt")), "-c", str(file)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: _listens(port), "amqtt listens", 60)
        yield port
        process.kill()


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.slow
def test_a_broker_that_supports_only_mqtt_3_works_if_that_is_configured(
    old_broker: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert outcome(old_broker) is Outcome.WORKS
    config = MqttConfig(host="127.0.0.1", port=old_broker, version=5)
    assert probe(config, "hivewatch-h1-doctor", TOPIC).outcome is Outcome.OTHER_VERSION
    with Store(tmp_path / "store") as store:
        publisher = Publisher(config, store, "hivewatch-h1")
        publisher.start()
        wait_until(lambda: "the broker speaks MQTT 3.1.1 only" in caplog.text, "the log says so")
        publisher.stop(5)


@pytest.mark.parametrize(("configured", "spoken"), [("3.1.1", 5), (5, "3.1.1")])
@pytest.mark.parametrize("answer", [b"\x20\x02\0\1", None])
def test_a_broker_of_the_other_version_is_told_as_that(
    configured: Any, spoken: object, answer: bytes | None, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """Whether it answers that it does not support the version, or hangs up."""

    def refuse_the_other(kind: int, content: bytes) -> list[bytes] | None:
        if kind != CONNECT or content[6] == {5: 5, "3.1.1": 4}[spoken]:
            return None
        if answer is None:
            raise EOFError
        return [answer]

    config = MqttConfig(host="127.0.0.1", version=configured)
    with HostileBroker(refuse_the_other, spoken) as broker:
        config = config.model_copy(update={"port": broker.port})
        assert probe(config, "hivewatch-h1-doctor", TOPIC).outcome is Outcome.OTHER_VERSION
        finding = check_broker(Config(mqtt=config))
        with Store(tmp_path / "store") as store:
            publisher = Publisher(config, store, "hivewatch-h1")
            publisher.start()
            wait_until(lambda: f"the broker speaks MQTT {spoken} only" in caplog.text, "the log says so")
            publisher.stop(5)
    assert f"does not speak MQTT {configured}" in finding.found
    assert finding.advice.startswith(f"set mqtt.version to {spoken}")
