"""TLS, credentials and access rights against a real mosquitto: each fault is logged with its reason."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from support.brokers import PATIENCE_S, Broker, Subscriber, free_port, wait_until
from support.certificates import Authority, Files
from support.hostile_broker import DISCONNECT, PUBLISH, HostileBroker, packet

from hivewatch.config.sections import MqttConfig, TlsConfig
from hivewatch.domain.wire import Message
from hivewatch.errors import ConfigError
from hivewatch.messages import contract
from hivewatch.messages.states import availability_message
from hivewatch.messages.topics import HiveTopics
from hivewatch.mqtt import publisher as publisher_module
from hivewatch.mqtt import refusals
from hivewatch.mqtt.publisher import Publisher
from hivewatch.store import Store

STOP_S = 5.0
MakePublisher = Callable[..., Publisher]
STATE = Message("hw/h1/pressure", b"{}", retained=True)
VERSIONS = pytest.mark.parametrize("version", ["3.1.1", 5])


@pytest.fixture
def make_publisher(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Iterator[MakePublisher]:
    """Make publishers of ``store`` that reconnect quickly; they are stopped at the end."""
    monkeypatch.setattr(publisher_module, "FIRST_RECONNECT_S", 0.05)
    caplog.set_level(logging.INFO)
    made: list[Publisher] = []

    def make(port: int, host: str = "127.0.0.1", **options: Any) -> Publisher:
        config = MqttConfig(host=host, port=port, reconnect_longest_s=1, **options)
        topics = HiveTopics("h1", "Hive 1", "hw")
        availability = availability_message(topics, online=True), availability_message(topics, online=False)
        envelope = partial(contract.envelope, topics=topics)
        publisher = Publisher(config, store, "hivewatch-test", availability, envelope)
        made.append(publisher)
        return publisher

    yield make
    for publisher in made:
        publisher.stop(STOP_S)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def start_broker(tmp_path: Path) -> Iterator[Callable[..., Broker]]:
    """Start brokers; they are killed at the end."""
    started: list[Broker] = []

    def start(options: Sequence[str] = (), password: str | None = None) -> Broker:
        directory = tmp_path / f"broker{len(started)}"
        directory.mkdir()
        broker = Broker(directory, password, options)
        started.append(broker.start())
        return broker

    yield start
    for broker in started:
        broker.kill()


def encrypted(files: Files) -> list[str]:
    """Return the broker options for TLS."""
    return [f"certfile {files.certificate}", f"keyfile {files.key}"]


def trusting(authority: Authority, own: Files | None = None, **options: Any) -> TlsConfig:
    """Return the hive's options: it trusts ``authority`` and presents its ``own`` certificate."""
    certificate, key = own or (None, None)
    return TlsConfig(
        enabled=True, ca_file=authority.certificate, certificate_file=certificate, key_file=key, **options
    )


