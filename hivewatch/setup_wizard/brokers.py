"""The MQTT brokers on the network, and what an answer to the question for the broker means."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hivewatch.errors import ConfigError
from hivewatch.setup_wizard.answers import printable

if TYPE_CHECKING:
    from zeroconf import ServiceInfo

PLAIN_PORT, TLS_PORT = 1883, 8883
_SERVICES = {"_mqtt._tcp.local.": False, "_secure-mqtt._tcp.local.": True}
_SEARCH_S = 3.0
_ANSWER_MS = 2000
_CONNECT_S = 3.0
NONE = "none"


@dataclass(frozen=True, slots=True)
class Broker:
    """A broker; ``name`` is what it calls itself on the network, empty if it was typed."""

    host: str
    port: int
    tls: bool
    name: str = ""

    def __str__(self) -> str:
        """Return host and port, and its name if it has one."""
        return f"{self.host}:{self.port}" + (f" ({self.name})" if self.name else "")


def find_brokers(search_s: float = _SEARCH_S, **network: Any) -> tuple[list[Broker], list[str]]:
    """Return the brokers on this machine and on the network, and a sentence if the network was not searched.

    Brokers on the network announce themselves by multicast DNS. ``network`` goes to ``zeroconf.Zeroconf``.
    """
    local = Broker("localhost", PLAIN_PORT, tls=False, name="this machine")
    found = [] if why_unreachable(local) else [local]
    try:
        import zeroconf
    except ImportError:
        return found, ["The network is not searched for brokers: that needs `pip install zeroconf`."]
    try:
        with zeroconf.Zeroconf(**network) as searching:
            names: list[tuple[str, str]] = []

            def add(**event: Any) -> None:
                if event["state_change"] is zeroconf.ServiceStateChange.Added:
                    names.append((event["service_type"], event["name"]))

            with zeroconf.ServiceBrowser(searching, list(_SERVICES), handlers=[add]):
                threading.Event().wait(search_s)
            for service, name in names:
                info = searching.get_service_info(service, name, _ANSWER_MS)
                if info is not None and info.port:
                    found.append(_announced(info, tls=_SERVICES[service]))
    except (OSError, zeroconf.Error) as error:
        return found, [f"The network could not be searched for brokers: {error}."]
    return found, []


def parse_broker(answer: str, found: Sequence[Broker]) -> Broker | None:
    """Return the broker that ``answer`` means, None for ``none``.

    It is a number in the list ``found``, or an address; raises ConfigError if it is neither.
    """
    answer = printable(answer)
    if answer == NONE:
        return None
    if answer.isdecimal():
        if 1 <= int(answer) <= len(found):
            return found[int(answer) - 1]
        raise ConfigError([f"there is no broker {answer} in the list"])
    scheme, _, rest = answer.rpartition("://")
    if scheme not in {"", "mqtt", "mqtts"}:
        raise ConfigError(["only mqtt:// and mqtts:// are supported; give host or host:port"])
    if "@" in rest:
        raise ConfigError(["give only host or host:port here; the user name is asked for separately"])
    try:
        parts = urlsplit(f"//{rest}")
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise ConfigError(["the address is not valid: a port is 1 to 65535"]) from error
    if parts.path.strip("/") or not re.fullmatch(r"[\w.-]+|[0-9a-f:]+(%\w+)?", host):
        raise ConfigError(["that is not an address; give host or host:port, such as 192.168.1.10:1883"])
    if port == 0:
        raise ConfigError(["the address is not valid: a port is 1 to 65535"])
    tls = scheme == "mqtts" or port == TLS_PORT
    port = port if port is not None else (TLS_PORT if tls else PLAIN_PORT)
    return Broker(host, port, tls)


def why_unreachable(broker: Broker, timeout_s: float = _CONNECT_S) -> str:
    """Return why no connection to the broker's port can be made, empty if one can."""
    try:
        socket.create_connection((broker.host, broker.port), timeout_s).close()
    except TimeoutError:
        return f"no answer within {timeout_s:.0f} s"
    except (OSError, UnicodeError) as error:
        return getattr(error, "strerror", None) or str(error)
    return ""


def _announced(info: ServiceInfo, *, tls: bool) -> Broker:
    """Return the broker by its host name if this machine can resolve that, else by its address."""
    name = info.name.removesuffix(f".{info.type}")
    host = (info.server or "").removesuffix(".")
    port = info.port or PLAIN_PORT
    addresses = sorted(info.parsed_addresses(), key=lambda address: ":" in address)  # IPv4 first
    try:
        socket.getaddrinfo(host, port)
    except OSError:
        host = addresses[0] if addresses else host
    return Broker(host, port, tls, name)
