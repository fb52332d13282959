"""The truth of clips: when a hornet is in view, read from a CSV table."""

from __future__ import annotations

import logging
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hivewatch.domain.names import printable
from hivewatch.errors import DataError
from hivewatch.training.data.tables import number, read_table

COLUMNS = ("file", "start_s", "end_s")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Interval:
    """A part of a clip, in seconds from its start."""

    start_s: float
    end_s: float

    def overlaps(self, other: Interval) -> bool:
        """Return whether the two have a moment in common."""
        return self.start_s <= other.end_s and other.start_s <= self.end_s


@dataclass(frozen=True, slots=True)
class ClipTruth:
    """When a hornet is in view in a clip, in order, and where the table says so."""

    intervals: tuple[Interval, ...]
    where: str


Truth = Mapping[str, ClipTruth]
"""The truth by the name of the clip, which may include folders."""


def read_truth(path: Path) -> Truth:
    """Read a CSV table ``file,start_s,end_s`` with a line for each interval in which a hornet is in view.

    ``file`` is the clip's name, with as many of its folders as tell it from others of that name. A clip
    without a hornet has a line without times. Intervals that overlap are one. Raises DataError with the line
    of the first fault.
    """
    intervals: dict[str, list[Interval]] = {}
    places: dict[str, str] = {}
    for where, row in read_table(path, COLUMNS):
        name = posixpath.normpath(row["file"])
        of_clip = intervals.setdefault(name, [])
        has_times = bool(row["start_s"] or row["end_s"])
        if not row["file"] or (name in places and not (of_clip and has_times)):
            raise DataError(
                f"{where}: {row['file']!r} must name a clip, on a line for each interval, or on one without"
                " times"
            )
        places.setdefault(name, where)
        if has_times:
            of_clip.append(_read_interval(row, where))
    return {name: ClipTruth(_joined(found), places[name]) for name, found in intervals.items()}


def truth_of(clips: Sequence[str], truth: Truth) -> dict[str, ClipTruth]:
    """Return the truth of each clip, by its path; log which lines fit none of ``clips``.

    Raises DataError if it is missing, or if a line fits several of ``clips``: it is unknown which it means.
    """
    found: dict[str, ClipTruth] = {}
    fits: dict[str, list[str]] = {}
    for clip in clips:
        names = [name for name in truth if f"/{clip}".endswith(f"/{name.removeprefix('/')}")]
        if not names:
            raise DataError(
                f"the truth table lacks {Path(clip).name}; add a line without times if it shows no hornet"
            )
        name = max(names, key=len)  # the more folders, the closer
        found[clip] = truth[name]
        fits.setdefault(name, []).append(clip)
    for name, those in fits.items():
        if len(those) > 1:
            raise DataError(
                f"{truth[name].where}: {name} may mean {' or '.join(those)}; write their folders, too"
            )
    if unused := [name for name in truth if name not in fits]:
        where, others = truth[unused[0]].where, len(unused) - 1
        log.warning(
            "%s: %s is none of the clips that are evaluated%s; their hornets are not counted",
            *(where, printable(unused[0]), f", and so are {others} others" if others else ""),
        )
    return found


def _read_interval(row: Mapping[str, str], where: str) -> Interval:
    try:
        interval = Interval(number(row["start_s"]), number(row["end_s"]))
    except ValueError as error:
        raise DataError(f"{where}: start_s and end_s must be seconds ({error})") from error
    if not 0 <= interval.start_s <= interval.end_s:
        raise DataError(f"{where}: start_s must be 0 or more, and end_s not less than start_s")
    return interval


def _joined(intervals: Sequence[Interval]) -> tuple[Interval, ...]:
    """Return the intervals in order; those with a moment in common are one, or it would count twice."""
    joined: list[Interval] = []
    for interval in sorted(intervals, key=lambda i: i.start_s):
        if joined and joined[-1].overlaps(interval):
            last = joined.pop()
            interval = Interval(last.start_s, max(last.end_s, interval.end_s))
        joined.append(interval)
    return tuple(joined)
