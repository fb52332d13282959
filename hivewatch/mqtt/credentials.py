"""Where the password for the broker comes from: a file, or what systemd hands to the service."""

from __future__ import annotations

import os
from pathlib import Path

from hivewatch.config.sections import MqttConfig
from hivewatch.errors import ConfigError

CREDENTIAL = "mqtt_password"


def read_password(config: MqttConfig) -> str | None:
    """Return the password, None where there is none; raises ConfigError where it cannot be read.

    ``password_file`` comes first, then the credential that systemd puts into $CREDENTIALS_DIRECTORY.
    """
    if config.password_file is not None:
        return _read(config.password_file, "mqtt.password_file")
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if config.username and folder and (path := Path(folder, CREDENTIAL)).exists():
        return _read(path, "the systemd credential")
    return None


def _read(path: Path, what: str) -> str:
    try:
        return path.read_text(encoding="utf-8").removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{what} {path} cannot be read: {error}"]) from error
