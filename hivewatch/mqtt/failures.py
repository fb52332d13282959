"""Connection failures in plain words, with what to do about them."""

from __future__ import annotations

import errno
import socket
import ssl

from hivewatch.mqtt import tls

DROPPED = "the server closed the connection; check mqtt.port and mqtt.tls.enabled"
LOST = "the connection was lost"
SILENT = "the server does not answer as an MQTT broker"
NOT_MQTT = "the server does not speak MQTT; check mqtt.port and mqtt.tls.enabled"
_LONGEST_DETAIL = 200


def describe(error: OSError | UnicodeError, timeout_s: float) -> str:
    """Return why the socket could not be opened; ``timeout_s`` is how long connecting may take."""
    match error:
        case ssl.SSLError():
            return tls.describe(error)
        case socket.gaierror() | UnicodeError():
            return f"the host name is unknown ({error})"
        case ConnectionRefusedError():
            return "nothing listens on that port"
        case ConnectionResetError():
            return DROPPED
        case TimeoutError():
            return f"no answer within {timeout_s:g} s"
        case OSError(errno=errno.ENETUNREACH | errno.EHOSTUNREACH):
            return f"there is no route to it: check the hive's network and mqtt.host ({error})"
        case _:
            return str(error)


def unreadable(error: Exception) -> str:
    """Return what to say of an ``error`` that the client library raised on what the broker sent."""
    # The text of an error may be as long as a packet.
    return f"the broker sent what is not MQTT ({type(error).__name__}: {f'{error}'[:_LONGEST_DETAIL]})"


def refused(reason: str) -> str:
    """Return the sentence for a connection that the broker refuses with ``reason``."""
    return f"the broker refuses the connection: {reason}{advice(reason)}"


def taken_over(client_id: str) -> str:
    """Return what to do about another client that may have the same id."""
    return (
        f"; if another hive uses the client id {client_id!r} too, give each its own hive.id or mqtt.client_id"
    )


def only_speaks(version: str | int) -> str:
    """Return what to say of a broker that accepts only the ``version`` of MQTT that is not configured."""
    return f"the broker speaks MQTT {version} only: set mqtt.version to {version}"


def is_about_credentials(reason: str) -> bool:
    """Return whether a broker's ``reason`` for a refusal concerns user name, password or rights."""
    return any(word in reason.lower() for word in ("authori", "user name", "password"))


def is_about_version(reason: str) -> bool:
    """Return whether a broker's ``reason`` for a refusal is the version of MQTT."""
    return "protocol version" in reason.lower()


def is_about_session(reason: str) -> bool:
    """Return whether a broker's ``reason`` to end the connection is another client with the same id."""
    return "session taken over" in reason.lower()


def advice(reason: str) -> str:
    """Return which option to change after a broker refused the connection with ``reason``, else ""."""
    text = reason.lower()
    if is_about_credentials(reason):
        return "; check mqtt.username and mqtt.password_file"
    if is_about_version(reason):
        return "; set mqtt.version to another"
    return "; another client uses mqtt.client_id" if "identifier" in text else ""
