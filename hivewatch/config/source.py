"""A YAML document as plain data that knows the line of each key, and the mistakes found while reading it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from hivewatch.config.base import Section, option_names, options
from hivewatch.config.paths import anchored
from hivewatch.config.yaml_faults import NO_BLANK, PARSER_ERRORS, Fault, chunks, compose, explain
from hivewatch.domain.redaction import HIDDEN
from hivewatch.errors import ConfigError

Key = tuple[str | int, ...]

# A configuration has a few hundred values; a few lines of nested YAML aliases can expand to millions.
_MOST_NODES = 10_000
_DEEPEST = 12
# Python prints no longer number; that of 0x10 and 1:30 has no limit of its own.
_LONGEST_BITS = 10_000

_NULL, _TIME, _TEXT = (f"tag:yaml.org,2002:{name}" for name in ("null", "timestamp", "str"))
_COLLECTIONS = ("tag:yaml.org,2002:seq", "tag:yaml.org,2002:map")
_NO_TAG = "cannot be read: put it in quotes if it is text, and write no tag (!)"
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
        self._resolve: Callable[..., str] = self._loader.resolve
        # To PyYAML these end a line as well, but in no editor do they.
        text = re.sub("\r\n?", "\n", text)
        if found := re.search("[\x85\u2028\u2029]", text):
            line = text.count("\n", 0, found.start()) + 1
            raise ConfigError([f"{name}:{line}: contains an invisible line separator: write the line again"])
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
        dotted = "".join(map(self._shown, key)).removeprefix(".")
        return line, f"{self.name}:{line}: {dotted + ': ' if dotted else ''}{sentence}"

    def has(self, key: Key) -> bool:
        """Return whether ``key`` is in the file."""
        return key in self._lines

    def get(self, key: Key) -> Any:
        """Return the raw value of ``key``, None if it is not given."""
        value: Any = self.data
        for part in key:
            if isinstance(value, list) and isinstance(part, int):
                value = value[part]
            else:
                value = value.get(part) if isinstance(value, dict) else None
        return value

    def remove(self, key: Key) -> None:
        """Remove ``key`` from the data, if it is there."""
        parent = self.get(key[:-1])
        if isinstance(parent, dict):
            parent.pop(key[-1], None)

    def anchor(self, key: Key, folder: Path) -> None:
        """Make the path at ``key`` absolute; a relative one starts at ``folder``."""
        value = self.get(key)
        if not isinstance(value, str):
            return
        try:
            self.get(key[:-1])[key[-1]] = anchored(value, folder)
        except ValueError as error:
            self.problems.append(self.problem(key, str(error)))
            self.bad.add(key)
            self.remove(key)

    def _shown(self, part: str | int) -> str:
        """Return a part of a dotted name; hidden if no option is nearly called so: it may be a value."""
        if isinstance(part, int):
            return f"[{part}]"
        is_start = len(part) > 2 and any(word.startswith(part) for word in self._words)
        # `password:1234` without a blank is such a name as well, and close to password_file.
        is_word = re.fullmatch(r"[\w-]+", part) and difflib.get_close_matches(part, self._words, 1, 0.8)
        return f".{part}" if is_start or is_word else f".{HIDDEN}"

    def _read(self, text: str) -> dict[str, Any]:
        # Recovered after the except block: a traceback would show the error, which quotes the line.
        fault: Exception | None = None
        try:
            node = compose(text)
        except PARSER_ERRORS as error:
            fault = error
        if fault is not None:
            node = self._recover(text, fault)
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
        if len(key) > _DEEPEST:
            raise ConfigError([f"{self.name}:{_line(node)}: is nested too deeply"])
        if isinstance(node, yaml.ScalarNode):
            return self._build_value(node, key)
        if node.tag not in _COLLECTIONS:
            return self._unreadable(key, _NO_TAG)
        if isinstance(node, yaml.SequenceNode):
            items = [self._build(item, (*key, n)) for n, item in enumerate(node.value)]
            return _UNREADABLE if _UNREADABLE in items else items
        return self._build_section(node, key)

    def _build_value(self, node: yaml.ScalarNode, key: Key) -> Any:
        if not self._is_as_written(node):
            return self._unreadable(key, _NO_TAG)
        if node.tag == _TIME:
            return node.value
        if node.style is None:  # not in quotes
            self.raw[key] = node.value
        try:
            value = self._loader.construct_object(node, deep=True)
        except PARSER_ERRORS:
            value = _UNREADABLE
        if isinstance(value, int) and value.bit_length() > _LONGEST_BITS:
            value = _UNREADABLE
        if value is _UNREADABLE:
            return self._unreadable(key, "cannot be read: put it in quotes if it is text")
        if isinstance(value, str) and not value.isascii() and re.search("[\ud800-\udfff]", value):
            return self._unreadable(key, "contains half a character: write it again")
        return value

    def _is_as_written(self, node: yaml.ScalarNode) -> bool:
        """Return whether a value means what its text says: a tag such as !!int or !!binary changes that."""
        is_plain = node.style is None
        own = self._resolve(yaml.ScalarNode, node.value, (is_plain, not is_plain))
        return node.tag in {own, _TEXT}

    def _unreadable(self, key: Key, sentence: str) -> object:
        self.problems.append(self.problem(key, sentence))
        self.bad.add(key)
        return _UNREADABLE

    def _build_section(self, node: yaml.Node, key: Key) -> dict[str, Any]:
        data: dict[str, Any] = {}
        known = option_names(self._model, key)
        below: Key = ()  # an empty section, whose options may follow without indentation
        strays: dict[Key, list[str]] = {}
        for name_node, value_node in node.value:
            if not isinstance(name_node, yaml.ScalarNode):
                sentence = "the name of an option is a word, without brackets"
                self.problems.append(self._fault(Fault(_line(name_node), sentence)))
                continue
            name = name_node.value.encode("utf-8", "replace").decode()  # half a character would be no JSON
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
