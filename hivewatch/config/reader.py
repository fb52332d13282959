"""Read a YAML file into a Config or another section: every problem is reported at once, with its line."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from hivewatch.config.sections import Config, Section
from hivewatch.errors import ConfigError

Key = tuple[str | int, ...]
T = TypeVar("T", bound=Section)

# Options that name a path: relative ones start at the folder of the YAML file.
_PATHS: tuple[Key, ...] = (
    ("camera", "folder", "path"),
    ("classifier", "model"),
    ("store", "directory"),
    ("mqtt", "password_file"),
    ("mqtt", "tls", "ca_file"),
    ("mqtt", "tls", "certificate_file"),
    ("mqtt", "tls", "key_file"),
)
# A configuration has a few hundred values; a few lines of aliases of aliases can stand for millions.
_MOST_NODES = 10_000
# A value of these may hold a password and is not repeated in a message.
_SECRET: tuple[Key, ...] = (("camera", "video", "source"), ("mqtt", "username"))


def load(path: Path) -> Config:
    """Read and check the file; raises ConfigError with every problem in it."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(
            [f"{path}: is not there; begin with a copy of config/hivewatch.yaml, or name it by --config"]
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: cannot be read as text: {error}"]) from error
    return parse(text, name=str(path), folder=path.resolve().parent)


def parse(text: str, name: str = "configuration", folder: Path | None = None) -> Config:
    """Make a Config of YAML ``text``; ``name`` stands in messages, relative paths start at ``folder``.

    Raises ConfigError that lists, in the order of the lines: YAML faults, unknown and repeated keys, wrong
    types, values out of bounds, options that contradict each other, and files that are not there.
    """
    source = _Source(name, text, Config)
    for key in _PATHS:
        source.anchor(key, folder or Path())
    return _validated(source, Config, list(_missing_files(source)))


def _validated(source: _Source, model: type[T], problems: list[tuple[int, str]]) -> T:
    """Return the document as a ``model``; raises ConfigError with its problems and ``problems``, by line."""
    problems = source.problems + problems
    section = None
    try:
        # JSON rules in strict mode are what a YAML file should obey: 5 is a number, "5" and yes are not.
        section = model.model_validate_json(json.dumps(source.data, default=str), strict=True)
    except ValidationError as error:
        problems += [source.problem(e["loc"], _sentence(e, model)) for e in _causes(error.errors())]
    if section is None or problems:
        raise ConfigError([sentence for _, sentence in sorted(problems)])
    return section


class _Source:
    """The YAML document as plain data, with the line that each key stands on."""

    def __init__(self, name: str, text: str, model: type[Section]) -> None:
        self.name = name
        self.model = model
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
            raise yaml.MarkedYAMLError(problem="far too long", problem_mark=node.start_mark)
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
        # A section whose options are all commented out reads as null: it means the defaults.
        return {
            name: value
            for name, value in data.items()
            if value is not None or not self._is_section((*key, name))
        }

    def _is_section(self, key: Key) -> bool:
        try:
            return bool(_options(key, self.model))
        except KeyError:
            return False

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
        """Return the raw value of ``key``, None where it is not given."""
        value: Any = self.data
        for part in key:
            value = value.get(part) if isinstance(value, dict) else None
        return value

    def anchor(self, key: Key, folder: Path) -> None:
        """Make a relative path at ``key`` start at ``folder``."""
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


def _missing_files(source: _Source) -> Iterator[tuple[int, str]]:
    for key in (("classifier", "model"), *(key for key in _PATHS if key[0] == "mqtt")):
        value = source.get(key)
        if isinstance(value, str) and not Path(value).is_file():
            yield source.problem(key, f"there is no file {value}")
    folder: Key = ("camera", "folder", "path")
    value = source.get(folder)
    if isinstance(value, str) and source.get(("camera", "kind")) == "folder" and not Path(value).is_dir():
        yield source.problem(folder, f"there is no folder {value}")


def _options(key: Key, root: type[Section]) -> list[str]:
    """Return the options of the section at ``key``; [] if it is an option, KeyError if it is neither."""
    model: type[BaseModel] = root
    for part in key:
        annotation = model.model_fields[str(part)].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return list(model.model_fields)


def _causes(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """Leave out a list's complaint that it is too short when that comes of a bad item in it."""

    def follows(error: ErrorDetails) -> bool:
        length = len(error["loc"])
        return any(e is not error and e["loc"][:length] == error["loc"] for e in errors)

    return [error for error in errors if error["type"] != "too_short" or not follows(error)]


def _sentence(error: ErrorDetails, model: type[Section]) -> str:
    key = error["loc"]
    if error["type"] == "extra_forbidden":
        known = _options(key[:-1], model)
        close = difflib.get_close_matches(str(key[-1]), known, n=1)
        return "unknown option; " + (
            f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"
        )
    if error["type"] == "too_short":
        return "a polygon needs at least 3 points [x, y]"
    message = error["msg"].removeprefix("Value error, ").replace("Input should", "should")
    given = error["input"]
    if key in _SECRET or isinstance(given, dict | list):
        return message
    return f"{message}, not {json.dumps(given, default=str)}"


def read(path: Path, model: type[T]) -> T:
    """Return the YAML file at ``path`` as a ``model``; raises ConfigError with every problem and its line."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: cannot be read as text: {error}"]) from error
    return _validated(_Source(str(path), text, model), model, [])
