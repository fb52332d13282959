"""Finding brokers by a real announcement on loopback, and reading an answer."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator

import pytest
from support.brokers import Broker as Mosquitto
from support.brokers import free_port, wait_until
from zeroconf import ServiceInfo, Zeroconf

from hivewatch.errors import ConfigError
from hivewatch.setup_wizard import brokers
from hivewatch.setup_wizard.brokers import Broker, find_brokers, parse_broker, why_unreachable

LOOPBACK = {"interfaces": ["127.0.0.1"]}
FOUND = [Broker("homeassistant.local", 1883, tls=False, name="Home"), Broker("10.0.0.9", 8883, tls=True)]


@pytest.fixture
def network() -> Iterator[Zeroconf]:
    """Yield a participant of multicast DNS on loopback."""
    with Zeroconf(**LOOPBACK) as zeroconf:
        yield zeroconf


def announce(network: Zeroconf, service: str, name: str, port: int, server: str) -> None:
    """Announce a service on 127.0.0.1."""
    address = [socket.inet_aton("127.0.0.1")]
    kind = f"{service}._tcp.local."
    network.register_service(ServiceInfo(kind, f"{name}.{kind}", port, addresses=address, server=server))


def search() -> list[Broker]:
    """Return the brokers found on loopback, without one on port 1883 of this machine."""
    found, problems = find_brokers(3.0, **LOOPBACK)
    assert problems == []
    return [broker for broker in found if broker.name != "this machine"]


@pytest.mark.slow
def test_an_announced_broker_is_found_with_its_name_and_port(network: Zeroconf) -> None:
    announce(network, "_mqtt", "Garden broker", 1884, "no-such-host-of-ours.local.")
    expected = [Broker("127.0.0.1", 1884, tls=False, name="Garden broker")]
    wait_until(lambda: search() == expected, "the broker is found", 60)


@pytest.mark.slow
def test_an_announced_host_name_that_resolves_is_kept(network: Zeroconf) -> None:
    announce(network, "_mqtt", "Garden broker", 1884, "localhost.")
    wait_until(lambda: [broker.host for broker in search()] == ["localhost"], "its host name", 60)


@pytest.mark.slow
def test_a_broker_announced_as_secure_uses_tls(network: Zeroconf) -> None:
    announce(network, "_secure-mqtt", "Safe", 8883, "localhost.")
    expected = [Broker("localhost", 8883, tls=True, name="Safe")]
    wait_until(lambda: search() == expected, "the broker is found", 60)


@pytest.mark.slow
def test_other_services_are_no_brokers(network: Zeroconf) -> None:
    announce(network, "_http", "Printer", 80, "localhost.")
    assert search() == []


def test_a_broker_on_this_machine_is_found(broker: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brokers, "PLAIN_PORT", broker.port)
    found, _ = find_brokers(0.0, **LOOPBACK)
    assert found == [Broker("localhost", broker.port, tls=False, name="this machine")]


def test_without_the_library_the_network_is_not_searched_and_the_user_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "zeroconf", None)
    _, problems = find_brokers()
    assert problems == ["The network is not searched for brokers: that needs `pip install zeroconf`."]


def test_a_network_that_cannot_be_searched_is_no_failure() -> None:
    _, problems = find_brokers(0.0, interfaces=["203.0.113.77"])
    assert len(problems) == 1
    assert problems[0].startswith("The network could not be searched for brokers: ")


@pytest.mark.parametrize(
    ("answer", "broker"),
    [
        ("1", FOUND[0]),
        (" 2 ", FOUND[1]),
        ("none", None),
        ("broker.lan", Broker("broker.lan", 1883, tls=False)),
        ("192.168.1.10:1884", Broker("192.168.1.10", 1884, tls=False)),
        ("broker.lan:8883", Broker("broker.lan", 8883, tls=True)),
        ("mqtt://broker.lan", Broker("broker.lan", 1883, tls=False)),
        ("mqtts://broker.lan/", Broker("broker.lan", 8883, tls=True)),
        ("[fe80::1]:1883", Broker("fe80::1", 1883, tls=False)),
    ],
)
def test_an_answer_names_a_broker(answer: str, broker: Broker | None) -> None:
    assert parse_broker(answer, FOUND) == broker


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ("3", "there is no broker 3 in the list"),
        ("http://broker.lan", "only mqtt:// and mqtts:// are supported; give host or host:port"),
        ("broker.lan:99999", "the address is not valid: a port is 1 to 65535"),
        ("broker.lan:0", "the address is not valid: a port is 1 to 65535"),
        ("user:secret@broker.lan", "the user name is asked for separately"),
        ("the broker", "that is not an address; give host or host:port"),
        ("", " is not an address"),
        ("broker.lan/topic", "that is not an address"),
        ("brok\x07er", "contains characters that cannot be printed"),
    ],
)
def test_an_answer_that_names_no_broker_is_answered_with_a_sentence(answer: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence.replace("(", r"\(")) as refused:
        parse_broker(answer, FOUND)
    assert "secret" not in str(refused.value)


def test_a_broker_that_listens_is_reachable(broker: Mosquitto) -> None:
    assert why_unreachable(Broker("127.0.0.1", broker.port, tls=False)) == ""


def test_a_port_that_is_closed_says_why() -> None:
    assert why_unreachable(Broker("127.0.0.1", free_port(), tls=False)) == "Connection refused"


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 70])
def test_a_host_that_does_not_exist_says_why(host: str) -> None:
    assert why_unreachable(Broker(host, 1883, tls=False))
