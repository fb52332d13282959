"""Connection failures in plain words, with what to do about them."""

from __future__ import annotations

import errno
import socket
import ssl

from hivewatch.mqtt import tls

DROPPED = "the server closed the connection; check mqtt.port and mqtt.tls.enabled"


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


def is_about_credentials(reason: str) -> bool:
    """Return whether a broker's ``reason`` for a refusal concerns user name, password or rights."""
    return any(word in reason.lower() for word in ("authori", "user name", "password"))


def advice(reason: str) -> str:
    """Return which option to change after a broker refused the connection with ``reason``, else ""."""
    text = reason.lower()
    if is_about_credentials(reason):
        return "; check mqtt.username and mqtt.password_file"
    if "protocol version" in text:
        return "; set mqtt.version to another"
    return "; another client uses mqtt.client_id" if "identifier" in text else ""
