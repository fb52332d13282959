"""Evaluate clips: sightings found, missed and false, and the delay of their alerts.

Clips run through the daemon's loop, including the gate and the votes, at the rate of the daemon's camera.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tqdm import tqdm

from hivewatch.config.sections import Config
from hivewatch.daemon.recorder import open_recorder
from hivewatch.daemon.replay import adapted, find_sources, replay
from hivewatch.domain.frames import Frame
from hivewatch.domain.sightings import Phase, Sighting
from hivewatch.domain.wire import Alert
from hivewatch.errors import DataError
from hivewatch.system.stopwatch import Stopwatch
from hivewatch.training.evaluation.clip_report import ClipReport, ClipSighting, ClipSummary, summarise_clips
from hivewatch.training.evaluation.clip_truth import ClipTruth, Interval, Truth, truth_of
from hivewatch.vision.classifier import Classifier

_END_TOLERANCE_S = 1.0  # players show whole seconds

log = logging.getLogger(__name__)


@dataclass(slots=True)
class ClipRun:
    """What is collected while a clip runs."""

    duration_s: float = 0.0
    frames: int = 0
    gated: int = 0
    highest: float | None = None
    sightings: dict[str, ClipSighting] = field(default_factory=dict)

    def add_frame(self, frame: Frame, score: float | None) -> None:
        """Count a frame; ``score`` is None if the gate held it back."""
        self.frames += 1
        self.duration_s = frame.monotonic_s * self.frames / max(1, self.frames - 1)
        if score is None:
            self.gated += 1
        else:
            self.highest = score if self.highest is None else max(self.highest, score)

    def add_event(self, sighting: Sighting) -> None:
        """Record an event of a sighting, in seconds of the clip."""
        frame = sighting.best_frame
        start_s, end_s, at_s = (
            frame.monotonic_s + (moment - frame.taken_at).total_seconds()
            for moment in (sighting.started_at, sighting.last_seen_at, sighting.at)
        )
        earlier = self.sightings.get(sighting.id)
        alert_s = at_s if sighting.phase is Phase.START or earlier is None else earlier.alert_s
        self.sightings[sighting.id] = ClipSighting(Interval(start_s, end_s), alert_s, sighting.best.score)


def measure_clips(
    paths: Sequence[Path],
    config: Config,
    classifier: Classifier,
    truth: Truth | None,
) -> ClipSummary:
    """Run each clip through the loop and compare its sightings with ``truth``, if that is known.

    ``truth``: see ``read_truth``. Raises DataError as ``truth_of`` does and if a path is not a clip,
    CameraError for a clip that cannot be read, and the errors of ``replay``.
    """
    rate_hz = config.camera.rate_hz
    sources = find_sources(paths, rate_hz)
    for source in sources:
        if not source.is_clip:
            raise DataError(f"{source.name}: not a clip; evaluate pictures as a data folder")
    runs: dict[str, ClipRun] = {source.name: ClipRun() for source in sources}
    known = {} if truth is None else truth_of(list(runs), truth)

    def add_event(sighting: Sighting, _alert: Alert) -> None:
        runs[sighting.best_frame.source].add_event(sighting)

    with contextlib.ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="hivewatch-")))
        config = adapted(config, folder, ungated=False)
        recorder = open_recorder(config, classifier, Stopwatch(), opened, on_recorded=add_event)
        for replayed in tqdm(replay(sources, config, classifier, recorder), disable=None):
            prediction = replayed.step.prediction
            runs[replayed.file].add_frame(replayed.step.frame, prediction.score if prediction else None)
    return summarise_clips([report_clip(file, run, known.get(file)) for file, run in runs.items()], rate_hz)


def report_clip(file: str, run: ClipRun, truth: ClipTruth | None) -> ClipReport:
    """Return the results of a clip, compared with the truth if it is known."""
    sightings = tuple(run.sightings.values())
    report = ClipReport(
        file=file,
        duration_s=run.duration_s,
        frames=run.frames,
        gated_share=run.gated / max(1, run.frames),
        highest_score=run.highest,
        truth=None,
        sightings=sightings,
    )
    if truth is None:
        return report
    visits = truth.intervals
    if late := [visit for visit in visits if visit.start_s > run.duration_s + _END_TOLERANCE_S]:
        log.warning(
            "%s: a hornet from %g s on cannot be found: %s ends after %.1f s",
            *(truth.where, late[0].start_s, file, run.duration_s),
        )
    alerts = {visit: [s.alert_s for s in sightings if s.span.overlaps(visit)] for visit in visits}
    return replace(
        report,
        truth=visits,
        missed=tuple(visit for visit, times in alerts.items() if not times),
        false=tuple(s for s in sightings if not any(s.span.overlaps(visit) for visit in visits)),
        # A sighting that started with an earlier hornet has already sent its alert: no delay.
        delays_s=tuple(max(0.0, min(times) - visit.start_s) for visit, times in alerts.items() if times),
    )
