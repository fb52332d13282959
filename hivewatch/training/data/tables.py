"""Tables of labels as people and their spreadsheets write them: CSV with a header."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from hivewatch.domain.names import printable
from hivewatch.errors import DataError

_SEPARATORS = (",", ";", "\t")
_NUMBER = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}", re.ASCII)
_WORDS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}

Row = dict[str, str]


def read_table(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, Row]]:
    """Yield each row of a table that has at least ``columns``: where it is (file and line), and its fields.

    The separator is the comma, semicolon or tab, whichever the header has most of. A byte order mark, spaces
    around a field, and empty rows are ignored. Raises DataError with file and line if the table cannot be
    read, lacks a column, or has a row of another length than its header.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{printable(path)}: cannot be read ({error}); save it as CSV in UTF-8") from error
    header, *_ = text.splitlines() or [""]
    separator = max(_SEPARATORS, key=header.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    names: list[str] | None = None
    line = 1
    try:
        for fields in rows:
            where, line = f"{printable(path)}, line {line}", rows.line_num + 1
            values = [field.strip() for field in fields]
            if names is None:
                names = _checked_header(values, columns, where)
            elif any(values):
                yield where, _row(names, values, where)
    except csv.Error as error:
        raise DataError(f"{printable(path)}, line {line}: cannot be read ({error})") from error
    if names is None:
        _checked_header([], columns, f"{printable(path)}, line 1")


def number(text: str) -> float:
    """Return a finite number, written with a decimal point or comma; raises ValueError for anything else.

    ``1,250`` is refused: it may be a decimal comma or a thousand.
    """
    if _THOUSANDS.fullmatch(text):
        raise ValueError(f"{text!r} may mean {text.replace(',', '')} or {text.replace(',', '.')}")
    value = float(text.replace(",", ".")) if _NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is not a number")
    return value


def presence(text: str) -> bool:
    """Return whether a label means a hornet: 1 or 0, also written as 1.0, True or yes; raises ValueError."""
    value = _WORDS.get(text.lower())
    if value is None and _NUMBER.fullmatch(text) and number(text) in (0, 1):
        value = bool(number(text))
    if value is None:
        raise ValueError(f"presence must be 1 or 0, not {text!r}")
    return value


def _checked_header(names: list[str], columns: Sequence[str], where: str) -> list[str]:
    if not set(columns) <= set(names) or len(set(names)) < len(names):
        raise DataError(f"{where}: the columns must be {','.join(columns)}, each once")
    return names


def _row(names: Sequence[str], values: Sequence[str], where: str) -> Row:
    if len(values) != len(names):
        raise DataError(
            f"{where}: {len(values)} fields instead of {len(names)}; put a field that contains the separator,"
            " such as a decimal comma, in quotes"
        )
    return dict(zip(names, values, strict=True))
