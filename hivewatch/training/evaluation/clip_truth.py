"""The truth of clips: when a hornet is in view, read from a CSV table."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hivewatch.errors import DataError

COLUMNS = ("file", "start_s", "end_s")


@dataclass(frozen=True, slots=True)
class Interval:
    """A part of a clip, in seconds from its start."""

    start_s: float
    end_s: float

    def overlaps(self, other: Interval) -> bool:
        """Return whether the two have a moment in common."""
        return self.start_s <= other.end_s and other.start_s <= self.end_s


Truth = Mapping[str, tuple[Interval, ...]]
"""When a hornet is in view, for each clip by its file name without folders."""


def read_truth(path: Path) -> Truth:
    """Read a CSV table ``file,start_s,end_s`` with a line for each interval in which a hornet is in view.

    ``file`` is the clip's name without folders. A clip without a hornet has a line without times. Raises
    DataError with the line of the first fault.
    """
    intervals: dict[str, list[Interval]] = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            table = csv.DictReader(file)
            if tuple(table.fieldnames or ()) != COLUMNS:
                raise DataError(f"{path}, line 1: the columns must be {','.join(COLUMNS)}")
            for line, row in enumerate(table, start=2):
                of_clip = intervals.setdefault(row["file"], [])
                if row["start_s"] or row["end_s"]:
                    of_clip.append(_read_interval(row, f"{path}, line {line}"))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    return {name: tuple(sorted(found, key=lambda i: i.start_s)) for name, found in intervals.items()}


def _read_interval(row: Mapping[str, str], where: str) -> Interval:
    try:
        interval = Interval(float(row["start_s"]), float(row["end_s"]))
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: start_s and end_s must be seconds ({error})") from error
    if not 0 <= interval.start_s <= interval.end_s:
        raise DataError(f"{where}: start_s must be 0 or more, and end_s not less than start_s")
    return interval
