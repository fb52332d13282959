"""What a client needs to be accepted by the broker: its password and its TLS context."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from hivewatch.config.files import read_small
from hivewatch.config.sections import MqttConfig
from hivewatch.errors import ConfigError
from hivewatch.mqtt.tls import make_context

CREDENTIAL = "mqtt_password"


@dataclass(frozen=True, slots=True)
class Credentials:
    """The password, None if there is none, and the TLS context, None for a connection in clear text."""

    password: str | None = field(repr=False)
    tls_context: ssl.SSLContext | None


def read_credentials(config: MqttConfig) -> Credentials:
    """Read the password and the certificates; raises ConfigError if one of the files cannot be used."""
    password = read_password(config)
    return Credentials(password, make_context(config.tls) if config.tls.enabled else None)


def read_password(config: MqttConfig) -> str | None:
    """Return the password, None if there is none; raises ConfigError if its file cannot be read.

    ``password_file`` takes precedence over the credential that systemd puts into $CREDENTIALS_DIRECTORY.
    """
    if config.password_file is not None:
        return _read(config.password_file, "mqtt.password_file")
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if config.username and folder and (path := Path(folder, CREDENTIAL)).exists():
        return _read(path, "the systemd credential")
    return None


def _read(path: Path, what: str) -> str:
    try:
        password = read_small(path).decode("utf-8").removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise ConfigError([f"{what} cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError:
        # Not chained: the error contains the password.
        raise ConfigError([f"{what} cannot be read as text: save the password as UTF-8"]) from None
    if "\n" in password:
        raise ConfigError([f"{what} has more than one line: it must contain the password and nothing else"])
    return password
