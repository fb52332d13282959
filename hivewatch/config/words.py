"""The sentence for each mistake in an option: what is wrong, and what to write.

No text of the file is repeated, since a password may be typed anywhere. Numbers are, where a number belongs.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from typing import Any

from pydantic_core import ErrorDetails

from hivewatch.config.base import Mark, Option, Section, option_names, options
from hivewatch.config.hints import HINTS, TIME_OF_DAY
from hivewatch.config.yaml_faults import NO_BLANK

Words = tuple[str, str]
"""What is wrong, and what to write; between them the value is repeated if it may be."""
MakeWords = Callable[[ErrorDetails, str | None], Words]

_LONGEST_NUMBER = 20
_UNITS = {
    "s": ("seconds", "s|secs?|seconds?"),
    "minutes": ("minutes", "min|mins|minutes?"),
    "days": ("days", "d|days?"),
    "hz": ("frames per second", "hz|fps"),
    "px": ("pixels", "px|pixels?"),
    "mb": ("megabytes", "mb|megabytes?"),
}
"""By the last word of an option's name: its unit in words, and how people write that."""
_POLYGONS = "[[[0.1, 0.3], [0.9, 0.3], [0.9, 0.95]]]"
_PATTERNS = {
    "health.summary_at": TIME_OF_DAY,
    "homeassistant.version_topic": "is a topic: no + and no #",
}


def sentence(error: ErrorDetails, option: Option | None, model: type[Section], raw: str | None) -> str:
    """Return the sentence for an ``error`` of pydantic.

    ``option``: the option at fault, None if it is a section or unknown; ``raw``: the value as it is written.
    """
    kind, given = error["type"], error["input"]
    if kind == "extra_forbidden":
        return _unknown(error["loc"], model)
    if option is None:
        return _not_a_section(error["loc"], given, model)
    hint = HINTS.get(option.name)
    if hint is not None and kind != "value_error" and (found := hint(given, raw)):
        return found
    if option.key[0] == "gate" and isinstance(given, list | float | int | str) and kind in _SHAPES:
        return "a polygon needs at least 3 points [x, y]" if kind == "too_short" else "a point is [x, y]"
    if given is None:
        return "has no value: write one after the colon, or remove the line"
    if kind == "string_pattern_mismatch":
        return _PATTERNS.get(option.name, "contains characters that are not allowed here")
    words = _TYPES.get(kind)
    if words is None:
        return error["msg"].removeprefix("Value error, ") if kind == "value_error" else "cannot be used"
    claim, advice = words(error, raw if may_be_repeated(option) else None)
    return claim + _shown(given, raw, option) + advice


def has_polygons(value: object) -> bool:
    """Return whether ``value``, if there is one, is a list of polygons as far as its brackets go."""
    if value is None:
        return True
    return isinstance(value, list) and all(
        isinstance(polygon, list) and all(isinstance(point, list) for point in polygon) for polygon in value
    )


BRACKETS = (
    f"brackets are missing: it is a list of polygons, each a list of points [x, y], such as {_POLYGONS}"
)


_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]*|(?=\.[0-9]))(\.[0-9]*)?([eE][-+]?[0-9]+)?")


