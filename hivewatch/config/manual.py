"""The manual, config/hivewatch.yaml, by option: the comment above each key, and the line with its default."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from hivewatch.config.base import options
from hivewatch.config.sections import Config

MANUAL = Path(__file__).with_name("hivewatch.yaml")
"""A link to config/hivewatch.yaml in a checkout, and its copy in an installed package."""

RESTART = "(restart)"


class Entry(NamedTuple):
    """An option or a section as the manual shows it, also one that is commented out."""

    key: tuple[str, ...]
    comment: list[str]
    """The lines above the key, without their #."""
    line: str
    """The line with the key itself, which shows the default or an example."""
    needs_restart: bool

    @property
    def name(self) -> str:
        """The dotted name."""
        return ".".join(self.key)

    @property
    def text(self) -> str:
        """The paragraph of the manual, headed by the dotted name."""
        restart = " (takes effect at the next start)" if self.needs_restart else ""
        return "\n".join([f"{self.name}{restart}", *(f"  {line}" for line in [*self.comment, self.line])])


def read_manual() -> str:
    """Return the text of the manual."""
    return MANUAL.read_text(encoding="utf-8")


def entries() -> Iterator[Entry]:
    """Yield every section and option of the manual, in order."""
    names = {option.key[-1] for option in options(Config)}
    key: list[str] = []
    restart: list[bool] = []
    comment: list[str] = []
    for line in read_manual().splitlines():
        found = re.match(r"(?P<indent> *)(?P<out># )?(?P<name>[a-z0-9_]+):(?P<rest>.*)", line)
        # A commented line shows an option that has no default to show; the one of watch is an example.
        is_key = found is not None and (
            not found["out"] or (found["name"] in names and found["name"] != "watch")
        )
        if found is None or not is_key:
            comment = [*comment, line.strip(" #")] if line.strip() else []
            continue
        depth = len(found["indent"]) // 2
        needs_restart = RESTART in " ".join(comment) or RESTART in found["rest"]
        key[depth:], restart[depth:] = [found["name"]], [needs_restart]
        lines = [text.replace(RESTART, "").rstrip() for text in comment]
        shown = line.strip().removeprefix("# ").replace(f" # {RESTART}", "")
        state = "an example" if found["out"] else "the default"
        yield Entry(tuple(key), lines, f"{shown}  # {state}", any(restart))
        comment = []


def paragraphs(name: str) -> list[str]:
    """Return the paragraph of the option ``name``, or those of all options of the section ``name``.

    A name without its sections, such as ``rate_hz``, stands for every option of that name. Returns [] for an
    unknown name.
    """
    wanted = tuple(name.strip(".").split("."))
    found = list(entries())
    exact = [entry for entry in found if entry.key[: len(wanted)] == wanted]
    ends = [entry for entry in found if entry.key[-len(wanted) :] == wanted]
    sections = {entry.key[:-1] for entry in found}
    return [entry.text for entry in exact or ends if entry.key not in sections]


def close_names(name: str) -> list[str]:
    """Return the names of the options that ``name`` may stand for, at most five, likely ones first."""
    names = [entry.name for entry in entries()]
    last = {one: one.rpartition(".")[2] for one in names}
    close = difflib.get_close_matches(name, names, n=5)
    words = difflib.get_close_matches(name.rpartition(".")[2], set(last.values()), n=3)
    parts = [one for one in names if last[one] in words or (len(name) > 2 and name in one)]
    return list(dict.fromkeys([*close, *parts]))[:5]
