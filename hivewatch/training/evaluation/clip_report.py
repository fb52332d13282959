"""Results of an evaluation on clips, as values, as JSON and as a table.

The names of fields are the keys of the JSON document.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from hivewatch.training.evaluation.clip_truth import Interval


@dataclass(frozen=True, slots=True)
class ClipSighting:
    """A sighting: from its first vote to its last, and when its first alert was sent."""

    span: Interval
    alert_s: float
    best_score: float


@dataclass(frozen=True, slots=True)
class ClipReport:
    """The results of one clip. ``truth`` is when a hornet is in view, None if unknown.

    ``gated_share`` is the share of frames that the gate held back, ``highest_score`` the highest of any frame
    classified (None if none was). ``delays_s`` holds, for each interval of ``truth`` with a sighting, the
    time from its start to the alert.
    """

    file: str
    duration_s: float
    frames: int
    gated_share: float
    highest_score: float | None
    truth: tuple[Interval, ...] | None
    sightings: tuple[ClipSighting, ...]
    missed: tuple[Interval, ...] = ()
    false: tuple[ClipSighting, ...] = ()
    delays_s: tuple[float, ...] = ()

    def line(self) -> str:
        """Return the report as a line of text."""
        highest = "-" if self.highest_score is None else f"{self.highest_score:.2f}"
        counts = (
            f"{self.file}: {self.duration_s:.0f} s, {self.frames} frames, {self.gated_share:.0%} held back by"
            f" the gate, highest score {highest}; {len(self.sightings)} sightings"
        )
        if self.truth is None:
            return f"{counts}; not compared: truth unknown"
        delays = ", ".join(f"{delay:.1f} s" for delay in self.delays_s)
        found = len(self.truth) - len(self.missed)
        return (
            f"{counts}; found {found} of {len(self.truth)}{f' after {delays}' if delays else ''},"
            f" {len(self.false)} false"
        )


@dataclass(frozen=True, slots=True)
class ClipSummary:
    """The results of all clips, at ``rate_hz`` frames a second, and the sums over those with known truth."""

    clips: Sequence[ClipReport]
    rate_hz: float
    judged_h: float
    found: int
    missed: int
    false: int
    false_per_hour: float | None
    median_delay_s: float | None

    def document(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return asdict(self)

    def table(self) -> str:
        """Return everything as a table."""
        lines = [f"Clips, {self.rate_hz:g} frames a second:", *(f"  {clip.line()}" for clip in self.clips)]
        if self.false_per_hour is not None:
            delay = "" if self.median_delay_s is None else f", median delay {self.median_delay_s:.1f} s"
            lines.append(
                f"  total: {self.found} found, {self.missed} missed{delay}; {self.false} false in"
                f" {self.judged_h * 60:.1f} minutes, {self.false_per_hour:.1f} an hour"
            )
        return "\n".join(lines)


def summarise_clips(clips: Sequence[ClipReport], rate_hz: float) -> ClipSummary:
    """Sum up the results; only clips with known truth count."""
    known = [clip for clip in clips if clip.truth is not None]
    hours = sum(clip.duration_s for clip in known) / 3600
    missed = sum(len(clip.missed) for clip in known)
    false = sum(len(clip.false) for clip in known)
    delays = [delay for clip in known for delay in clip.delays_s]
    return ClipSummary(
        clips=clips,
        rate_hz=rate_hz,
        judged_h=hours,
        found=sum(len(clip.truth or ()) for clip in known) - missed,
        missed=missed,
        false=false,
        false_per_hour=false / hours if hours else None,
        median_delay_s=median(delays) if delays else None,
    )
