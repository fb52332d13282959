"""Reads a YAML file into a section: every mistake in it is reported at once, each with its line."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from hivewatch.config.base import AnySection, Mark, Option, Section, options, section_in
from hivewatch.config.sections import Config
from hivewatch.errors import ConfigError

Key = tuple[str | int, ...]

# A configuration has a few hundred values; a few lines of nested YAML aliases can expand to millions.
_MOST_NODES = 10_000


def load(path: Path) -> Config:
    """Read and check ``hivewatch.yaml``; raises ConfigError with every problem in it."""
    return read(path, Config)


def read(path: Path, model: type[AnySection]) -> AnySection:
    """Read and check a file of the options of ``model``; raises ConfigError with every problem in it."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(
            [f"{path}: no such file; start with a copy of {model.manual}, or give another path"]
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: cannot be read as text: {error}"]) from error
    return parse(text, model, name=str(path), folder=path.resolve().parent)


def parse(
    text: str, model: type[AnySection], name: str = "configuration", folder: Path | None = None
) -> AnySection:
    """Return the section that the YAML ``text`` describes.

    ``name`` is the file's name in messages; relative paths start at ``folder``. Raises ConfigError with, in
    the order of the lines: YAML errors, unknown and repeated keys, wrong types, values out of bounds,
    options that contradict each other, and files that do not exist.
    """
    source = _Source(name, text, model)
    known = list(options(model))
    for option in known:
        if option.marks & {Mark.PATH, Mark.FILE}:
            source.anchor(option.key, folder or Path())
    secret = {option.key for option in known if Mark.SECRET in option.marks}
    problems = source.problems + list(_missing_files(source, known))
    section = None
    try:
        # Pydantic's strict JSON rules are those a YAML file should obey: 5 is a number, "5" is not.
        section = model.model_validate_json(json.dumps(source.data, default=str), strict=True)
    except ValidationError as error:
        problems += [
            source.problem(e["loc"], _sentence(e, model, is_secret=e["loc"] in secret))
            for e in _causes(error.errors())
        ]
    if section is None or problems:
        raise ConfigError([sentence for _, sentence in sorted(problems)])
    return section


class _Source:
    """The YAML document as plain data, with the line of each key."""

    def __init__(self, name: str, text: str, model: type[Section]) -> None:
        self.name = name
        self._model = model
        self.problems: list[tuple[int, str]] = []
        self._lines: dict[Key, int] = {}
        self._nodes = 0
        self.data = self._read(text)

    def _read(self, text: str) -> dict[str, Any]:
        try:
            loader = yaml.SafeLoader(text)
            node = loader.get_single_node()
            data = {} if node is None else self._build(loader, node, ())
        except (yaml.YAMLError, ValueError, LookupError, RecursionError) as error:
            raise ConfigError([self._yaml_fault(error)]) from error
        if data is None:
            data = {}
        if not isinstance(data, dict):
            raise ConfigError(
                [f"{self.name}:1: must be sections such as 'camera:', not a {type(data).__name__}"]
            )
        return data

    def _build(self, loader: yaml.SafeLoader, node: yaml.Node, key: Key) -> Any:
        self._lines.setdefault(key, node.start_mark.line + 1)
        self._nodes += 1
        if self._nodes > _MOST_NODES:
            raise yaml.MarkedYAMLError(problem="too many values", problem_mark=node.start_mark)
        if isinstance(node, yaml.SequenceNode):
            return [self._build(loader, item, (*key, n)) for n, item in enumerate(node.value)]
        if not isinstance(node, yaml.MappingNode):
            return loader.construct_object(node, deep=True)
        data: dict[str, Any] = {}
        for name_node, value_node in node.value:
            if not isinstance(name_node, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a key must be a word", problem_mark=name_node.start_mark)
            child: Key = (*key, name_node.value)
            if child[-1] in data:
                self.problems.append(self.problem(child, f"given twice, again on line {_line(name_node)}"))
            self._lines[child] = _line(name_node)
            data[str(child[-1])] = self._build(loader, value_node, child)
        # A section with all its options commented out reads as null and means the defaults.
        return {
            name: value
            for name, value in data.items()
            if value is not None or not _is_section(self._model, (*key, name))
        }

    def _yaml_fault(self, error: Exception) -> str:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        return f"{self.name}{line}: is not YAML: {getattr(error, 'problem', None) or error}"

    def problem(self, key: Key, sentence: str) -> tuple[int, str]:
        """Return the line of ``key`` (or of the nearest section around it) and the full message."""
        nearest = key
        while nearest not in self._lines and nearest:
            nearest = nearest[:-1]
        line = self._lines.get(nearest, 1)
        dotted = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key).lstrip(".")
        return line, f"{self.name}:{line}: {dotted + ': ' if dotted else ''}{sentence}"

    def get(self, key: Key) -> Any:
        """Return the raw value of ``key``, None if it is not given."""
        value: Any = self.data
        for part in key:
            value = value.get(part) if isinstance(value, dict) else None
        return value

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
            self.problems.append(self.problem(key, f"cannot be a path: {error}"))
            del self.get(key[:-1])[key[-1]]


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _missing_files(source: _Source, known: list[Option]) -> Iterator[tuple[int, str]]:
    for option in known:
        value = source.get(option.key)
        if Mark.FILE in option.marks and isinstance(value, str) and not Path(value).is_file():
            yield source.problem(option.key, f"no such file: {value}")
    folder: Key = ("camera", "folder", "path")
    value = source.get(folder)
    if isinstance(value, str) and source.get(("camera", "kind")) == "folder" and not Path(value).is_dir():
        yield source.problem(folder, f"no such folder: {value}")


def _is_section(model: type[Section], key: Key) -> bool:
    try:
        return bool(_names(model, key))
    except KeyError:
        return False


def _names(model: type[Section], key: Key) -> list[str]:
    """Return the names in the section at ``key``, [] for an option; raises KeyError for an unknown key."""
    for part in key:
        section = section_in(model.model_fields[str(part)])
        if section is None:
            return []
        model = section
    return list(model.model_fields)


def _causes(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """Leave out the error that a list is too short if it follows from a bad item in the list."""

    def follows(error: ErrorDetails) -> bool:
        length = len(error["loc"])
        return any(e is not error and e["loc"][:length] == error["loc"] for e in errors)

    return [error for error in errors if error["type"] != "too_short" or not follows(error)]


def _sentence(error: ErrorDetails, model: type[Section], *, is_secret: bool) -> str:
    key = error["loc"]
    if error["type"] == "extra_forbidden":
        known = _names(model, key[:-1])
        close = difflib.get_close_matches(str(key[-1]), known, n=1)
        return "unknown option; " + (
            f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"
        )
    if error["type"] == "too_short":
        return "a polygon needs at least 3 points [x, y]"
    message = error["msg"].removeprefix("Value error, ").replace("Input should", "should")
    given = error["input"]
    if is_secret or isinstance(given, dict | list):
        return message
    return f"{message}, not {json.dumps(given, default=str)}"
