"""The times that pictures themselves state, in their EXIF data or names, to tell a time-lapse from a film."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from statistics import median

_HEAD_BYTES = 1 << 16  # the EXIF data of a JPEG are in one segment at its start
_EXIF = re.compile(r"(\d{4}):(\d\d):(\d\d) (\d\d):(\d\d):(\d\d)\0")
_DATE = r"((?:19|20)\d\d)[-_.]?(\d\d)[-_.]?(\d\d)"
_TIME = r"(\d\d)[-_.:h]?(\d\d)(?:[-_.:m]?(\d\d)(?:\d{3})?)?"  # seconds and milliseconds may be missing
_NAME = re.compile(rf"(?<!\d){_DATE}[-_ .T]*{_TIME}(?!\d)")
_PICTURES_NEEDED = 10
_FACTOR = 10  # pictures this many times further apart than they count are not a film


class OwnTimes:
    """Compares how far apart pictures were taken, by their own account, with how far apart they count."""

    def __init__(self, rate_hz: float) -> None:
        """``rate_hz``: pictures per second as they count."""
        self._counted_s = 1 / rate_hz
        self._steps_s: list[float] = []
        self._last: datetime | None = None
        self._told = False

    def contradict(self, path: Path | None) -> float | None:
        """Add a picture, None after the last one; return the typical step in seconds if it is far longer.

        It is returned once, after some pictures or the last one.
        """
        if self._told:
            return None
        if path is not None:
            self._add(stated_time(path))
        if len(self._steps_s) < (1 if path is None else _PICTURES_NEEDED):
            return None
        self._told = True
        step_s = median(self._steps_s)
        return step_s if step_s > max(1.0, _FACTOR * self._counted_s) else None

    def _add(self, at: datetime | None) -> None:
        if at is not None and self._last is not None:
            self._steps_s.append(abs((at - self._last).total_seconds()))
        self._last = at


def stated_time(path: Path) -> datetime | None:
    """Return the local time in a picture's EXIF data, else in its name; None if neither states one."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES).decode("latin-1")
    except OSError:
        head = ""
    exif = _EXIF.search(head) if "Exif\0\0" in head else None
    found = exif or _NAME.search(path.name)
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups())
    try:
        return datetime(year, month, day, hour, minute, second)
    except ValueError:  # digits that are no date
        return None
