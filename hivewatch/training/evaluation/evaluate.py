"""What a model file is worth: every measure, taken through the classifier that the daemon runs."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from hivewatch.domain.frames import WHOLE, Frame, Pixels, Point, Prediction, View
from hivewatch.errors import DataError
from hivewatch.training.data.catalogue import read_catalogue
from hivewatch.training.data.dataset import HORNET, Picture, decode
from hivewatch.training.data.duplicates import warn_of_copies
from hivewatch.training.evaluation import localization, metrics
from hivewatch.training.evaluation.bootstrap import Bootstrap, Indices
from hivewatch.training.evaluation.localization import Overlaps
from hivewatch.training.evaluation.metrics import Flags, Floats
from hivewatch.training.evaluation.report import Alarms, Localization, Ranking, Report, Summary
from hivewatch.vision.classifier import Classifier

TAKEN_AT = datetime(2000, 1, 1, tzinfo=UTC)  # pictures have no time that matters here
LOOK_ALIKES = {
    HORNET: "V. velutina (is one)",
    "crabro": "V. crabro",
    "mandarinia": "V. mandarinia",
    "wasp": "wasps",
    "vespula": "wasps",
    "honeybee": "honey bees",
    "bumblebee": "bumblebees",
    "hoverfly": "hoverflies",
    "none": "no insect named",
}
"""What species are called in reports; all that are not named here are one kind, OTHERS."""
OTHERS = "other insects"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """One labelled picture and what the model says of it."""

    picture: Picture
    prediction: Prediction


def evaluate(
    data: Path, classifier: Classifier, *, split: str = "val", threshold: float = 0.5, corrected: bool = True
) -> tuple[Summary, list[Result]]:
    """Judge the split's pictures and measure, by kind of picture, source and scene; return the results too.

    ``corrected``: with the labels that ``corrections.csv`` puts right. Raises DataError where the split is
    empty. Unreadable pictures, copies and leaks are logged; the summary names them as well.
    """
    catalogue = read_catalogue(data, corrected=corrected)
    chosen = catalogue.split(split)
    others = () if split == "train" else catalogue.split("train")
    results, unreadable = predict_all(chosen, classifier)
    if not results:
        raise DataError(f"{data}: no readable picture in the split '{split}'")
    warnings = [*catalogue.problems, *unreadable, *warn_of_copies((*others, *chosen))]
    return summarise(results, threshold, warnings), results


def predict_all(pictures: Iterable[Picture], classifier: Classifier) -> tuple[list[Result], list[str]]:
    """Run the classifier on every readable picture, in their order; say which could not be read."""
    results, problems = [], []
    for number, picture in enumerate(tqdm(list(pictures), desc="predict", disable=None)):
        try:
            pixels = decode(picture.path)
        except DataError as error:
            log.warning("%s", error)
            problems.append(str(error))
            continue
        results.append(Result(picture, predict(pixels, classifier, number, picture.name)))
    return results, problems


def predict(pixels: Pixels, classifier: Classifier, number: int = 0, source: str = "picture") -> Prediction:
    """What the classifier says of a picture seen whole."""
    return classifier.predict(whole_view(pixels, number, source))


def whole_view(pixels: Pixels, number: int, source: str) -> View:
    """A picture as a view of a frame of that source and number."""
    return View(Frame(pixels, TAKEN_AT, 0.0, number, source), pixels, WHOLE, max(pixels.shape[:2]))


def summarise(results: Sequence[Result], threshold: float, warnings: Sequence[str] = ()) -> Summary:
    """Measure the results by part of the split and kind of picture, and within these by source and scene.

    A division into one is left out: it would say the same again.
    """
    judged = [(result, compare_boxes(result)) for result in results]
    parts = _grouped(judged, part_of)

    def divided(name: Callable[[Picture], str]) -> list[Report]:
        groups = _grouped(judged, lambda picture: name(picture) and f"{part_of(picture)} {name(picture)}")
        if len(groups) <= len({part_of(v.picture) for members in groups.values() for v, _ in members}):
            return []
        return [measure(group, members, threshold) for group, members in groups.items()]

    return Summary(
        threshold,
        [measure(part, members, threshold) for part, members in parts.items()],
        divided(lambda picture: picture.source),
        divided(lambda picture: picture.scene),
        warnings,
    )


def measure(group: str, judged: Sequence[tuple[Result, BoxComparison | None]], threshold: float) -> Report:
    """Sum up what was judged and placed, with intervals over scenes."""
    results = [result for result, _ in judged]
    scores = np.array([v.prediction.score for v in results])
    hornet = np.array([v.picture.hornet for v in results])
    bootstrap = Bootstrap([v.picture.scene for v in results])
    return Report(
        group=group,
        pictures=len(results),
        hornets=int(hornet.sum()),
        drawn=bootstrap.clusters,
        ranking=rank(scores, hornet, threshold, bootstrap),
        places=measure_localization([placed for _, placed in judged if placed is not None]),
        called_hornet=_called_hornet(results, scores >= threshold),
    )


def rank(scores: Floats, hornet: Flags, threshold: float, bootstrap: Bootstrap) -> Ranking:
    """Measures of the scores (0..1) of frames against whether each shows a hornet."""
    alarm = scores >= threshold
    of_scores: dict[str, Callable[[Floats, Flags], float]] = {
        "auroc": metrics.auroc,
        "average_precision": metrics.average_precision,
        "recall_at_5_percent": partial(metrics.recall_at_fpr, rate=0.05),
        "recall_at_1_percent": partial(metrics.recall_at_fpr, rate=0.01),
        "calibration_error": metrics.expected_calibration_error,
    }
    of_alarms: dict[str, Callable[[Flags, Flags], float]] = {
        "accuracy": lambda alarm, hornet: metrics.share(alarm == hornet),
        "precision": lambda alarm, hornet: metrics.share(hornet[alarm]),
        "recall": lambda alarm, hornet: metrics.share(alarm[hornet]),
        "f1": metrics.f1,
        "false_alarms": lambda alarm, hornet: metrics.share(alarm[~hornet]),
    }
    return Ranking(
        **{name: bootstrap.measure(lambda i, f=f: f(scores[i], hornet[i])) for name, f in of_scores.items()},  # type: ignore[misc]
        **{name: bootstrap.measure(lambda i, f=f: f(alarm[i], hornet[i])) for name, f in of_alarms.items()},  # type: ignore[misc]
    )


@dataclass(frozen=True, slots=True, eq=False)
class BoxComparison:
    """How the map of one boxed picture meets its true boxes, see ``places``."""

    scene: str
    peak_on_hornet: bool
    middle_on_hornet: bool
    own_box: float
    cut: Overlaps
    middle: Overlaps


def compare_boxes(result: Result) -> BoxComparison | None:
    """Compare a result's map with the boxes of its picture; None where no hornet is boxed."""
    boxes, location = result.picture.hornet_boxes, result.prediction.location
    if not boxes:
        return None
    return BoxComparison(
        scene=result.picture.scene,
        peak_on_hornet=localization.points_at(location.peak, boxes),
        middle_on_hornet=localization.points_at(Point(0.5, 0.5), boxes),
        own_box=localization.best_iou([location.box], boxes) if location.box else 0.0,
        cut=localization.map_overlaps(result.prediction.cam, result.prediction.extent, boxes),
        middle=localization.centre_overlaps(boxes),
    )


