"""config/hivewatch.yaml is the manual: its defaults, restart marks and texts are those of the sections."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from support.paths import PROJECT

from hivewatch.config.base import Mark, Option, options
from hivewatch.config.reader import load
from hivewatch.config.sections import Config

MANUAL = PROJECT / "config" / "hivewatch.yaml"
RESTART = "(restart)"


class Entry(NamedTuple):
    """An option or a section as the manual shows it, also one that is commented out."""

    key: tuple[str, ...]
    comment: str
    needs_restart: bool


def entries() -> Iterator[Entry]:
    """Yield what the manual documents: the comment above each key, and whether "(restart)" applies to it."""
    key: list[str] = []
    restart: list[bool] = []
    comment: list[str] = []
    for line in MANUAL.read_text().splitlines():
        found = re.match(r"(?P<indent> *)(?P<out># )?(?P<name>[a-z0-9_]+):(?P<rest>.*)", line)
        is_text = line.lstrip().startswith("# ") and not (found and is_example(found))
        if is_text or found is None or (found["out"] and found["name"] == "watch"):
            comment.append(line.strip(" #"))
            continue
        depth = len(found["indent"]) // 2
        text = " ".join(comment)
        needs = RESTART in text or RESTART in found["rest"]
        key[depth:], restart[depth:] = [found["name"]], [needs]
        yield Entry(tuple(key), text.replace(RESTART, "").strip(), any(restart))
        comment = []


def is_example(line: re.Match[str]) -> bool:
    """Return whether a commented line shows an option that has no default to show."""
    return line["out"] is not None and line["name"] in {option.key[-1] for option in options(Config)}


OPTIONS = list(options(Config))
DOCUMENTED = {entry.key: entry for entry in entries()}


def test_the_manual_states_exactly_the_defaults() -> None:
    assert load(MANUAL) == Config()


def test_the_manual_documents_every_option_and_no_other() -> None:
    sections = {option.key[:depth] for option in options(Config) for depth in range(1, len(option.key))}
    assert set(DOCUMENTED) == {option.key for option in options(Config)} | sections


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_the_manual_begins_with_the_description_of_the_option(option: Option) -> None:
    assert option.field.description, "every option has a description"
    assert option.field.description.endswith(".")
    assert DOCUMENTED[option.key].comment.startswith(option.field.description)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_the_restart_marks_of_the_manual_are_those_of_the_options(option: Option) -> None:
    assert DOCUMENTED[option.key].needs_restart == (Mark.RESTART in option.marks)
