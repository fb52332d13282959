"""A fleet as text: a table drawn again and again on a terminal, or a line a change for everything else."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from hivewatch.fleet.hives import Fleet, sentence, table

_DRAW_EVERY_S = 0.5
_CLEAR = "\x1b[H\x1b[J"
_LOUD, _PLAIN = "\x1b[1;7m", "\x1b[0m"
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(slots=True)
class Screen:
    """For a terminal: the whole table anew, some times a second, hives with a hornet standing out."""

    fleet: Fleet
    broker: str
    _drawn_at: datetime = _NEVER

    def text(self, trouble: str, now: datetime, width: int, height: int) -> str:
        """Return what to write ``now``, "" if it is too early. ``trouble``: why there is no connection."""
        if (now - self._drawn_at).total_seconds() < _DRAW_EVERY_S:
            return ""
        self._drawn_at = now
        rows = self.fleet.rows(now)
        online = sum(row.daemon == "online" for row in rows)
        state = f"NO CONNECTION: {trouble}" if trouble else f"{online} of {len(rows)} hives online"
        lines = [f"{self.broker}  {now.astimezone():%H:%M:%S}  {state}"[:width]]
        body = table(rows, width)
        lines += [f"{_LOUD}{line}{_PLAIN}" if "HORNET" in line else line for line in body[1:]]
        lines.insert(1, body[0])
        if len(lines) > height - 1:
            hidden = len(lines) - (height - 2)
            lines = [*lines[: height - 2], f"... and {hidden} hives more; widen the window"]
        return _CLEAR + "\n".join(lines) + "\n"


@dataclass(slots=True)
class Lines:
    """For a pipe: a line for each hive of which something other than the frame's age has changed."""

    fleet: Fleet
    _looked_at: datetime = _NEVER
    _told: dict[str, str] = field(default_factory=dict)
    _trouble: str = ""

    def text(self, trouble: str, now: datetime) -> str:
        """Return the lines to write ``now``. ``trouble``: why there is no connection to the broker."""
        if (now - self._looked_at).total_seconds() < _DRAW_EVERY_S:
            return ""
        self._looked_at = now
        lines = []
        if trouble != self._trouble:
            lines.append(f"no connection: {trouble}" if trouble else "connected again")
            self._trouble = trouble
            self._told.clear()
        for row in self.fleet.rows(now):
            if self._told.get(row.hive) != (words := sentence(row)):
                self._told[row.hive] = words
                lines.append(words)
        stamp = f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
        return "".join(f"{stamp} {line}\n" for line in lines)
