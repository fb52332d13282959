"""What a model file is worth: every measure, taken through the classifier that the daemon runs."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from hivewatch.classifier import Classifier
from hivewatch.domain import WHOLE, Frame, Pixels, Point, Prediction, View
from hivewatch.errors import DataError
from hivewatch.training import metrics
from hivewatch.training.dataset import Picture, decode, read_catalogue
from hivewatch.training.metrics import Flags, Floats

CENTRE_SHARE = 0.06
"""Side of the centre-box baseline, as a share of the frame's: what a hornet takes up at a hive."""
TAKEN_AT = datetime(2000, 1, 1, tzinfo=UTC)  # pictures have no time that matters here

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """One labelled picture and what the model says of it."""

    picture: Picture
    prediction: Prediction


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure and its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True, slots=True)
class Ranking:
    """How well scores tell frames with a hornet from frames without, and what a threshold makes of them."""

    pictures: int
    hornets: int
    auroc: Measure
    average_precision: Measure
    recall_at_5_percent: Measure
    recall_at_1_percent: Measure
    accuracy: float
    precision: float
    recall: float
    calibration_error: float


@dataclass(frozen=True, slots=True)
class Localisation:
    """Over boxed hornet pictures: is the peak on a hornet, does the box meet one; the same of the centre."""

    pictures: int
    pointing: float
    box_accuracy: float
    centre_pointing: float
    centre_box_accuracy: float


@dataclass(frozen=True, slots=True)
class Report:
    """Everything measured on one group of pictures. ``alarms``: the share above threshold, per species."""

    group: str
    ranking: Ranking
    localisation: Localisation
    alarms: dict[str, float]

    def document(self) -> dict[str, Any]:
        """Return the report as plain values for JSON; what could not be measured is None."""
        document: dict[str, Any] = _without_nan(asdict(self))
        return document

    def table(self) -> str:
        """Return the report for people."""
        ranking, place = self.ranking, self.localisation
        lines = [
            f"{self.group}: {ranking.pictures} pictures, {ranking.hornets} with a hornet",
            f"  AUROC                        {ranking.auroc}",
            f"  average precision            {ranking.average_precision}",
            f"  recall at 5 % false alarms   {ranking.recall_at_5_percent}",
            f"  recall at 1 % false alarms   {ranking.recall_at_1_percent}",
            f"  at the threshold: accuracy {ranking.accuracy:.3f}, precision {ranking.precision:.3f},"
            f" recall {ranking.recall:.3f}; calibration error {ranking.calibration_error:.3f}",
            "  called hornet: " + ", ".join(f"{name} {share:.0%}" for name, share in self.alarms.items()),
        ]
        if place.pictures:
            lines.append(
                f"  of {place.pictures} boxed: peak on a hornet {place.pointing:.3f}"
                f" (centre {place.centre_pointing:.3f}), box accuracy {place.box_accuracy:.3f}"
                f" (centre box {place.centre_box_accuracy:.3f})"
            )
        return "\n".join(lines)


def evaluate(
    data: Path, classifier: Classifier, *, split: str = "val", threshold: float = 0.5
) -> list[Report]:
    """Judge the split's pictures and measure: one report for each part of the split and kind of picture.

    Raises DataError where the split is empty. Unreadable pictures are logged and left out.
    """
    verdicts = judge(read_catalogue(data).split(split), classifier)
    if not verdicts:
        raise DataError(f"{data}: no readable picture in the split '{split}'")
    groups: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        groups.setdefault(f"{verdict.picture.split} {verdict.picture.domain}", []).append(verdict)
    return [measure(name, group, threshold) for name, group in sorted(groups.items())]


def judge(pictures: Iterable[Picture], classifier: Classifier) -> list[Verdict]:
    """Run the classifier on every readable picture, in their order."""
    verdicts = []
    for number, picture in enumerate(tqdm(list(pictures), desc="judge")):
        try:
            pixels = decode(picture.path)
        except DataError as error:
            log.warning("%s", error)
            continue
        verdicts.append(Verdict(picture, predict(pixels, classifier, number, picture.name)))
    return verdicts


def predict(pixels: Pixels, classifier: Classifier, number: int = 0, source: str = "picture") -> Prediction:
    """What the classifier says of a picture seen whole."""
    frame = Frame(pixels, TAKEN_AT, 0.0, number, source)
    return classifier.predict(View(frame, pixels, WHOLE, max(pixels.shape[:2])))


def measure(group: str, verdicts: Sequence[Verdict], threshold: float) -> Report:
    """Sum the verdicts up."""
    scores = np.array([v.prediction.score for v in verdicts])
    hornet = np.array([v.picture.hornet for v in verdicts])
    return Report(group, rank(scores, hornet, threshold), localise(verdicts), _alarms(verdicts, threshold))


def rank(scores: Floats, hornet: Flags, threshold: float) -> Ranking:
    """Measures of the scores (0..1) of frames against whether each shows a hornet."""

    def with_interval(function: Callable[[Floats, Flags], float]) -> Measure:
        return Measure(function(scores, hornet), *metrics.interval(function, scores, hornet))

    alarm = scores >= threshold
    return Ranking(
        pictures=len(scores),
        hornets=int(hornet.sum()),
        auroc=with_interval(metrics.auroc),
        average_precision=with_interval(metrics.average_precision),
        recall_at_5_percent=with_interval(partial(metrics.recall_at_fpr, rate=0.05)),
        recall_at_1_percent=with_interval(partial(metrics.recall_at_fpr, rate=0.01)),
        accuracy=float((alarm == hornet).mean()),
        precision=float(hornet[alarm].mean()) if alarm.any() else float("nan"),
        recall=float(alarm[hornet].mean()) if hornet.any() else float("nan"),
        calibration_error=metrics.expected_calibration_error(scores, hornet),
    )


def localise(verdicts: Sequence[Verdict]) -> Localisation:
    """Measures of peak and box over the pictures whose hornets are boxed."""
    boxed = [verdict for verdict in verdicts if verdict.picture.hornet_boxes]
    truth = [verdict.picture.hornet_boxes for verdict in boxed]
    found = [verdict.prediction.location for verdict in boxed]
    middle = metrics.centre_box(CENTRE_SHARE)
    centre = Point(0.5, 0.5)
    return Localisation(
        pictures=len(boxed),
        pointing=_share(metrics.points_at(at.peak, boxes) for at, boxes in zip(found, truth, strict=True)),
        box_accuracy=metrics.box_accuracy([at.box for at in found], truth),
        centre_pointing=_share(metrics.points_at(centre, boxes) for boxes in truth),
        centre_box_accuracy=metrics.box_accuracy([middle] * len(truth), truth),
    )


def _alarms(verdicts: Sequence[Verdict], threshold: float) -> dict[str, float]:
    species = sorted({verdict.picture.species for verdict in verdicts})
    return {
        name: _share(v.prediction.score >= threshold for v in verdicts if v.picture.species == name)
        for name in species
    }


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nan(item) for name, item in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def _share(flags: Iterable[bool]) -> float:
    values = list(flags)
    return float(np.mean(values)) if values else float("nan")
