"""Remembers across restarts which day was summed up last: a file in the store's directory."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from hivewatch.store.disk import disk_errors, sync_folder, write_durably


class Diary:
    """The last day that was summed up."""

    def __init__(self, directory: Path) -> None:
        """Read what was noted; raises StoreError where it cannot be read. What is no day reads as none."""
        self._path = directory / "last-summary"
        with disk_errors("read the day of the last summary", directory):
            text = self._path.read_text(errors="replace") if self._path.exists() else ""
        self.last_day = _day(text.strip())

    def note(self, day: date) -> None:
        """Note that ``day`` was summed up; raises StoreError where that cannot be kept."""
        with disk_errors("note the day of the summary", self._path.parent):
            write_durably(self._path, f"{day.isoformat()}\n".encode())
            sync_folder(self._path.parent)
        self.last_day = day


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
