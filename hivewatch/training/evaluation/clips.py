"""What the daemon would make of clips: sightings found, missed and false, and how soon an alert comes.

They go through the loop of ``replay``, gate and votes and all, at the rate of the daemon's camera.
"""

from __future__ import annotations

import contextlib
import csv
import tempfile
import threading
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

from tqdm import tqdm

from hivewatch.camera.base import Camera, CameraCounts
from hivewatch.config.sections import Config
from hivewatch.daemon.recorder import open_recorder
from hivewatch.daemon.replay import adapted, find_sources, replay
from hivewatch.domain.frames import Frame
from hivewatch.domain.sightings import Phase, Sighting
from hivewatch.domain.wire import Alert
from hivewatch.errors import DataError
from hivewatch.system.stopwatch import Stopwatch
from hivewatch.vision.classifier import Classifier

TRUTH_COLUMNS = ("file", "start_s", "end_s")


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a clip, in seconds from its beginning."""

    start_s: float
    end_s: float

    def meets(self, other: Span) -> bool:
        """Tell whether the two have a moment in common."""
        return self.start_s <= other.end_s and other.start_s <= self.end_s


Truth = Mapping[str, tuple[Span, ...]]
"""Of each clip, by its name without folders, when a hornet is in view."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A sighting: from its first vote to its last, and when the alert of its start went out."""

    span: Span
    alert_s: float
    best_score: float


@dataclass(frozen=True, slots=True)
class ClipReport:
    """What came of one clip. ``truth`` is when a hornet is in view, None where nobody said.

    ``gated_share`` is the share of the frames that the gate held back, ``highest_score`` that of any frame
    classified (None if none was). ``delays_s`` has, for each stretch of ``truth`` that a sighting met, the
    time from its beginning to the alert.
    """

    file: str
    duration_s: float
    frames: int
    gated_share: float
    highest_score: float | None
    truth: tuple[Span, ...] | None
    sightings: tuple[Seen, ...]
    missed: tuple[Span, ...] = ()
    false: tuple[Seen, ...] = ()
    delays_s: tuple[float, ...] = ()

    def line(self) -> str:
        """Return the report for people."""
        highest = "-" if self.highest_score is None else f"{self.highest_score:.2f}"
        start = (
            f"{self.file}: {self.duration_s:.0f} s, {self.frames} frames, {self.gated_share:.0%} held back by"
            f" the gate, highest score {highest}; {len(self.sightings)} sightings"
        )
        if self.truth is None:
            return f"{start}, not judged: no truth given"
        delays = ", ".join(f"{delay:.1f} s" for delay in self.delays_s)
        found = len(self.truth) - len(self.missed)
        return (
            f"{start}; found {found} of {len(self.truth)}{f' after {delays}' if delays else ''},"
            f" {len(self.false)} false"
        )


@dataclass(frozen=True, slots=True)
class ClipSummary:
    """All clips, and the sums over those whose truth is known; ``rate_hz`` frames a second were judged."""

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
        """Return everything for people."""
        lines = [f"Clips, {self.rate_hz:g} frames a second:", *(f"  {clip.line()}" for clip in self.clips)]
        if self.false_per_hour is not None:
            delay = "" if self.median_delay_s is None else f", median delay {self.median_delay_s:.1f} s"
            lines.append(
                f"  in all: {self.found} found, {self.missed} missed{delay}; {self.false} false in"
                f" {self.judged_h * 60:.1f} minutes, {self.false_per_hour:.1f} an hour"
            )
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class AtRate:
    """A camera that gives of another's frames those that one of ``rate_hz`` would have given."""

    camera: Camera
    rate_hz: float
    is_live: bool = False

    @property
    def name(self) -> str:
        """The other camera's."""
        return self.camera.name

    @property
    def counts(self) -> CameraCounts:
        """The other camera's."""
        return self.camera.counts

    def frames(self, stop: threading.Event) -> Generator[Frame]:
        """Yield a frame when it is due; raises as the other camera does."""
        due_s = 0.0
        for frame in self.camera.frames(stop):
            if frame.monotonic_s >= due_s - 1e-3:
                due_s = max(due_s + 1 / self.rate_hz, frame.monotonic_s)
                yield frame


