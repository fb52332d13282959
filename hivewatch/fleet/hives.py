"""The state of many hives, collected from their MQTT messages and shown as one row per hive.

All input comes from a broker that others can write to. Messages that cannot be parsed are shown as a fault of
that hive, and text is made printable before it reaches a terminal.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

from hivewatch.domain.wire import Message
from hivewatch.messages import contract

_MAX_HIVES = 10_000
_UNKNOWN = "?"
_MAX_COLUMNS = 24


class Row(NamedTuple):
    """A hive as text, one field per column."""

    hive: str
    name: str
    daemon: str
    camera: str
    frame_age: str
    hornet: str
    today: str
    pressure: str


HEADER = Row("HIVE", "NAME", "DAEMON", "CAMERA", "FRAME", "HORNET", "TODAY", "PRESSURE")


@dataclass(frozen=True, slots=True)
class Hive:
    """The last known state of a hive; None where nothing was received yet.

    ``last_age_s`` is the age of the last frame at ``health_at``. ``fault`` names the last message if it could
    not be parsed.
    """

    id: str
    name: str = ""
    daemon: str | None = None
    camera: str | None = None
    health_at: datetime | None = None
    last_age_s: float | None = None
    hornet: str | None = None
    detection: str | None = None
    today: int | None = None
    pressure: str | None = None
    fault: str | None = None

    def row(self, now: datetime) -> Row:
        """Return the hive's row at ``now``; an offline hive shows no outdated state."""
        if self.daemon != "online":
            return Row(self.id, self.name, self.daemon or _UNKNOWN, *("-",) * 5)._replace(
                today=self._today(), camera=self.fault or "-"
            )
        return Row(
            hive=self.id,
            name=self.name,
            daemon="online",
            camera=self.fault or self.camera or _UNKNOWN,
            frame_age=self._frame_age(now),
            hornet=self._hornet(),
            today=self._today(),
            pressure=self.pressure or _UNKNOWN,
        )

    def _today(self) -> str:
        return _UNKNOWN if self.today is None else str(self.today)

    def _hornet(self) -> str:
        if self.detection == "OFF":
            return "paused"
        if self.camera is not None and self.camera.startswith("offline"):
            return "-"
        return {"ON": "HORNET", "OFF": "none"}.get(self.hornet or "", _UNKNOWN)

    def _frame_age(self, now: datetime) -> str:
        if self.health_at is None or self.last_age_s is None:
            return _UNKNOWN
        # The hive's clock may be ahead of ours.
        return duration(self.last_age_s + max(0.0, (now - self.health_at).total_seconds()))


class Fleet:
    """All hives under a base topic."""

    def __init__(self, base_topic: str) -> None:
        """Start without hives."""
        self._prefix = f"{base_topic}/"
        self.hives: dict[str, Hive] = {}

    @property
    def topics(self) -> list[str]:
        """The topics to subscribe to."""
        return [f"{self._prefix}+/{leaf}" for leaf in LEAVES]

    def on_message(self, message: Message) -> None:
        """Update a hive from ``message``; ignore those on other topics than ``topics``."""
        hive_id, _, leaf = message.topic.removeprefix(self._prefix).partition("/")
        read = _READERS.get(leaf)
        if read is None or not message.topic.startswith(self._prefix):
            return
        hive_id = printable(hive_id)
        hive = self.hives.get(hive_id) or Hive(hive_id)
        if hive_id not in self.hives and len(self.hives) >= _MAX_HIVES:
            return
        try:
            self.hives[hive_id] = replace(read(hive, message.payload), fault=None)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            self.hives[hive_id] = replace(hive, fault=f"{leaf} unreadable")

    def clear(self) -> None:
        """Remove all hives: without a broker connection, their state is unknown."""
        self.hives.clear()

    def rows(self, now: datetime) -> list[Row]:
        """Return a row for each hive, ordered by id."""
        return [self.hives[hive_id].row(now) for hive_id in sorted(self.hives)]


def table(rows: Sequence[Row], width: int) -> list[str]:
    """Return the header and the rows in columns, as lines of at most ``width`` characters."""
    lines = [HEADER, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADER))]
    return [
        "  ".join(cell.ljust(size) for cell, size in zip(line, widths, strict=True)).rstrip()[:width]
        for line in lines
    ]


def log_line(row: Row) -> str:
    """Return a row as one line for a log, without the frame's age, which changes all the time."""
    parts = [f"daemon {row.daemon}", f"camera {row.camera}", f"hornet {row.hornet}", f"today {row.today}"]
    return ", ".join([f"{row.hive} {row.name!r}: {parts[0]}", *parts[1:], f"pressure {row.pressure}"])


def duration(seconds: float) -> str:
    """Return a duration as text, in its two largest units at most."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    for size_s, unit, next_size_s, next_unit in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min")):
        if seconds >= size_s:
            return f"{seconds // size_s:.0f} {unit} {seconds % size_s // next_size_s:.0f} {next_unit}"
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"


def printable(text: str) -> str:
    """Return ``text`` without terminal control characters, and short enough for a column."""
    clean = "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )
    return clean if len(clean) <= _MAX_COLUMNS else f"{clean[: _MAX_COLUMNS - 1]}…"


def _availability(hive: Hive, payload: bytes) -> Hive:
    return replace(hive, daemon=_one_of(payload, "online", "offline"))


def _camera(hive: Hive, payload: bytes) -> Hive:
    document = _document(payload)
    reasons = ", ".join(str(reason) for reason in document["reasons"])
    status = printable(f"{document['status']}{f' ({reasons})' if reasons else ''}")
    return replace(_named(hive, document), camera=status)


def _hornet_state(hive: Hive, payload: bytes) -> Hive:
    return replace(hive, hornet=_one_of(payload, "ON", "OFF"))


def _detection(hive: Hive, payload: bytes) -> Hive:
    return replace(hive, detection=_one_of(payload, "ON", "OFF"))


def _pressure(hive: Hive, payload: bytes) -> Hive:
    document = _document(payload)
    return replace(
        _named(hive, document),
        today=int(document["sightings_today"]),
        pressure=printable(str(document["level"])),
    )


def _health(hive: Hive, payload: bytes) -> Hive:
    document = _document(payload)
    age_s = document["frames"]["last_age_s"]
    at = datetime.fromisoformat(document["at"])
    if at.tzinfo is None:
        raise ValueError("a time without a time zone")
    return replace(_named(hive, document), health_at=at, last_age_s=None if age_s is None else float(age_s))


_READERS: dict[str, Callable[[Hive, bytes], Hive]] = {
    contract.AVAILABILITY.leaf: _availability,
    contract.CAMERA_STATUS.leaf: _camera,
    contract.HORNET_STATE.leaf: _hornet_state,
    contract.DETECTION_STATE.leaf: _detection,
    contract.PRESSURE.leaf: _pressure,
    contract.HEALTH.leaf: _health,
}
LEAVES = tuple(_READERS)


def _named(hive: Hive, document: dict[str, Any]) -> Hive:
    return replace(hive, name=printable(str(document["hive"]["name"])))


def _document(payload: bytes) -> dict[str, Any]:
    document = json.loads(payload)
    if not isinstance(document, dict):
        raise TypeError("not a JSON object")
    return document


def _one_of(payload: bytes, *known: str) -> str:
    text = payload.decode()
    if text not in known:
        raise ValueError(f"not one of {known}")
    return text