def misread(raw: str, value: object) -> str | None:
    """Return the sentence for a number that is not written as a plain decimal one; None if it is.

    YAML takes 010 for 8 and 1:30 for 90, and knows 0x10 and 1_000, which nobody means at a hive.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or _DECIMAL.fullmatch(raw):
        return None
    if len(raw) > _LONGEST_NUMBER:
        return "is a number: write it with fewer digits"
    claim = f"YAML reads {raw} as the number {value}"
    if re.fullmatch(r"[-+]?0[0-9_.]+", raw):
        return f"{claim}: write {raw.lstrip('+-0_').replace('_', '') or '0'}, without the 0 before it"
    return f"{claim}: write {value} if that is meant"


def may_be_repeated(option: Option) -> bool:
    """Return whether a number in place of ``option`` may be repeated: it is neither a secret nor a path."""
    marks = {Mark.SECRET, Mark.PATH, Mark.FILE}
    return not (marks & option.marks or "password" in option.name or option.name == "mqtt.host")


def close_option(name: str, key: Sequence[str | int], model: type[Section]) -> str | None:
    """Return the option in the section at ``key`` that ``name`` probably stands for, or None."""
    return next(iter(difflib.get_close_matches(name, option_names(model, key), n=1)), None)


def _unknown(key: Sequence[str | int], model: type[Section]) -> str:
    name, section = str(key[-1]), key[:-1]
    if re.fullmatch(r"[0-9.]+", name):
        return "a comma begins another option here: write a number with a point, and no comma in thousands"
    if re.match(r"[\w-]+:\S", name):
        return f"unknown option; {NO_BLANK}"
    if "password" in name and section == ("mqtt",):
        return "unknown option; write the password into a file of its own, and name the file as password_file"
    if close := close_option(name, section, model):
        return f"unknown option; did you mean {close}?"
    elsewhere = [option for option in options(model) if option.key[-1] == name]
    if len(elsewhere) == 1:
        return f"unknown option here; it belongs to {'.'.join(elsewhere[0].key[:-1])}: {elsewhere[0].name}"
    return f"unknown option; known here: {', '.join(option_names(model, section))}"


def _not_a_section(key: Sequence[str | int], given: object, model: type[Section]) -> str:
    """Return the sentence for a value where a section belongs; the value is not repeated."""
    if isinstance(given, str) and re.match(r"[A-Za-z_]\w*:[^/\s]", given):
        return NO_BLANK
    known = option_names(model, key)
    if isinstance(given, str) and "://" in given and key[:1] == ("camera",):
        return "is a section; an address goes into camera.video.source, with camera.kind: video"
    if isinstance(given, str) and "://" in given and key == ("mqtt",):
        return "is a section; the broker's name goes into mqtt.host, without mqtt:// and without the password"
    if isinstance(given, list):
        return f"is a section, not a list: write its options without -, such as `{known[0]}: ...`"
    return f"is a section: write its options below it, indented by two blanks; known: {', '.join(known)}"


_SHAPES = {"too_short", "too_long", "tuple_type", "missing"}


def _number(error: ErrorDetails, _raw: str | None) -> Words:
    given = error["input"]
    claim = "should be a whole number" if error["type"].startswith("int") else "should be a number"
    unit, written = _UNITS.get(str(error["loc"][-1]).rpartition("_")[2], ("", ""))
    found = re.fullmatch(r"\s*([-+]?\d{1,9}(?:[.,]\d{1,9})?)\s*(%|[a-z]+)?\s*", str(given), re.I)
    if not isinstance(given, str) or not found:
        return claim, ""
    if found[2] and found[2] != "%" and not re.fullmatch(written, found[2], re.I):
        # Without the wrong unit it would be another value: 2 GB are not 2 MB.
        return f"{claim}{f' of {unit}' if unit else ''}", ", without a unit"
    if re.fullmatch(r"[-+]?[0-9]{1,3},[0-9]{3}", found[1]):
        return claim, ": write it without the comma, or with a point if it is no thousand"
    number = re.sub(r"^([-+]?)0+(?=[0-9])", r"\1", found[1].replace(",", "."))
    if found[2] == "%":
        return claim, f": write {float(number) / 100:g}"
    why = "without the unit" if found[2] else "with a point" if "," in given else "without quotes"
    return claim, f": write {number}, {why}"


def _bound(words: str, limit: str) -> MakeWords:
    def make(error: ErrorDetails, _raw: str | None) -> Words:
        bound, given = error["ctx"][limit], error["input"]
        is_percent = limit == "le" and bound == 1 and isinstance(given, int | float) and 1 < given <= 100
        bound = int(bound) if bound == int(bound) else bound
        return f"must be {words} {bound}", f"; for {given:g} % write {given / 100:g}" if is_percent else ""

    return make


def _text(_error: ErrorDetails, raw: str | None) -> Words:
    return "is a text", f': write it in quotes, "{raw}"' if raw else ": write it in quotes"


def _choice(error: ErrorDetails, _raw: str | None) -> Words:
    expected = str(error["ctx"]["expected"]).replace("'", "")
    choices = expected.replace(" or ", ", ").split(", ")
    given = str(error["input"])
    if given in choices:
        return f"should be {expected}", f": write {given} without quotes"
    close = difflib.get_close_matches(given.lower(), choices, n=1)
    return f"should be {expected}", f"; did you mean {close[0]}?" if close else ""


def _fixed(sentence: str) -> MakeWords:
    return lambda _error, _raw: (sentence, "")


_TYPES: dict[str, MakeWords] = {
    "greater_than_equal": _bound("at least", "ge"),
    "less_than_equal": _bound("at most", "le"),
    "greater_than": _bound("above", "gt"),
    "less_than": _bound("below", "lt"),
    "multiple_of": _bound("a multiple of", "multiple_of"),
    "int_type": _number,
    "int_from_float": _number,
    "float_type": _number,
    "finite_number": _number,
    "bool_type": _fixed("should be true or false, without quotes"),
    "string_type": _text,
    "path_type": _text,
    "tuple_type": _fixed("is a list: write its values in brackets, [one, two]"),
    "literal_error": _choice,
    "string_too_short": _fixed("must not be empty"),
    "string_too_long": lambda error, _raw: (f"may have at most {error['ctx']['max_length']} characters", ""),
}


def _shown(given: Any, raw: str | None, option: Option) -> str:
    """Return a number, true or false as a part of the sentence; nothing for everything else."""
    if not isinstance(given, int | float) or not may_be_repeated(option):
        return ""
    text = raw or str(given)
    return f", not {text}" if len(text) <= _LONGEST_NUMBER else ""
