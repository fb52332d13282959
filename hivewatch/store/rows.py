"""Which rows of the database can be used: a flipped bit can spoil a value that SQLite itself finds in order.

A text may no longer be UTF-8, a time no time, a topic none that a broker accepts. Such a value would end the
daemon whenever it is read, at every start.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from hivewatch.domain.sightings import Phase, Stamp
from hivewatch.store.database import Lane, iso

Row = dict[str, Any]

_STEM = re.compile(r"snapshots/\d{4}-\d\d-\d\d/\d{6}Z-[^/\0]+-\d+")
_ANNOTATED = "-annotated.jpg"
_REQUIRED = object()
# Sums of larger numbers would overflow, and a larger size would remove everything else.
_LARGEST_COUNT = 1 << 28


class _Column(NamedTuple):
    """A column; ``instead`` replaces a value that cannot be used, unless the row is nothing without it."""

    name: str
    is_usable: Callable[[Any], bool]
    instead: Any = _REQUIRED


def mend(table: str, values: Sequence[Any]) -> Row | None:
    """Return the row, with NULL or what its event says for values that cannot be used.

    None if nothing is left of it.
    """
    columns = _COLUMNS[table]
    if len(values) != len(columns):
        return None
    row: Row = {}
    for column, value in zip(columns, values, strict=True):
        row[column.name] = value if column.is_usable(value) else column.instead
    if _REQUIRED in row.values():
        return None
    return _AS_A_WHOLE[table](row)


def table_of(rowid: int, values: list[Any]) -> tuple[str, list[Any]] | None:
    """Return the table that a row without a name belongs to, and its values; None if it is of no table.

    The tables differ in the number of their columns.
    """
    if len(values) == len(_COLUMNS["state"]) and isinstance(values[1], int):
        return None  # sqlite_sequence, a table of SQLite's own
    for table, columns in _COLUMNS.items():
        if len(columns) == len(values):
            # The file leaves out the value of a column that is the rowid.
            return table, [rowid, *values[1:]] if table == "outbox" else values
    return None


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable() and value != ""


def _is_any_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_topic(value: Any) -> bool:
    return _is_text(value) and not set("+#") & set(value)


def _is_phase(value: Any) -> bool:
    return value in set(Phase)


def _is_time(value: Any) -> bool:
    try:
        return bool(iso(datetime.fromisoformat(value)) == value)
    except (TypeError, ValueError, OverflowError):
        return False


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and 0 <= value < _LARGEST_COUNT


def _is_integer(value: Any) -> bool:
    return isinstance(value, int)


def _is_score(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and bool(re.fullmatch("[0-9a-f]{64}", value))


def _is_stem(value: Any) -> bool:
    return isinstance(value, str) and bool(_STEM.fullmatch(value))


def _is_annotated(value: Any) -> bool:
    return isinstance(value, str) and value.endswith(_ANNOTATED) and _is_stem(value.removesuffix(_ANNOTATED))


def _is_payload(value: Any) -> bool:
    return isinstance(value, bytes) and _parse(value) is not None


def _is_list(value: Any) -> bool:
    ids = _parse(value)
    return isinstance(ids, list) and all(isinstance(id_, str) for id_ in ids)


def _parse(text: Any) -> Any:
    """Return the JSON value of ``text``, a text or UTF-8, None if it has none."""
    try:
        return json.loads(text.decode() if isinstance(text, bytes) else text)
    except (TypeError, ValueError, RecursionError):
        return None


def _is_event(event: Any, sighting_id: str) -> bool:
    """Return whether hivewatch itself can work on the document of an event: end it, correct its times."""
    try:
        times = [event[name] for name in ("at", "started_at", "last_seen_at")]
        times += [event["frame"]["taken_at"], event.get("ended_at", event["at"])]
        if "clock" in event:
            Stamp(**event["clock"])
        parsed = [datetime.fromisoformat(text) for text in times]
        return event["sighting_id"] == sighting_id and all(time.tzinfo and iso(time) for time in parsed)
    except (TypeError, ValueError, LookupError, AttributeError, OverflowError):
        return False


def _whole_sighting(row: Row) -> Row | None:
    if row["best_score"] is not None:
        row["best_score"] = float(row["best_score"])  # the file stores 1.0 as 1
    event = _parse(row["document"])
    if not _is_event(event, row["id"]):
        # Nothing would ever end it, since its last event is unknown.
        row |= {"document": None, "phase": str(Phase.END)}
    elif row["phase"] is None and _is_phase(event.get("event_type")):
        row["phase"] = event["event_type"]
    for name in ("started_at", "last_seen_at"):
        if row[name] is None and row["document"] is not None:
            row[name] = iso(datetime.fromisoformat(event[name]))
    return None if None in {row["phase"], row["started_at"], row["last_seen_at"]} else row


def _whole_entry(row: Row) -> Row | None:
    payload = row["payload"]
    if (payload is None) is (row["picture"] is None):
        return None
    sighting_id = row["sighting_id"]
    if payload is not None and sighting_id is not None and not _is_event(_parse(payload), sighting_id):
        return None
    if row["lane"] is None:
        row["lane"] = int(Lane.PICTURE if payload is None else Lane.EVENT)
    return row


def _whole_backlog(row: Row) -> Row | None:
    if row["best_score"] is not None:
        row["best_score"] = float(row["best_score"])
    return row


def _optional(is_usable: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or is_usable(value)


_COLUMNS = {
    "sightings": (
        _Column("id", _is_text),
        _Column("phase", _is_phase, None),
        _Column("started_at", _is_time, None),
        _Column("last_seen_at", _is_time, None),
        _Column("ended_at", _optional(_is_time), None),
        _Column("best_score", _optional(_is_score), None),
        _Column("document", _optional(_is_any_text), None),
        _Column("revision", _is_count, 0),
        _Column("picture", _optional(_is_stem), None),
        _Column("picture_sha256", _optional(_is_hash), None),
        _Column("size_bytes", _is_count, 0),
        _Column("backlog_id", _optional(_is_text), None),
    ),
    "outbox": (
        _Column("id", _is_integer),
        _Column("lane", lambda value: value in set(Lane), None),
        _Column("sighting_id", _optional(_is_text), None),
        _Column("topic", _is_topic),
        _Column("retained", lambda value: value in {0, 1}, 0),
        _Column("payload", _optional(_is_payload), None),
        _Column("picture", _optional(_is_annotated), None),
        _Column("picture_sha256", _optional(_is_hash), None),
        _Column("size_bytes", _is_count, 0),
        _Column("queued_at", _optional(_is_time), None),
    ),
    "backlog": (
        _Column("id", _is_text),
        _Column("sightings", _is_count),
        _Column("events", _is_count),
        _Column("pictures", _is_count),
        _Column("first_at", _optional(_is_time), None),
        _Column("last_at", _optional(_is_time), None),
        _Column("best_score", _optional(_is_score), None),
        _Column("sighting_ids", _is_list, "[]"),
        _Column("entry_id", _optional(_is_integer), None),
    ),
    "state": (_Column("key", _is_text), _Column("value", _is_any_text)),
}
_AS_A_WHOLE: dict[str, Callable[[Row], Row | None]] = {
    "sightings": _whole_sighting,
    "outbox": _whole_entry,
    "backlog": _whole_backlog,
    "state": lambda row: row,
}
