"""A YAML document as plain data that knows the line of each key, and the mistakes found while reading it."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from hivewatch.config.base import Section, option_names, options
from hivewatch.config.yaml_faults import NO_BLANK, PARSER_ERRORS, Fault, chunks, compose, explain
from hivewatch.errors import ConfigError

Key = tuple[str | int, ...]

# A configuration has a few hundred values; a few lines of nested YAML aliases can expand to millions.
_MOST_NODES = 10_000

_NULL, _TIME = "tag:yaml.org,2002:null", "tag:yaml.org,2002:timestamp"
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_UNREADABLE = object()


class Source:
    """The YAML document as plain data, with the line of each key."""

    def __init__(self, name: str, text: str, model: type[Section]) -> None:
        """Read ``text`` of the file ``name``; raises ConfigError if nothing can be read."""
        self.name = name
        self.problems: list[tuple[int, str]] = []
        self.bad: set[Key] = set()
        """Options and sections whose values are not known, because they could not be read."""
        self.raw: dict[Key, str] = {}
        """The text of each value that is not in quotes, such as 010 for the number 8."""
        self._model = model
        self._words = {part for option in options(model) for part in option.key}
        self._lines: dict[Key, int] = {}
        self._nodes = 0
        self._loader = yaml.SafeLoader("")
        try:
            self.data = self._read(text)
        except RecursionError as error:
            raise ConfigError([f"{name}: is nested too deeply"]) from error

    def problem(self, key: Key, sentence: str) -> tuple[int, str]:
        """Return the line of ``key`` (or of the nearest section around it) and the full message."""
        nearest = key
        while nearest not in self._lines and nearest:
            nearest = nearest[:-1]
        line = self._lines.get(nearest, 1)
        dotted = "".join(self._shown(part) for part in key).lstrip(".")
        return line, f"{self.name}:{line}: {dotted + ': ' if dotted else ''}{sentence}"

    def has(self, key: Key) -> bool:
        """Return whether ``key`` is in the file."""
        return key in self._lines

    def get(self, key: Key) -> Any:
        """Return the raw value of ``key``, None if it is not given."""
        value: Any = self.data
        for part in key:
            value = value.get(part) if isinstance(value, dict) else None
        return value

    def remove(self, key: Key) -> None:
        """Remove ``key`` from the data, if it is there."""
        parent = self.get(key[:-1])
        if isinstance(parent, dict):
            parent.pop(key[-1], None)

    def anchor(self, key: Key, folder: Path) -> None:
        """Make a relative path at ``key`` absolute, starting at ``folder``."""
        value = self.get(key)
        if not (isinstance(value, str) and value):
            return
        try:
            path = folder / Path(value).expanduser()
            with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
                path.stat()
            self.get(key[:-1])[key[-1]] = str(path)
        except (OSError, ValueError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or error
            self.problems.append(self.problem(key, f"cannot be a path: {reason}"))
            self.bad.add(key)
            self.remove(key)

    def _shown(self, part: str | int) -> str:
        """Return a part of a dotted name, hidden if it is no word: it may be a value in the wrong place."""
        if isinstance(part, int):
            return f"[{part}]"
        return f".{part}" if re.fullmatch("[A-Za-z_][A-Za-z0-9_-]{0,40}", part) else "..."

    def _read(self, text: str) -> dict[str, Any]:
        try:
            node = compose(text)
        except PARSER_ERRORS as error:
            node = self._recover(text, error)
        if node is None:
            return {}
        data = self._build(node, ())
        if data is None:
            return {}
        if not isinstance(data, dict):
            names = list(self._model.model_fields)
            if data is not _UNREADABLE:
                self.problems.append(self.problem((), _no_sections(data, names[0])))
            self.bad |= {(name,) for name in names}
            return {}
        return data

    def _recover(self, text: str, error: Exception) -> yaml.Node | None:
        """Return the sections that can be read of a text that is not YAML."""
        pairs, found = [], False
        for chunk in chunks(text, self._words):
            self.problems += [self._fault(fault) for fault in chunk.faults]
            found = found or bool(chunk.faults)
            if not chunk.is_whole:
                self.bad.add((chunk.section,))
            if isinstance(chunk.node, yaml.MappingNode):
                pairs += chunk.node.value
            elif chunk.node is not None:
                self.bad.add((chunk.section,))
        if not found:
            self.problems.append(self._fault(explain(error, text.split("\n"), self._words)))
            self.bad |= {(name,) for name in self._model.model_fields}
        return yaml.MappingNode("tag:yaml.org,2002:map", pairs, pairs[0][0].start_mark) if pairs else None

    def _fault(self, fault: Fault) -> tuple[int, str]:
        return fault.line, f"{self.name}:{fault.line}: {fault.sentence}"

    def _build(self, node: yaml.Node, key: Key) -> Any:
        self._lines.setdefault(key, _line(node))
        self._nodes += 1
        if self._nodes > _MOST_NODES:
            raise ConfigError([f"{self.name}:{_line(node)}: too many values, or an alias inside itself"])
        if isinstance(node, yaml.SequenceNode):
            items = [self._build(item, (*key, n)) for n, item in enumerate(node.value)]
            return _UNREADABLE if _UNREADABLE in items else items
        if isinstance(node, yaml.MappingNode):
            return self._build_section(node, key)
        return self._build_value(node, key)

    def _build_value(self, node: yaml.Node, key: Key) -> Any:
        if node.tag == _TIME:
            return node.value
        if getattr(node, "style", None) is None:  # not in quotes
            self.raw[key] = node.value
        try:
            return self._loader.construct_object(node, deep=True)
        except PARSER_ERRORS:
            self.problems.append(self.problem(key, "cannot be read: put it in quotes if it is text"))
            self.bad.add(key)
            return _UNREADABLE

    def _build_section(self, node: yaml.MappingNode, key: Key) -> dict[str, Any]:
        data: dict[str, Any] = {}
        known = option_names(self._model, key)
        below: Key = ()  # an empty section, whose options may follow without indentation
        strays: dict[Key, list[str]] = {}
        for name_node, value_node in node.value:
            if not isinstance(name_node, yaml.ScalarNode):
                sentence = "the name of an option is a word, without brackets"
                self.problems.append(self._fault(Fault(_line(name_node), sentence)))
                continue
            name = str(name_node.value)
            child: Key = (*key, name)
            if below and name not in known and name in option_names(self._model, below):
                strays.setdefault(below, []).append(name)
                child = (*below, name)
            elif value_node.tag == _NULL and option_names(self._model, child):
                below = child
            self._add(data, child, name_node, value_node, key)
        for section, names in strays.items():
            sentence = f"its options are not indented: put two more blanks before {', '.join(names)}"
            self.problems.append(self.problem(section, sentence))
        # A section with all its options commented out reads as null and means the defaults.
        return {
            name: value
            for name, value in data.items()
            if value is not None or not option_names(self._model, (*key, name))
        }

    def _add(
        self, data: dict[str, Any], child: Key, name_node: yaml.Node, value_node: yaml.Node, key: Key
    ) -> None:
        """Add an option at ``child`` to the section at ``key``, or to an empty section in that one."""
        if len(child) > len(key) + 1:
            section = str(child[len(key)])
            inside = data.get(section) or {}
            data[section] = inside
            data = inside
        if child[-1] in data:
            self.problems.append(self.problem(child, f"given twice, again on line {_line(name_node)}"))
        self._lines[child] = _line(name_node)
        value = self._build(value_node, child)
        if value is _UNREADABLE:
            self.bad.add(child)
        else:
            data[str(child[-1])] = value


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _no_sections(data: object, first: str) -> str:
    if isinstance(data, str) and re.match(r"[\w-]+:\S", data):
        return NO_BLANK
    return f"must be options such as `{first}:`, not a single value or a list"
