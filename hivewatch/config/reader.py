"""Reads a YAML file into a section: every mistake in it is reported at once, each with its line."""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from hivewatch.config.base import (
    FIELDS_ONLY,
    AnySection,
    Contradiction,
    Mark,
    Option,
    Section,
    options,
    section_in,
)
from hivewatch.config.camera import NO_CAMERA
from hivewatch.config.sections import Config
from hivewatch.config.source import Key, Source
from hivewatch.config.words import BRACKETS, close_option, has_polygons, may_hold_secret, misread, sentence
from hivewatch.errors import ConfigError

Rules = Callable[[AnySection], Iterator[Contradiction]]

_POLYGONS: tuple[Key, ...] = (("gate", "watch"), ("gate", "ignore"))

# Accounts of people have ids from here on (Debian's adduser).
_FIRST_PERSON = 1000


def load(path: Path, *, needs_camera: bool = True) -> Config:
    """Read and check ``hivewatch.yaml``; raises ConfigError with every problem in it.

    ``needs_camera``: a file that names no camera is a mistake.
    """
    return read(path, Config, _names_a_camera if needs_camera else None)


def read(path: Path, model: type[AnySection], rules: Rules[AnySection] | None = None) -> AnySection:
    """Read and check a file of the options of ``model``; raises ConfigError with every problem in it."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError([f"{path}: no such file; start with a copy of {model.manual}"]) from error
    except PermissionError as error:
        raise ConfigError([f"{path}: {_may_not_read(path)}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: cannot be read as text: save it as UTF-8 ({error.reason})"]) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError([f"{path}: cannot be read as text: {reason}"]) from error
    return parse(text, model, name=str(path), folder=path.resolve().parent, rules=rules)


def parse(
    text: str,
    model: type[AnySection],
    name: str = "configuration",
    folder: Path | None = None,
    rules: Rules[AnySection] | None = None,
) -> AnySection:
    """Return the section that the YAML ``text`` describes.

    ``name`` is the file's name in messages; relative paths start at ``folder``; ``rules`` yields what the
    file lacks beside the contradictions of the sections. Raises ConfigError with, in the order of the lines:
    YAML errors, unknown and repeated keys, wrong types, values out of bounds, options that contradict each
    other as far as their own values are known, and files that do not exist.
    """
    source = Source(name, text, model)
    for option in options(model):
        if option.marks & {Mark.PATH, Mark.FILE}:
            source.anchor(option.key, folder or Path())
    problems = list(_missing_files(source, model))
    section = _valid_part(source, model, problems)
    problems += _contradictions(source, section, rules)
    problems += source.problems
    if problems:
        raise ConfigError([sentence for _, sentence in sorted(problems)])
    return section


def _valid_part(source: Source, model: type[AnySection], problems: list[tuple[int, str]]) -> AnySection:
    """Return the section without the options at fault; append their ``problems`` and mark them as bad."""
    try:
        section = _validate(source, model)
    except ValidationError as error:
        problems += _mistakes(source, model, error.errors())
        section = _validate(source, model)
    for option in options(model):
        if words := misread(source.raw.get(option.key), source.get(option.key)):
            problems.append(source.problem(option.key, words))
    return section


def _validate(source: Source, model: type[AnySection]) -> AnySection:
    # Pydantic's strict JSON rules are those a YAML file should obey: 5 is a number, "5" is not.
    try:
        text = json.dumps(source.data, default=str, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ConfigError(
            [f"{source.name}: a name in it, or the name of its folder, is not UTF-8: rename it"]
        ) from error
    return model.model_validate_json(text, strict=True, context=FIELDS_ONLY)


def _mistakes(source: Source, model: type[Section], errors: list[ErrorDetails]) -> Iterator[tuple[int, str]]:
    """Yield the problem of each error, and remove the options at fault from ``source``."""
    known: dict[Key, Option] = {option.key: option for option in options(model)}
    shapeless = {key for key in _POLYGONS if not has_polygons(source.get(key))}
    for error in _causes(errors):
        loc: Key = error["loc"]
        key = _option_key(model, loc)
        if error["type"] == "extra_forbidden" and (close := close_option(str(loc[-1]), loc[:-1], model)):
            source.bad.add((*loc[:-1], close))
        is_lost = error["input"] is None and loc[:1] in source.bad  # it was in a line that is no YAML
        if key not in source.bad and key in shapeless:
            yield source.problem(key, BRACKETS)
        elif key not in shapeless and not is_lost:
            yield source.problem(loc, sentence(error, known.get(key), model, source.raw.get(loc)))
        source.bad.add(key)
    for key in source.bad:
        source.remove(key)


def _causes(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """Leave out the error that a list is too short if it follows from a bad item in the list."""

    def follows(error: ErrorDetails) -> bool:
        length = len(error["loc"])
        return any(e is not error and e["loc"][:length] == error["loc"] for e in errors)

    return [error for error in errors if error["type"] != "too_short" or not follows(error)]


def _option_key(model: type[Section], loc: Sequence[str | int]) -> Key:
    """Return the key of the option or section at ``loc``, without the position in its value."""
    for depth, part in enumerate(loc, start=1):
        field = model.model_fields.get(str(part))
        section = None if field is None else section_in(field)
        if section is None:
            return tuple(loc[:depth])
        model = section
    return tuple(loc)


def _contradictions(
    source: Source, section: AnySection, rules: Rules[AnySection] | None
) -> Iterator[tuple[int, str]]:
    """Yield the problem of each contradiction between options whose values are known."""
    found = [(key, part, one) for key, part in _sections(section, ()) for one in part.contradictions()]
    if rules is not None:
        found += [((), section, one) for one in rules(section)]
    for key, part, contradiction in found:
        keys: list[Key] = [(*key, *name.split(".")) for name in contradiction.names]
        if not any(one[:depth] in source.bad for one in keys for depth in range(1, len(one) + 1)):
            given = next((one for one in keys if source.has(one)), keys[0])
            yield source.problem(given, contradiction.sentence + _figures(source, part, key, contradiction))


def _sections(section: Section, key: Key) -> Iterator[tuple[Key, Section]]:
    yield key, section
    for name, field in type(section).model_fields.items():
        if section_in(field) is not None:
            yield from _sections(getattr(section, name), (*key, name))


def _figures(source: Source, section: Section, key: Key, contradiction: Contradiction) -> str:
    """Return the numbers that contradict each other, and which of them are defaults."""
    figures = []
    for name in contradiction.names:
        value = getattr(section, name, None)
        if isinstance(value, int | float) and not isinstance(value, bool):
            default = "" if source.has((*key, name)) else " by default"
            figures.append(f"{name} is {value:g}{default}")
    return f" ({', '.join(figures)})" if figures else ""


def _names_a_camera(config: Config) -> Iterator[Contradiction]:
    if config.camera.kind is None:
        yield Contradiction(("camera.kind",), NO_CAMERA)


def _missing_files(source: Source, model: type[Section]) -> Iterator[tuple[int, str]]:
    for option in options(model):
        value = source.get(option.key)
        if Mark.FILE in option.marks and isinstance(value, str):
            yield from _missing(source, option, Path(value))
    folder: Key = ("camera", "folder", "path")
    value = source.get(folder)
    if isinstance(value, str) and source.get(("camera", "kind")) == "folder" and not os.path.isdir(value):  # noqa: PTH112  pathlib raises for a folder that may not be searched
        yield source.problem(folder, f"no such folder: {value}")


def _missing(source: Source, option: Option, path: Path) -> Iterator[tuple[int, str]]:
    try:
        if path.is_file():
            return
    except PermissionError:
        yield source.problem(option.key, f"{path} {_may_not_read(path)}")
        return
    if may_hold_secret(option):
        yield source.problem(option.key, "no such file; write the path of a file that contains the password")
    else:
        yield source.problem(option.key, f"no such file: {path}")


def _may_not_read(path: Path) -> str:
    """Return the sentence for a file that the current user may not read."""
    uid = os.geteuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    if uid >= _FIRST_PERSON:
        return f"may not be read by the user {name}: use sudo, such as `sudo hivewatch check`"
    return (
        f"may not be read by the account {name}:"
        f" run `sudo chgrp {name} {path}` and `sudo chmod g+r {path}`, and check the folders above it"
    )
