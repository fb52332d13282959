"""The command watch: follows all hives of a broker in the terminal."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from hivewatch.errors import ConfigError

if TYPE_CHECKING:
    from hivewatch.config.sections import MqttConfig


def watch_fleet(arguments: argparse.Namespace) -> int:
    """Show the fleet until interrupted: a live table on a terminal, else one line per change."""
    from datetime import UTC, datetime
    from shutil import get_terminal_size

    from hivewatch.fleet.hives import Fleet
    from hivewatch.fleet.view import Lines, Screen
    from hivewatch.mqtt.follower import follow

    config = _broker_config(arguments)
    fleet = Fleet(config.base_topic)
    screen, lines = Screen(fleet, f"{config.host}:{config.port}"), Lines(fleet)
    for trouble in follow(config, fleet.topics, fleet.on_message):
        if trouble:
            fleet.clear()
        if sys.stdout.isatty():
            text = screen.text(trouble, datetime.now(UTC), *get_terminal_size())
        else:
            text = lines.text(trouble, datetime.now(UTC))
        print(text, end="", flush=True)
    return 0


def _broker_config(arguments: argparse.Namespace) -> MqttConfig:
    """Return the options as a configuration; raises ConfigError that names invalid ones."""
    from pydantic import ValidationError

    from hivewatch.config.base import Option
    from hivewatch.config.base import options as known_options
    from hivewatch.config.sections import Config
    from hivewatch.config.words import sentence

    if arguments.password_file is not None and not arguments.username:
        raise ConfigError(["--password-file needs --username beside it"])
    if arguments.ca_file is not None and not arguments.tls:
        raise ConfigError(["--ca-file needs --tls: nothing would be encrypted"])
    options = {
        "host": arguments.host,
        "port": arguments.port if arguments.port is not None else 8883 if arguments.tls else 1883,
        "username": arguments.username,
        "password_file": arguments.password_file,
        "base_topic": arguments.base_topic,
        "tls": {"enabled": arguments.tls, "ca_file": arguments.ca_file},
    }
    try:
        return Config.model_validate({"mqtt": options}).mqtt
    except ValidationError as error:
        known: dict[tuple[str | int, ...], Option] = {option.key: option for option in known_options(Config)}
        problems = [
            f"--{str(one['loc'][-1]).replace('_', '-')}: {sentence(one, known.get(one['loc']), Config, None)}"
            for one in error.errors()
        ]
    raise ConfigError(problems)
