"""Reads a YAML file into a section: every mistake in it is reported at once, each with its line."""

from __future__ import annotations

import json
import os
import pwd
import stat
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
from hivewatch.config.camera import NO_CAMERA, looks_like_file, names_file
from hivewatch.config.files import read_small
from hivewatch.config.sections import Config
from hivewatch.config.source import Key, Source
from hivewatch.config.words import BRACKETS, close_option, has_polygons, misread, sentence
from hivewatch.errors import ConfigError

Rules = Callable[[AnySection], Iterator[Contradiction]]

_POLYGONS: tuple[Key, ...] = (("gate", "watch"), ("gate", "ignore"))
_SOURCE: Key = ("camera", "video", "source")
_FOLDER: Key = ("camera", "folder", "path")

_MOST_PROBLEMS = 100
_NO_FILE = "no such file; a relative path starts at the folder of the settings"
_NO_FOLDER = "no such folder; a relative path starts at the folder of the settings"
_NO_PASSWORD = "no such file; write the path of a file that contains the password"  # noqa: S105
_NO_VIDEO = (
    "no such video file; a device is /dev/video0, an address begins with rtsp:// or http://,"
    " and a relative path starts at the folder of the settings"
)

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
        text = read_small(path).decode("utf-8")
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
        if _is_path(option, source.get(option.key)):
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
    # Explained after the except block: the text of the error has values, which a traceback would show.
    errors: list[ErrorDetails] = []
    try:
        section = _validate(source, model)
    except ValidationError as error:
        errors = error.errors(include_url=False)
    if len(errors) + len(source.problems) > _MOST_PROBLEMS:
        raise ConfigError([f"{source.name}: has more than {_MOST_PROBLEMS} mistakes: is it the right file?"])
    if errors:
        problems += _mistakes(source, model, errors)
        section = _validate(source, model)
    problems += _misread_numbers(source)
    return section


def _misread_numbers(source: Source) -> Iterator[tuple[int, str]]:
    for key, raw in source.raw.items():
        is_bad = any(key[:depth] in source.bad for depth in range(1, len(key) + 1))
        if not is_bad and (words := misread(raw, source.get(key))):
            yield source.problem(key, words)


def _validate(source: Source, model: type[AnySection]) -> AnySection:
    # Pydantic's strict JSON rules are those a YAML file should obey: 5 is a number, "5" is not.
    try:
        text = json.dumps(source.data, ensure_ascii=False).encode()
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
        if error["type"] == "extra_forbidden" and str(loc[-1]).isdecimal() and len(loc) > 1:
            source.bad.add(loc[:-1])  # the second half of 0,8: the first half is in another option
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
        value: object = section
        for part in name.split("."):
            value = getattr(value, part, None)
        if isinstance(value, int | float) and not isinstance(value, bool):
            default = "" if source.has((*key, *name.split("."))) else " by default"
            figures.append(f"{name} is {value:g}{default}")
    return f" ({', '.join(figures)})" if figures else ""


def _names_a_camera(config: Config) -> Iterator[Contradiction]:
    if config.camera.kind is None:
        yield Contradiction(("camera.kind",), NO_CAMERA)


def _is_path(option: Option, value: object) -> bool:
    if option.key == _SOURCE:
        return isinstance(value, str) and names_file(value)
    return bool(option.marks & {Mark.PATH, Mark.FILE})


def _missing_files(source: Source, model: type[Section]) -> Iterator[tuple[int, str]]:
    """Yield the problem of each file or folder that must exist; the path may be a password."""
    camera = source.get(("camera", "kind"))
    for option in options(model):
        value = source.get(option.key)
        if not isinstance(value, str):
            continue
        if Mark.FILE in option.marks:
            words = _NO_PASSWORD if "password" in option.name else _NO_FILE
        elif option.key == _SOURCE and camera == "video" and _is_path(option, value):
            if looks_like_file(value):
                continue  # it may appear later, and the camera says so
            words = _NO_VIDEO
        elif option.key == _FOLDER and camera == "folder":
            words = _NO_FOLDER
        else:
            continue
        kind = stat.S_ISDIR if option.key == _FOLDER else stat.S_ISREG
        if wrong := _why_missing(Path(value), kind, words):
            yield source.problem(option.key, wrong)


def _why_missing(path: Path, kind: Callable[[int], bool], words: str) -> str | None:
    """Return ``words`` if ``path`` is not of that ``kind``, a sentence if that cannot be seen, else None."""
    try:
        return None if kind(path.stat().st_mode) else words
    except PermissionError:
        return _may_not_read()
    except OSError:
        return words


def _may_not_read(file: object = "FILE") -> str:
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
        f" run `sudo chgrp {name} {file}` and `sudo chmod g+r {file}`, and check the folders above it"
    )