def secret(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "secret"
    path.write_text(f"{text}\n")
    return path


@VERSIONS
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_tls_connection_works(
    authority: Authority, start_broker: Any, make_publisher: MakePublisher, version: Any, host: str
) -> None:
    """By name and by address, because the broker's certificate lists both."""
    broker = start_broker(encrypted(authority.sign("broker")))
    publisher = make_publisher(broker.port, host, tls=trusting(authority), version=version)
    publisher.start()
    assert publisher.drain(PATIENCE_S)


def test_a_large_picture_arrives_complete_over_tls(
    authority: Authority, start_broker: Any, make_publisher: MakePublisher
) -> None:
    """No bytes stay in the TLS buffer, which select() does not see."""
    plain = free_port()
    files = authority.sign("broker")
    broker = start_broker([*encrypted(files), f"listener {plain} 127.0.0.1"])
    publisher = make_publisher(broker.port, tls=trusting(authority), version=5)
    picture = os.urandom(2_000_000)
    with Subscriber(plain) as subscriber:
        publisher.start()
        publisher.publish_once(Message("hw/h1/snapshot", picture, retained=False))
        wait_until(lambda: bool(subscriber.on("snapshot")), "the picture has arrived")
        assert subscriber.on("snapshot") == [picture]


@VERSIONS
def test_a_client_certificate_is_accepted_and_a_missing_one_is_logged(
    authority: Authority,
    start_broker: Any,
    make_publisher: MakePublisher,
    caplog: pytest.LogCaptureFixture,
    version: Any,
) -> None:
    """The broker requires a client certificate; without one the log names the option to set."""
    demand = [f"cafile {authority.certificate}", "require_certificate true"]
    broker = start_broker([*encrypted(authority.sign("broker")), *demand])
    certified = make_publisher(broker.port, tls=trusting(authority, authority.sign("hive")), version=version)
    certified.start()
    assert certified.drain(PATIENCE_S)
    make_publisher(broker.port, tls=trusting(authority), version=version).start()
    wait_until(lambda: "requires a client certificate" in caplog.text, "it is logged")


def test_a_client_certificate_of_a_foreign_authority_is_logged(
    authority: Authority,
    start_broker: Any,
    make_publisher: MakePublisher,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    """The log does not blame the broker's address."""
    demand = [f"cafile {authority.certificate}", "require_certificate true"]
    broker = start_broker([*encrypted(authority.sign("broker")), *demand])
    stranger = Authority(tmp_path, "foreign").sign("stranger")
    make_publisher(broker.port, tls=trusting(authority, stranger)).start()
    wait_until(
        lambda: "does not trust the authority that signed mqtt.tls.certificate_file" in caplog.text, "logged"
    )


@pytest.mark.parametrize(
    ("hosts", "days", "trusted", "words"),
    [
        (("localhost", "127.0.0.1"), (0, 30), "foreign", "mqtt.tls.ca_file must hold that authority"),
        (("elsewhere.example",), (0, 30), "apiary", "is for another host: mqtt.host must be a name"),
        (("localhost", "127.0.0.1"), (-20, -10), "apiary", "certificate has expired"),
        (("localhost", "127.0.0.1"), (10, 20), "apiary", "is not valid yet: is this machine's clock behind?"),
    ],
    ids=["wrong-authority", "wrong-name", "expired", "not-yet"],
)
def test_the_log_says_why_a_broker_is_not_trusted(
    tmp_path: Path,
    start_broker: Any,
    make_publisher: MakePublisher,
    caplog: pytest.LogCaptureFixture,
    hosts: tuple[str, ...],
    days: tuple[int, int],
    trusted: str,
    words: str,
) -> None:
    """Each reason has its own message, and nothing is sent."""
    authorities = {name: Authority(tmp_path, name) for name in ("apiary", "foreign")}
    broker = start_broker(encrypted(authorities["apiary"].sign("broker", hosts, days)))
    publisher = make_publisher(broker.port, tls=trusting(authorities[trusted]))
    publisher.start()
    wait_until(lambda: words in caplog.text, words)
    assert publisher.connections == 0


def test_tls_to_a_clear_text_port_and_the_reverse_are_logged(
    authority: Authority, start_broker: Any, make_publisher: MakePublisher, caplog: pytest.LogCaptureFixture
) -> None:
    """The log names the options to check: port and tls."""
    clear_text, tls = start_broker(), start_broker(encrypted(authority.sign("broker")))
    make_publisher(clear_text.port, tls=trusting(authority)).start()
    make_publisher(tls.port).start()
    wait_until(lambda: caplog.text.count("check mqtt.port and mqtt.tls.enabled") >= 2, "both are logged")


def test_without_a_ca_file_the_systems_authorities_are_used(
    authority: Authority, start_broker: Any, make_publisher: MakePublisher, caplog: pytest.LogCaptureFixture
) -> None:
    """The test authority is not one of them, so it is not trusted."""
    broker = start_broker(encrypted(authority.sign("broker")))
    make_publisher(broker.port, tls=TlsConfig(enabled=True)).start()
    wait_until(lambda: "signed by an authority that is not trusted" in caplog.text, "it is logged")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda own: own.certificate.write_text("no certificate"), "not a PEM file"),
        (lambda own: own.key.write_text("no key"), "not a PEM file"),
        (lambda own: own.key.unlink(), "No such file"),
        (lambda own: Authority(own.key.parent, "x").sign("hive2").key.replace(own.key), "does not match"),
    ],
    ids=["certificate", "key", "missing", "another"],
)
def test_an_unusable_certificate_is_a_config_error(
    authority: Authority, make_publisher: MakePublisher, change: Callable[[Files], object], words: str
) -> None:
    """It is raised at the start and names the option, the file and the fault."""
    own = authority.sign("hive")
    change(own)
    with pytest.raises(ConfigError, match=rf"mqtt\.tls\.certificate_file .*hive\.pem.*{words}"):
        make_publisher(1, tls=trusting(authority, own))


