"""TLS, credentials and access rights against a real mosquitto: what is wrong says what."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from support.brokers import PATIENCE_S, Broker, Subscriber, free_port, wait_until
from support.certificates import Authority, Files

from hivewatch.config.sections import MqttConfig, TlsConfig
from hivewatch.domain.wire import Message
from hivewatch.errors import ConfigError
from hivewatch.messages import contract
from hivewatch.messages.alert import availability
from hivewatch.mqtt import publisher as publisher_module
from hivewatch.mqtt import refusals
from hivewatch.mqtt.publisher import Publisher
from hivewatch.store import Store

STOP_S = 5.0
MakePublisher = Callable[..., Publisher]
STATE = Message("hw/h1/pressure", b"{}", retained=True)
VERSIONS = pytest.mark.parametrize("version", ["3.1.1", 5])


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    with Store(tmp_path / "store") as store:
        yield store


@pytest.fixture
def make_publisher(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Iterator[MakePublisher]:
    """Make and start publishers of ``store``; they are stopped at the end."""
    monkeypatch.setattr(publisher_module, "FIRST_RECONNECT_S", 0.05)
    caplog.set_level(logging.INFO)
    made: list[Publisher] = []

    def make(port: int, host: str = "127.0.0.1", **options: Any) -> Publisher:
        config = MqttConfig(host=host, port=port, reconnect_longest_s=1, **options)
        presence = availability("hw", "h1", online=True), availability("hw", "h1", online=False)
        envelope = partial(contract.envelope, base_topic="hw", hive_id="h1")
        publisher = Publisher(config, store, "hivewatch-test", presence, envelope)
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
    """Return what makes a broker speak TLS."""
    return [f"certfile {files.certificate}", f"keyfile {files.key}"]


def trusting(authority: Authority, own: Files | None = None, **options: Any) -> TlsConfig:
    """Return the hive's side: it trusts ``authority`` and shows its ``own`` certificate."""
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
def test_an_encrypted_connection_is_made_where_all_is_right(
    authority: Authority, start_broker: Any, make_publisher: MakePublisher, version: Any, host: str
) -> None:
    """By name and by address, since both stand in the broker's certificate."""
    broker = start_broker(encrypted(authority.sign("broker")))
    publisher = make_publisher(broker.port, host, tls=trusting(authority), version=version)
    publisher.start()
    assert publisher.drain(PATIENCE_S)


def test_a_large_picture_comes_whole_over_tls(
    authority: Authority, start_broker: Any, make_publisher: MakePublisher
) -> None:
    """Nothing gets stuck between what TLS has decrypted and what a socket tells of."""
    plain = free_port()
    files = authority.sign("broker")
    broker = start_broker([*encrypted(files), f"listener {plain} 127.0.0.1"])
    publisher = make_publisher(broker.port, tls=trusting(authority), version=5)
    picture = os.urandom(2_000_000)
    with Subscriber(plain) as subscriber:
        publisher.start()
        publisher.remark(Message("hw/h1/snapshot", picture, retained=False))
        wait_until(lambda: subscriber.on("snapshot") == [picture], "the picture has come")


@VERSIONS
def test_a_client_certificate_gets_in_and_none_is_told(
    authority: Authority,
    start_broker: Any,
    make_publisher: MakePublisher,
    caplog: pytest.LogCaptureFixture,
    version: Any,
) -> None:
    """The broker wants to see who the hive is; without a certificate the log names the options to set."""
    demand = [f"cafile {authority.certificate}", "require_certificate true"]
    broker = start_broker([*encrypted(authority.sign("broker")), *demand])
    shown = make_publisher(broker.port, tls=trusting(authority, authority.sign("hive")), version=version)
    shown.start()
    assert shown.drain(PATIENCE_S)
    make_publisher(broker.port, tls=trusting(authority), version=version).start()
    wait_until(lambda: "asks for a certificate of the hive" in caplog.text, "it is told")


