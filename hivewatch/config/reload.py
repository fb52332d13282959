"""Takes over a changed configuration in a running daemon, as far as that is possible without a restart."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

from hivewatch.config.base import Mark, Section, marks_of, options, section_in
from hivewatch.config.sections import Config

_S = TypeVar("_S", bound=Section)


class Reload(NamedTuple):
    """The configuration now in force, and the dotted names of the options that changed."""

    config: Config
    changed: list[str]
    waiting: list[str]
    """Changed in the file, but in force only after a restart."""


def reload(running: Config, new: Config) -> Reload:
    """Return ``running`` with every option of ``new`` that does not need a restart."""
    changed: list[str] = []
    waiting: list[str] = []
    for option in options(Config):
        if _value(running, option.key) != _value(new, option.key):
            (waiting if Mark.RESTART in option.marks else changed).append(option.name)
    return Reload(_taken_over(running, new), sorted(changed), sorted(waiting))


def _taken_over(running: _S, new: _S) -> _S:
    update = {}
    for name, field in type(running).model_fields.items():
        if Mark.RESTART in marks_of(field):
            continue
        value = getattr(new, name)
        update[name] = value if section_in(field) is None else _taken_over(getattr(running, name), value)
    return running.model_copy(update=update)


def _value(section: Section, key: tuple[str, ...]) -> object:
    value: object = section
    for name in key:
        value = getattr(value, name)
    return value