@dataclass(slots=True)
class _Run:
    """What is gathered of one clip while it runs."""

    duration_s: float = 0.0
    frames: int = 0
    gated: int = 0
    highest: float | None = None
    seen: dict[str, Seen] = field(default_factory=dict)

    def finished(self, frame: Frame, score: float | None) -> None:
        self.frames += 1
        self.duration_s = frame.monotonic_s * self.frames / max(1, self.frames - 1)
        if score is None:
            self.gated += 1
        else:
            self.highest = score if self.highest is None else max(self.highest, score)

    def told(self, sighting: Sighting) -> None:
        """Note what an event says; the clip's clock is that of its frames."""
        frame = sighting.best_frame
        start_s, end_s, at_s = (
            frame.monotonic_s + (moment - frame.taken_at).total_seconds()
            for moment in (sighting.started_at, sighting.last_seen_at, sighting.at)
        )
        earlier = self.seen.get(sighting.id)
        alert_s = at_s if sighting.phase is Phase.START or earlier is None else earlier.alert_s
        self.seen[sighting.id] = Seen(Span(start_s, end_s), alert_s, sighting.best.score)


def measure_clips(
    paths: Sequence[Path],
    config: Config,
    classifier: Classifier,
    truth: Truth | None,
) -> ClipSummary:
    """Run each clip through the loop, and compare with when its hornets are in view, if that is known.

    ``truth``: what ``read_truth`` gives. Raises DataError where it does not name a clip, or a path is no
    clip, CameraError for a clip that cannot be read, and what else ``replay`` raises.
    """
    rate_hz = config.camera.rate_hz
    sources = find_sources(paths, rate_hz)
    for source in sources:
        name = Path(source.camera.name).name
        if not source.is_clip:
            raise DataError(f"{source.camera.name}: not a clip; pictures are evaluated as a data folder")
        if truth is not None and name not in truth:
            raise DataError(
                f"the table of truth does not name {name}; a clip without a hornet has a line with no times"
            )
    runs: dict[str, _Run] = {source.camera.name: _Run() for source in sources}

    def told(sighting: Sighting, _alert: Alert) -> None:
        runs[sighting.best_frame.source].told(sighting)

    with contextlib.ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="hivewatch-")))
        recorder = open_recorder(
            adapted(config, folder, ungated=False), classifier, Stopwatch(), opened, None
        )
        recorder.told = told
        slowed = [replace(source, camera=AtRate(source.camera, rate_hz)) for source in sources]
        for replayed in tqdm(replay(slowed, recorder.config, classifier, recorder), disable=None):
            prediction = replayed.step.prediction
            runs[replayed.file].finished(replayed.step.frame, prediction.score if prediction else None)
    return sum_up([judge_clip(file, run, truth) for file, run in runs.items()], rate_hz)


def judge_clip(file: str, run: _Run, truth: Truth | None) -> ClipReport:
    """Compare the sightings of a clip with the truth, if there is any."""
    seen = tuple(run.seen.values())
    report = ClipReport(
        file=file,
        duration_s=run.duration_s,
        frames=run.frames,
        gated_share=run.gated / max(1, run.frames),
        highest_score=run.highest,
        truth=None,
        sightings=seen,
    )
    if truth is None:
        return report
    spans = truth[Path(file).name]
    alerts = {span: [s.alert_s for s in seen if s.span.meets(span)] for span in spans}
    return replace(
        report,
        truth=spans,
        missed=tuple(span for span, times in alerts.items() if not times),
        false=tuple(s for s in seen if not any(s.span.meets(span) for span in spans)),
        # A sighting that began with an earlier hornet has been told already.
        delays_s=tuple(max(0.0, min(times) - span.start_s) for span, times in alerts.items() if times),
    )


def sum_up(clips: Sequence[ClipReport], rate_hz: float) -> ClipSummary:
    """Add up the clips whose truth is known."""
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


def read_truth(path: Path) -> Truth:
    """When hornets are in view: a CSV table ``file,start_s,end_s``, a line for each stretch.

    ``file`` is the clip's name without folders. A clip without a hornet has a line without times. Raises
    DataError with the line of whatever is wrong.
    """
    spans: dict[str, list[Span]] = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            table = csv.DictReader(file)
            if tuple(table.fieldnames or ()) != TRUTH_COLUMNS:
                raise DataError(f"{path}, line 1: the columns must be {','.join(TRUTH_COLUMNS)}")
            for line, row in enumerate(table, start=2):
                of_clip = spans.setdefault(row["file"], [])
                if row["start_s"] or row["end_s"]:
                    of_clip.append(_span(row, f"{path}, line {line}"))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    return {name: tuple(sorted(found, key=lambda span: span.start_s)) for name, found in spans.items()}


def _span(row: Mapping[str, str], where: str) -> Span:
    try:
        span = Span(float(row["start_s"]), float(row["end_s"]))
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: start_s and end_s must be seconds ({error})") from error
    if not 0 <= span.start_s <= span.end_s:
        raise DataError(f"{where}: a stretch must begin at 0 or later and not end before it begins")
    return span
