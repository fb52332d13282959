"""Remembers across restarts which day was summed up last."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from hivewatch.store.notes import Note


class Diary:
    """The last day that was summed up."""

    def __init__(self, directory: Path) -> None:
        """Read what was noted; raises StoreError where it cannot be read. What is no day reads as none."""
        self._note = Note(directory, "last-summary")
        self.last_day = _day(self._note.read())

    def note(self, day: date) -> None:
        """Note that ``day`` was summed up; raises StoreError where that cannot be kept."""
        self._note.write(day.isoformat())
        self.last_day = day


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