def measure_localization(placed: Sequence[BoxComparison]) -> Localization | None:
    """Measures of peaks and boxes over pictures; None without any."""
    if not placed:
        return None
    bootstrap = Bootstrap([p.scene for p in placed])
    on_hornet = np.array([p.peak_on_hornet for p in placed])
    in_middle = np.array([p.middle_on_hornet for p in placed])
    own, cut = np.array([p.own_box for p in placed]), np.stack([p.cut for p in placed])
    middle = np.stack([p.middle for p in placed])
    best = localization.best_cuts(cut, np.arange(len(placed)))
    return Localization(
        pictures=len(placed),
        pointing=bootstrap.measure(lambda i: metrics.share(on_hornet[i])),
        box_accuracy=bootstrap.measure(lambda i: localization.box_accuracy(own[i])),
        max_box_accuracy=bootstrap.measure(partial(localization.max_box_accuracy, cut)),
        at_iou={
            str(iou): (share, localization.MAP_LEVELS[level])
            for iou, (share, level) in zip(localization.IOU_LEVELS, best, strict=True)
        },
        centre_pointing=bootstrap.measure(lambda i: metrics.share(in_middle[i])),
        centre_max_box_accuracy=bootstrap.measure(partial(localization.max_box_accuracy, middle)),
    )


def _called_hornet(results: Sequence[Result], alarm: Flags) -> dict[str, Alarms]:
    """The share above the threshold of each kind of insect, the hornet and its look-alikes first."""
    kinds = np.array([LOOK_ALIKES.get(v.picture.species, OTHERS) for v in results])
    table = {}
    for kind in dict.fromkeys((*LOOK_ALIKES.values(), OTHERS)):
        those: Indices = np.flatnonzero(kinds == kind)
        if len(those):
            table[kind] = _alarms(alarm[those], [results[i].picture.scene for i in those])
    return table


def _alarms(alarm: Flags, scenes: Sequence[str]) -> Alarms:
    share = Bootstrap(scenes).measure(lambda i: metrics.share(alarm[i]))
    return Alarms(int(alarm.sum()), len(alarm), share)


def _grouped(
    judged: Sequence[tuple[Result, BoxComparison | None]], name: Callable[[Picture], str]
) -> dict[str, list[tuple[Result, BoxComparison | None]]]:
    """By the name of their pictures, in alphabetical order; those without one are left out."""
    groups: dict[str, list[tuple[Result, BoxComparison | None]]] = defaultdict(list)
    for item in judged:
        groups[name(item[0].picture)].append(item)
    return {group: groups[group] for group in sorted(groups) if group}


def part_of(picture: Picture) -> str:
    """The group that a picture is measured in: split and kind of picture."""
    return f"{picture.split} {picture.domain}"