def test_a_client_certificate_of_a_foreign_authority_is_told(
    authority: Authority,
    start_broker: Any,
    make_publisher: MakePublisher,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    """Not taken for a wrong broker."""
    demand = [f"cafile {authority.certificate}", "require_certificate true"]
    broker = start_broker([*encrypted(authority.sign("broker")), *demand])
    stranger = Authority(tmp_path, "foreign").sign("stranger")
    make_publisher(broker.port, tls=trusting(authority, stranger)).start()
    wait_until(
        lambda: "does not know the authority that signed mqtt.tls.certificate_file" in caplog.text, "told"
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
def test_a_broker_that_cannot_be_trusted_is_told_with_its_reason(
    tmp_path: Path,
    start_broker: Any,
    make_publisher: MakePublisher,
    caplog: pytest.LogCaptureFixture,
    hosts: tuple[str, ...],
    days: tuple[int, int],
    trusted: str,
    words: str,
) -> None:
    """Each reason in words of its own, and nothing is sent."""
    authorities = {name: Authority(tmp_path, name) for name in ("apiary", "foreign")}
    broker = start_broker(encrypted(authorities["apiary"].sign("broker", hosts, days)))
    publisher = make_publisher(broker.port, tls=trusting(authorities[trusted]))
    publisher.start()
    wait_until(lambda: words in caplog.text, words)
    assert publisher.connections == 0


def test_tls_to_a_port_in_clear_and_the_other_way_round_are_told(
    authority: Authority, start_broker: Any, make_publisher: MakePublisher, caplog: pytest.LogCaptureFixture
) -> None:
    """The options to look at are port and tls."""
    clear, closed = start_broker(), start_broker(encrypted(authority.sign("broker")))
    make_publisher(clear.port, tls=trusting(authority)).start()
    make_publisher(closed.port).start()
    wait_until(lambda: caplog.text.count("check mqtt.port and mqtt.tls.enabled") >= 2, "both are told")


def test_without_a_ca_file_the_systems_authorities_are_asked(
    authority: Authority, start_broker: Any, make_publisher: MakePublisher, caplog: pytest.LogCaptureFixture
) -> None:
    """Ours is none of them: never trusted by default."""
    broker = start_broker(encrypted(authority.sign("broker")))
    make_publisher(broker.port, tls=TlsConfig(enabled=True)).start()
    wait_until(lambda: "signed by an authority that is not trusted here" in caplog.text, "it is told")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda own: own.certificate.write_text("no certificate"), "not a PEM file"),
        (lambda own: own.key.write_text("no key"), "not a PEM file"),
        (lambda own: own.key.unlink(), "No such file"),
        (lambda own: Authority(own.key.parent, "x").sign("hive2").key.replace(own.key), "does not belong to"),
    ],
    ids=["certificate", "key", "missing", "another"],
)
def test_a_certificate_that_cannot_serve_is_a_config_error(
    authority: Authority, make_publisher: MakePublisher, change: Callable[[Files], object], words: str
) -> None:
    """At the start, with the option, the file and the fault."""
    own = authority.sign("hive")
    change(own)
    with pytest.raises(ConfigError, match=rf"mqtt\.tls\.certificate_file .*hive\.pem.*{words}"):
        make_publisher(1, tls=trusting(authority, own))


def test_a_key_with_a_pass_phrase_is_a_config_error_and_nobody_is_asked(
    authority: Authority, make_publisher: MakePublisher
) -> None:
    """OpenSSL would ask on the terminal, and a daemon has none."""
    own = authority.sign("hive", passphrase="honey")
    with pytest.raises(ConfigError, match=r"key_file .*hive\.key is protected by a pass phrase"):
        make_publisher(1, tls=trusting(authority, own))


def test_a_ca_file_without_a_certificate_is_a_config_error(
    tmp_path: Path, make_publisher: MakePublisher
) -> None:
    """It names the option and the file."""
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(ConfigError, match=r"mqtt\.tls\.ca_file .*ca\.pem cannot serve: .*not a PEM file"):
        make_publisher(1, tls=TlsConfig(enabled=True, ca_file=tmp_path / "ca.pem"))


@VERSIONS
def test_refused_credentials_are_told_apart_from_everything_else(
    tmp_path: Path,
    start_broker: Any,
    make_publisher: MakePublisher,
    caplog: pytest.LogCaptureFixture,
    version: Any,
) -> None:
    """With the options to look at and without the password."""
    broker = start_broker(password="honey")
    file = secret(tmp_path, "wasps-wax")
    make_publisher(broker.port, username="hive", password_file=file, version=version).start()
    wait_until(lambda: "check mqtt.username and mqtt.password_file" in caplog.text, "it is told")
    assert "wasps-wax" not in caplog.text


