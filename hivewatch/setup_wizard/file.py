"""The configuration file that is made of the choices."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

from hivewatch.config.base import options
from hivewatch.config.reader import parse
from hivewatch.config.sections import Config
from hivewatch.errors import ConfigError

_HEADER = """\
# hivewatch: the settings of one hive, made with `hivewatch init` on {day}.
#
# Only what was chosen is here; every other option keeps its default. `hivewatch help manual` prints the
# manual of all options, `hivewatch help camera` the part on one section. Relative paths start at the folder
# of this file. After a change: `hivewatch check --config FILE`, then restart hivewatch.
"""
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*")
_YAML_WORDS = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}


def require_new(path: Path) -> None:
    """Raise ConfigError if ``path`` exists, or cannot be created."""
    try:
        _require_new(path)
    except OSError as error:  # such as a folder that is not open to this user, as /etc/hivewatch is
        raise ConfigError(
            [f"this user may not look at {path}: use sudo, or name a file in a folder of yours"]
        ) from error


def _require_new(path: Path) -> None:
    if path.exists() or path.is_symlink():
        raise ConfigError(
            [f"{path} exists and is not overwritten: edit it, move it away, or name another file"]
        )
    folder = path.absolute().parent
    if not folder.is_dir():
        raise ConfigError([f"there is no folder {folder}: make it first, or name another file"])
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
        raise ConfigError([f"this user may not create {path}: use sudo, or name a file in a folder of yours"])


def password_path(path: Path) -> Path:
    """Return the file for the broker's password that belongs to the configuration file ``path``."""
    return path.with_suffix(".password")


def yaml_text(settings: Mapping[str, Any], today: date) -> str:
    """Return a YAML file with these options, each below its description."""
    descriptions = {option.key: option.field.description for option in options(Config)}
    lines = [_HEADER.format(day=today)]
    for section, values in settings.items():
        lines += [f"{section}:", *_lines((section,), values, descriptions), ""]
    return "\n".join(lines).rstrip() + "\n"


def write_files(path: Path, text: str, password: str) -> None:
    """Write the configuration, and the password if there is one, without overwriting a file.

    Root gives both to the group of the folder, so that the service can read them. Raises ConfigError, and
    leaves no file behind, if the configuration would not be valid or a file cannot be written.
    """
    with _created(password_path(path), password and f"{password}\n", 0o600):
        parse(text, Config, name=str(path), folder=path.resolve().parent)
        with _created(path, text, 0o640):
            pass


@contextmanager
def _created(path: Path, text: str, mode: int) -> Iterator[None]:
    """Create a file, nothing if ``text`` is empty; remove it again if the context raises."""
    if not text:
        yield
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                if os.geteuid() == 0:
                    os.fchown(descriptor, -1, path.absolute().parent.stat().st_gid)
                    os.fchmod(descriptor, 0o640)
                file.write(text)
            yield
        except BaseException:
            path.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ConfigError([f"{path} cannot be written: {error.strerror}"]) from error


def _lines(
    key: tuple[str, ...], values: Mapping[str, Any], descriptions: Mapping[tuple[str, ...], str | None]
) -> Iterator[str]:
    indent = "  " * len(key)
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield f"{indent}{name}:"
            yield from _lines((*key, name), value, descriptions)
        else:
            yield f"{indent}# {descriptions[*key, name]}"
            yield f"{indent}{name}: {_scalar(value)}"


def _scalar(value: str | bool | int) -> str:
    """Return a value in YAML; text that YAML could take for something else is quoted as in JSON."""
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _YAML_WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)