def test_a_key_with_a_pass_phrase_is_a_config_error(
    authority: Authority, make_publisher: MakePublisher
) -> None:
    """OpenSSL would prompt on the terminal, and a daemon has none."""
    own = authority.sign("hive", passphrase="honey")
    with pytest.raises(ConfigError, match=r"key_file .*hive\.key is protected by a pass phrase"):
        make_publisher(1, tls=trusting(authority, own))


def test_a_ca_file_without_a_certificate_is_a_config_error(
    tmp_path: Path, make_publisher: MakePublisher
) -> None:
    """The error names the option and the file."""
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(ConfigError, match=r"mqtt\.tls\.ca_file .*ca\.pem cannot be used: .*not a PEM file"):
        make_publisher(1, tls=TlsConfig(enabled=True, ca_file=tmp_path / "ca.pem"))


@VERSIONS
def test_refused_credentials_are_logged(
    tmp_path: Path,
    start_broker: Any,
    make_publisher: MakePublisher,
    caplog: pytest.LogCaptureFixture,
    version: Any,
) -> None:
    """The log names the options to check and does not contain the password."""
    broker = start_broker(password="honey")
    file = secret(tmp_path, "wasps-wax")
    make_publisher(broker.port, username="hive", password_file=file, version=version).start()
    wait_until(lambda: "check mqtt.username and mqtt.password_file" in caplog.text, "it is logged")
    assert "wasps-wax" not in caplog.text


