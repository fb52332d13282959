"""A fleet as text: a live table for a terminal, or one line per change for a pipe or file."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from hivewatch.fleet.hives import Fleet, log_line, table

_INTERVAL_S = 0.5
_CLEAR = "\x1b[H\x1b[J"
_HIGHLIGHT, _RESET = "\x1b[1;7m", "\x1b[0m"
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(slots=True)
class Screen:
    """For a terminal: redraws the whole table twice a second, with hornets highlighted."""

    fleet: Fleet
    broker: str
    _drawn_at: datetime = _NEVER

    def text(self, trouble: str, now: datetime, width: int, height: int) -> str:
        """Return what to write ``now``, "" if too early; ``trouble`` says why there is no connection."""
        if (now - self._drawn_at).total_seconds() < _INTERVAL_S:
            return ""
        self._drawn_at = now
        rows = self.fleet.rows(now)
        online = sum(row.daemon == "online" for row in rows)
        state = f"NO CONNECTION: {trouble}" if trouble else f"{online} of {len(rows)} hives online"
        lines = [f"{self.broker}  {now.astimezone():%H:%M:%S}  {state}"[:width]]
        body = table(rows, width)
        lines += [f"{_HIGHLIGHT}{line}{_RESET}" if "HORNET" in line else line for line in body[1:]]
        lines.insert(1, body[0])
        if len(lines) > height - 1:
            hidden = len(lines) - (height - 2)
            lines = [*lines[: height - 2], f"... and {hidden} more hives; enlarge the window"]
        return _CLEAR + "\n".join(lines) + "\n"


@dataclass(slots=True)
class Lines:
    """For a pipe: one line for each hive that changed, not counting the age of its last frame."""

    fleet: Fleet
    _checked_at: datetime = _NEVER
    _written: dict[str, str] = field(default_factory=dict)
    _trouble: str = ""

    def text(self, trouble: str, now: datetime) -> str:
        """Return the lines to write ``now``; ``trouble`` says why there is no connection to the broker."""
        if (now - self._checked_at).total_seconds() < _INTERVAL_S:
            return ""
        self._checked_at = now
        lines = []
        if trouble != self._trouble:
            lines.append(f"no connection: {trouble}" if trouble else "reconnected")
            self._trouble = trouble
            self._written.clear()
        for row in self.fleet.rows(now):
            if self._written.get(row.hive) != (line := log_line(row)):
                self._written[row.hive] = line
                lines.append(line)
        stamp = f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
        return "".join(f"{stamp} {line}\n" for line in lines)