def test_the_password_may_come_as_a_credential_of_systemd(
    tmp_path: Path, start_broker: Any, make_publisher: MakePublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no file is configured: LoadCredential= puts it into a folder that only the service sees."""
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


def test_with_mqtt_5_a_topic_that_may_not_be_written_is_told_and_what_waits_is_kept(
    tmp_path: Path,
    store: Store,
    start_broker: Any,
    make_publisher: MakePublisher,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing that was recorded is lost: it goes out once the broker's ACL is right. All else goes on."""
    monkeypatch.setattr(refusals, "AGAIN_S", 0.2)
    allowed = ("availability", "health", "event", "pressure")
    file = acl(tmp_path, *(f"topic write hw/h1/{leaf}" for leaf in allowed if leaf != "event"))
    broker = start_broker(file, password="honey")
    credentials = {"username": "hive", "password_file": secret(tmp_path, "honey")}
    publisher = make_publisher(broker.port, version=5, **credentials)
    store.queue(Message("hw/h1/event", b"{}", retained=False))
    publisher.state(Message("hw/h1/settings", b"{}", retained=True))
    publisher.state(STATE)
    publisher.start()
    for leaf in ("event", "settings"):
        wait_until(lambda leaf=leaf: f"may not publish on hw/h1/{leaf}" in caplog.text, f"{leaf} is told")
    assert "check its ACL" in caplog.text
    assert store.outbox_depth() == 1
    assert publisher.connections == 1
    told = caplog.text.count("may not publish on hw/h1/event")
    wait_until(lambda: publisher.connections == 1 and not publisher.drain(0.6), "it was tried again")
    assert told == caplog.text.count("may not publish on hw/h1/event") == 1
    acl(tmp_path, *(f"topic write hw/h1/{leaf}" for leaf in (*allowed, "settings")))
    broker.kill()
    broker.start()
    assert publisher.drain(PATIENCE_S)
    assert store.outbox_depth() == 0


def test_with_mqtt_3_a_topic_that_may_not_be_written_cannot_be_told(
    tmp_path: Path, store: Store, start_broker: Any, make_publisher: MakePublisher
) -> None:
    """The broker acknowledges and throws away: README says so, and advises MQTT 5. If this fails, rejoice."""
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
    """With the ACL that README gives, by a pattern on the user's name."""
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
        publisher.remark(Message("hw/other/event", b"forged", retained=False))
        publisher.remark(Message("hw/hive/event", b"own", retained=False))
        keeper.wait_for("event", b"own")
    assert keeper.on("event") == [b"own"]


class KeeperSubscriber(Subscriber):
    """A subscriber that logs in as the beekeeper."""

    def __init__(self, port: int) -> None:
        super().__init__(port, "honey")
        self._client.username_pw_set("keeper", "honey")


def test_the_dynamic_security_plugin_lets_the_hive_write_and_tells_of_commands_it_may_not_hear(
    tmp_path: Path, make_publisher: MakePublisher, caplog: pytest.LogCaptureFixture, start_broker: Any
) -> None:
    """Rights given at run time, to publish only: the hive publishes, and says that it hears no commands."""
    plugins = sorted(Path("/usr/lib").glob("*/mosquitto_dynamic_security.so"))
    control = shutil.which("mosquitto_ctrl")
    assert plugins and control, "Debian's mosquitto brings the plugin: see scripts/test"
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
    publisher.listen("hw/h1/command/+", lambda _message: None)
    publisher.start()
    assert publisher.drain(PATIENCE_S)
    wait_until(lambda: "may not subscribe to hw/h1/command/+" in caplog.text, "it is told")
    assert publisher.is_connected


def test_with_mqtt_5_messages_carry_their_kind_their_end_and_their_sighting(
    broker: Broker, make_publisher: MakePublisher
) -> None:
    """Content type, expiry and user properties, as the contract says; availability never expires."""
    came: dict[str, Any] = {}
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.on_connect = lambda *_: client.subscribe("hw/#", 1)
    client.on_message = lambda _client, _data, message: came.__setitem__(message.topic, message.properties)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    publisher = make_publisher(broker.port, version=5)
    publisher.start()
    publisher.remark(contract.SIGHTING_SNAPSHOT.message("hw", "h1", b"jpeg", "v1"))
    publisher.remark(contract.ANSWER.message("hw", "h1", {}))
    topics = {"hw/h1/availability", "hw/h1/sighting/v1/snapshot", "hw/h1/command/answer"}
    wait_until(lambda: topics <= came.keys(), "all have come")
    client.disconnect()
    client.loop_stop()
    picture, answer = came["hw/h1/sighting/v1/snapshot"], came["hw/h1/command/answer"]
    assert (picture.ContentType, picture.UserProperty) == ("image/jpeg", [("sighting_id", "v1")])
    assert 0 < picture.MessageExpiryInterval <= 86_400
    assert (answer.ContentType, answer.UserProperty) == (
        "application/json",
        [("schema", "hivewatch.answer-1")],
    )
    assert 0 < answer.MessageExpiryInterval <= 60
    assert not hasattr(came["hw/h1/availability"], "MessageExpiryInterval")


def test_a_retained_picture_vanishes_from_the_broker_when_it_has_expired(
    broker: Broker, store: Store
) -> None:
    """With MQTT 5, and not before."""
    from hivewatch.domain.wire import Envelope

    config = MqttConfig(host="127.0.0.1", port=broker.port, version=5)
    publisher = Publisher(
        config, store, "hivewatch-test", envelope=lambda _message: Envelope("image/jpeg", 2)
    )
    publisher.start()
    publisher.remark(Message("hw/h1/snapshot", b"jpeg", retained=True))
    assert publisher.drain(PATIENCE_S)
    with Subscriber(broker.port) as early:
        early.wait_for("snapshot", b"jpeg")

    def is_gone() -> bool:
        with Subscriber(broker.port) as late:
            publisher.remark(Message("hw/h1/mark", b"", retained=False))
            wait_until(lambda: bool(late.on("mark")), "what is retained has come before")
        return not late.on("snapshot")

    wait_until(is_gone, "it has expired")
    publisher.stop(STOP_S)


def test_a_broker_that_ends_the_connection_says_why(
    start_broker: Any, make_publisher: MakePublisher, caplog: pytest.LogCaptureFixture
) -> None:
    """With MQTT 5: here because a picture is larger than it takes."""
    publisher = make_publisher(start_broker(["max_packet_size 20000"]).port, version=5)
    publisher.start()
    publisher.remark(Message("hw/h1/snapshot", bytes(30_000), retained=False))
    wait_until(lambda: "the broker has ended the connection: Packet too large" in caplog.text, "told")


@pytest.mark.parametrize("number", [errno.ENETUNREACH, errno.EHOSTUNREACH])
def test_no_route_is_told_apart_from_no_broker(
    make_publisher: MakePublisher,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
) -> None:
    """The network is at fault, not the broker. (The kernel's answer is made up: it differs by machine.)"""

    def unreachable(*_arguments: object, **_options: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(socket, "create_connection", unreachable)
    make_publisher(1883).start()
    wait_until(lambda: "there is no route to it: check the hive's network" in caplog.text, "it is told")


@VERSIONS
def test_what_is_listened_to_is_heard_and_marked_where_it_is_retained(
    broker: Broker, make_publisher: MakePublisher, version: Any
) -> None:
    """Also what was retained before the hive came, which must not count as a command."""
    heard: list[Message] = []
    with Subscriber(broker.port) as sender:
        sender._client.publish("hw/h1/command/pause", b"old", 1, retain=True).wait_for_publish(PATIENCE_S)
        publisher = make_publisher(broker.port, version=version)
        publisher.listen("hw/h1/command/+", heard.append)
        publisher.start()
        wait_until(lambda: bool(heard), "the retained one has come")
        sender._client.publish("hw/h1/command/resume", b"new", 1)
        sender._client.publish("hw/h1/other", b"not ours", 1)
        wait_until(lambda: len(heard) >= 2, "the other one has come")
    assert heard == [
        Message("hw/h1/command/pause", b"old", retained=True),
        Message("hw/h1/command/resume", b"new", retained=False),
    ]