def test_the_password_may_be_a_systemd_credential(
    tmp_path: Path, start_broker: Any, make_publisher: MakePublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If no file is configured: LoadCredential= puts it into a folder that only the service can read."""
    (tmp_path / "mqtt_password").write_text("honey\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    broker = start_broker(password="honey")
    publisher = make_publisher(broker.port, username="hive")
    publisher.start()
    assert publisher.drain(PATIENCE_S)


def acl(tmp_path: Path, *lines: str) -> list[str]:
    file = tmp_path / "acl"
    file.write_text("\n".join(["user hive", *lines]) + "\n")
    file.chmod(0o600)
    return [f"acl_file {file}"]


def test_with_mqtt_5_a_refused_topic_is_logged_and_its_messages_stay_queued(
    tmp_path: Path,
    store: Store,
    start_broker: Any,
    make_publisher: MakePublisher,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No recorded message is lost: it is sent once the broker's ACL is right. Other topics do not wait."""
    monkeypatch.setattr(refusals, "RETRY_AFTER_S", 0.2)
    allowed = ("availability", "health", "event", "pressure")
    file = acl(tmp_path, *(f"topic write hw/h1/{leaf}" for leaf in allowed if leaf != "event"))
    broker = start_broker(file, password="honey")
    credentials = {"username": "hive", "password_file": secret(tmp_path, "honey")}
    publisher = make_publisher(broker.port, version=5, **credentials)
    store.queue(Message("hw/h1/event", b"{}", retained=False))
    publisher.publish_state(Message("hw/h1/settings", b"{}", retained=True))
    publisher.publish_state(STATE)
    publisher.start()
    for leaf in ("event", "settings"):
        wait_until(lambda leaf=leaf: f"may not publish on hw/h1/{leaf}" in caplog.text, f"{leaf} is logged")
    assert "check its ACL" in caplog.text
    assert store.outbox_depth() == 1
    assert publisher.connections == 1
    logged = caplog.text.count("may not publish on hw/h1/event")
    wait_until(lambda: publisher.connections == 1 and not publisher.drain(0.6), "it was sent again")
    assert logged == caplog.text.count("may not publish on hw/h1/event") == 1
    acl(tmp_path, *(f"topic write hw/h1/{leaf}" for leaf in (*allowed, "settings")))
    broker.kill()
    broker.start()
    assert publisher.drain(PATIENCE_S)
    assert store.outbox_depth() == 0


def test_with_mqtt_3_a_refused_topic_goes_unnoticed(
    tmp_path: Path, store: Store, start_broker: Any, make_publisher: MakePublisher
) -> None:
    """The broker acknowledges and drops the message: a reason to use MQTT 5. If this fails, rejoice."""
    broker = start_broker(acl(tmp_path, "topic write hw/h1/availability"), password="honey")
    credentials = {"username": "hive", "password_file": secret(tmp_path, "honey")}
    publisher = make_publisher(broker.port, **credentials)
    store.queue(Message("hw/h1/event", b"{}", retained=False))
    publisher.start()
    assert publisher.drain(PATIENCE_S)
    assert store.outbox_depth() == 0


@VERSIONS
def test_one_hive_cannot_write_for_another(
    tmp_path: Path, start_broker: Any, make_publisher: MakePublisher, version: Any
) -> None:
    """With the documented ACL, a pattern on the user name."""
    file = tmp_path / "acl"
    file.write_text("pattern readwrite hw/%u/#\nuser keeper\ntopic readwrite hw/#\n")
    file.chmod(0o600)
    passwords = tmp_path / "passwords"
    for index, user in enumerate(("hive", "keeper")):
        create = ["-c"] if index == 0 else []
        subprocess.run(["mosquitto_passwd", "-b", *create, str(passwords), user, "honey"], check=True)
    options = [f"acl_file {file}", f"password_file {passwords}", "per_listener_settings false"]
    broker = start_broker(options)
    publisher = make_publisher(
        broker.port, username="hive", password_file=secret(tmp_path, "honey"), version=version
    )
    with KeeperSubscriber(broker.port) as keeper:
        publisher.start()
        publisher.publish_once(Message("hw/other/event", b"forged", retained=False))
        publisher.publish_once(Message("hw/hive/event", b"own", retained=False))
        keeper.wait_for("event", b"own")
    assert keeper.on("event") == [b"own"]


class KeeperSubscriber(Subscriber):
    """A subscriber that logs in as the beekeeper."""

    def __init__(self, port: int) -> None:
        super().__init__(port, "honey")
        self._client.username_pw_set("keeper", "honey")


def test_with_the_dynamic_security_plugin_a_refused_subscription_is_logged_and_publishing_works(
    tmp_path: Path, make_publisher: MakePublisher, caplog: pytest.LogCaptureFixture, start_broker: Any
) -> None:
    """Rights granted at run time, to publish only: the hive publishes and logs that it gets no commands."""
    plugins = sorted(Path("/usr/lib").glob("*/mosquitto_dynamic_security.so"))
    control = shutil.which("mosquitto_ctrl")
    assert plugins and control, "Debian's mosquitto includes the plugin: see scripts/test"
    rights = tmp_path / "rights.json"
    subprocess.run([control, "dynsec", "init", str(rights), "admin", "wax"], check=True, capture_output=True)
    rights.chmod(0o600)
    options = [f"plugin {plugins[0]}", f"plugin_opt_config_file {rights}", "allow_anonymous false"]
    broker = start_broker(options)
    address = [control, "-h", "127.0.0.1", "-p", str(broker.port), "-u", "admin", "-P", "wax", "dynsec"]
    for order in (
        ("createClient", "hive", "-p", "honey"),
        ("createRole", "hives"),
        ("addRoleACL", "hives", "publishClientSend", "hw/h1/#", "allow"),
        ("addClientRole", "hive", "hives"),
    ):
        subprocess.run([*address, *order], check=True, capture_output=True)
    file = secret(tmp_path, "honey")
    publisher = make_publisher(broker.port, username="hive", password_file=file, version=5)
    publisher.subscribe("hw/h1/command/+", lambda _message: None)
    publisher.start()
    assert publisher.drain(PATIENCE_S)
    wait_until(lambda: "may not subscribe to hw/h1/command/+" in caplog.text, "it is logged")
    assert publisher.is_connected


def test_with_mqtt_5_messages_carry_content_type_expiry_and_user_properties(
    broker: Broker, make_publisher: MakePublisher
) -> None:
    """As the contract defines them; availability never expires."""
    properties: dict[str, Any] = {}
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.on_connect = lambda *_: client.subscribe("hw/#", 1)
    client.on_message = lambda _client, _data, message: properties.__setitem__(
        message.topic, message.properties
    )
    subscribed = threading.Event()
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    assert subscribed.wait(PATIENCE_S), "what is published before is never delivered"
    publisher = make_publisher(broker.port, version=5)
    publisher.start()
    hive = HiveTopics("h1", "Hive 1", "hw")
    publisher.publish_once(contract.SIGHTING_SNAPSHOT.message(hive, b"jpeg", "v1"))
    publisher.publish_once(contract.ANSWER.message(hive, {}))
    topics = {"hw/h1/availability", "hw/h1/sighting/v1/snapshot", "hw/h1/command/answer"}
    wait_until(lambda: topics <= properties.keys(), "all have arrived")
    client.disconnect()
    client.loop_stop()
    picture, answer = properties["hw/h1/sighting/v1/snapshot"], properties["hw/h1/command/answer"]
    assert (picture.ContentType, picture.UserProperty) == ("image/jpeg", [("sighting_id", "v1")])
    assert 0 < picture.MessageExpiryInterval <= 86_400
    assert (answer.ContentType, answer.UserProperty) == (
        "application/json",
        [("schema", "hivewatch.answer-1")],
    )
    assert 0 < answer.MessageExpiryInterval <= 60
    assert not hasattr(properties["hw/h1/availability"], "MessageExpiryInterval")


def test_a_retained_picture_disappears_from_the_broker_when_it_expires(broker: Broker, store: Store) -> None:
    """With MQTT 5, and not before it expires."""
    from hivewatch.domain.wire import Envelope

    config = MqttConfig(host="127.0.0.1", port=broker.port, version=5)
    publisher = Publisher(
        config, store, "hivewatch-test", envelope=lambda _message: Envelope("image/jpeg", 2)
    )
    publisher.start()
    publisher.publish_once(Message("hw/h1/snapshot", b"jpeg", retained=True))
    assert publisher.drain(PATIENCE_S)
    with Subscriber(broker.port) as early:
        early.wait_for("snapshot", b"jpeg")

    def is_gone() -> bool:
        with Subscriber(broker.port) as late:
            publisher.publish_once(Message("hw/h1/mark", b"", retained=False))
            wait_until(lambda: bool(late.on("mark")), "retained messages have arrived before it")
        return not late.on("snapshot")

    wait_until(is_gone, "it has expired")
    publisher.stop(STOP_S)


def test_the_log_says_why_the_broker_closed_the_connection(
    make_publisher: MakePublisher, caplog: pytest.LogCaptureFixture
) -> None:
    """With MQTT 5: here because another client has the same id, which the log names."""

    def taken_over(kind: int, _content: bytes) -> list[bytes] | None:
        return [packet(DISCONNECT, b"\x8e\0")] if kind == PUBLISH else None

    with HostileBroker(taken_over, version=5) as broker:
        make_publisher(broker.port, version=5).start()
        wait_until(lambda: "the broker closed the connection: Session taken over" in caplog.text, "logged")
    assert "if another hive uses the client id 'hivewatch-test' too" in caplog.text


@pytest.mark.parametrize("number", [errno.ENETUNREACH, errno.EHOSTUNREACH])
def test_no_route_is_distinguished_from_no_broker(
    make_publisher: MakePublisher,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
) -> None:
    """The log blames the network, not the broker. (The kernel's error is faked: it differs by machine.)"""

    def unreachable(*_arguments: object, **_options: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(socket, "create_connection", unreachable)
    make_publisher(1883).start()
    wait_until(lambda: "there is no route to it: check the hive's network" in caplog.text, "it is logged")


@VERSIONS
def test_subscribed_messages_arrive_and_are_marked_if_retained(
    broker: Broker, make_publisher: MakePublisher, version: Any
) -> None:
    """Including one retained before the hive connected, which must not count as a command."""
    received: list[Message] = []
    with Subscriber(broker.port) as sender:
        sender._client.publish("hw/h1/command/pause", b"old", 1, retain=True).wait_for_publish(PATIENCE_S)
        publisher = make_publisher(broker.port, version=version)
        publisher.subscribe("hw/h1/command/+", received.append)
        publisher.start()
        wait_until(lambda: bool(received), "the retained message has arrived")
        sender._client.publish("hw/h1/command/resume", b"new", 1)
        sender._client.publish("hw/h1/other", b"not subscribed", 1)
        wait_until(lambda: len(received) >= 2, "the other message has arrived")
    assert received == [
        Message("hw/h1/command/pause", b"old", retained=True),
        Message("hw/h1/command/resume", b"new", retained=False),
    ]
