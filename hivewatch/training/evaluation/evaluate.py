"""Evaluate a model file on labelled pictures, with the classifier that the daemon runs."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from hivewatch.domain.frames import WHOLE, Frame, Pixels, Point, Prediction, View
from hivewatch.errors import DataError
from hivewatch.training.data.catalogue import read_catalogue
from hivewatch.training.data.dataset import HORNET, Catalogue, Picture, decode
from hivewatch.training.data.duplicates import warn_of_copies
from hivewatch.training.evaluation import localization, metrics
from hivewatch.training.evaluation.bootstrap import Bootstrap, Indices
from hivewatch.training.evaluation.localization import Overlaps
from hivewatch.training.evaluation.metrics import Flags, Floats
from hivewatch.training.evaluation.report import Alarms, Localization, Ranking, Report, Summary
from hivewatch.vision.classifier import Classifier

TAKEN_AT = datetime(2000, 1, 1, tzinfo=UTC)  # the time of a picture does not matter here
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
"""Names of species in reports; all other species are counted as OTHERS."""
OTHERS = "other insects"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """One labelled picture and the model's prediction for it."""

    picture: Picture
    prediction: Prediction


def evaluate(
    data: Path,
    classifier: Classifier,
    *,
    split: str | None = None,
    threshold: float = 0.5,
    corrected: bool = True,
) -> tuple[Summary, list[Result]]:
    """Predict all pictures of a split; return the measures by kind, source and scene, and the predictions.

    ``split``: by default ``val``, or ``test`` if there is no ``val``, with a warning. ``corrected``: apply
    the corrections of labels in ``corrections.csv``. Raises DataError if the split is empty. Unreadable
    pictures, copies and leaks are logged, and listed in the summary.
    """
    catalogue = read_catalogue(data, corrected=corrected)
    split, doubts = (split, []) if split else _default_split(catalogue)
    chosen = catalogue.split(split)
    others = () if split == "train" else catalogue.split("train")
    results, unreadable = predict_all(chosen, classifier)
    if not results:
        raise DataError(f"{data}: no readable picture in the split '{split}'")
    warnings = [*doubts, *catalogue.problems, *unreadable, *warn_of_copies((*others, *chosen))]
    return replace(summarise(results, threshold, warnings), split=split), results


def _default_split(catalogue: Catalogue) -> tuple[str, list[str]]:
    """Return the split to measure, and a sentence if training may have seen it."""
    if catalogue.split("val") or not catalogue.split("test"):
        return "val", []
    return "test", [
        "there is no split 'val', so 'test' is measured. If training used it to choose the best epoch, and"
        " export to calibrate the score, the model does worse on other pictures"
    ]


def predict_all(pictures: Iterable[Picture], classifier: Classifier) -> tuple[list[Result], list[str]]:
    """Run the classifier on every readable picture, in order; return a sentence per unreadable one, too."""
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
    """Return the classifier's prediction for a whole picture."""
    return classifier.predict(whole_view(pixels, number, source))


def whole_view(pixels: Pixels, number: int, source: str) -> View:
    """Return a whole picture as a view of a frame with this source and sequence number."""
    return View(Frame(pixels, TAKEN_AT, 0.0, number, source), pixels, WHOLE, max(pixels.shape[:2]))


def summarise(results: Sequence[Result], threshold: float, warnings: Sequence[str] = ()) -> Summary:
    """Measure by part of the split and kind of picture, and within these by source and scene.

    A division that yields no more groups than the parts is left out as redundant.
    """
    compared = [(result, compare_boxes(result)) for result in results]
    parts = _grouped(compared, part_of)

    def divided(name: Callable[[Picture], str]) -> list[Report]:
        groups = _grouped(compared, lambda picture: name(picture) and f"{part_of(picture)} {name(picture)}")
        if len(groups) <= len({part_of(r.picture) for members in groups.values() for r, _ in members}):
            return []
        return [measure(group, members, threshold) for group, members in groups.items()]

    return Summary(
        threshold,
        [measure(part, members, threshold) for part, members in parts.items()],
        divided(lambda picture: picture.source),
        divided(lambda picture: picture.scene),
        warnings,
    )


def measure(group: str, compared: Sequence[tuple[Result, BoxComparison | None]], threshold: float) -> Report:
    """Return the measures of one group of pictures, with intervals over scenes."""
    results = [result for result, _ in compared]
    scores = np.array([r.prediction.score for r in results])
    hornet = np.array([r.picture.hornet for r in results])
    bootstrap = Bootstrap([r.picture.scene for r in results])
    return Report(
        group=group,
        pictures=len(results),
        hornets=int(hornet.sum()),
        drawn=bootstrap.clusters,
        ranking=rank(scores, hornet, threshold, bootstrap),
        places=measure_localization([comparison for _, comparison in compared if comparison is not None]),
        called_hornet=_called_hornet(results, scores >= threshold),
    )


def rank(scores: Floats, hornet: Flags, threshold: float, bootstrap: Bootstrap) -> Ranking:
    """Return the measures of scores (0..1) of frames against whether each shows a hornet."""
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
    """How the map of one boxed picture matches its true boxes, see ``localization``."""

    scene: str
    peak_on_hornet: bool
    middle_on_hornet: bool
    own_box: float
    cut: Overlaps
    middle: Overlaps


def compare_boxes(result: Result) -> BoxComparison | None:
    """Compare the map with the boxes of its picture; return None if no hornet is boxed."""
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


def measure_localization(boxed: Sequence[BoxComparison]) -> Localization | None:
    """Return the measures of peaks and boxes over pictures, None if there are none."""
    if not boxed:
        return None
    bootstrap = Bootstrap([p.scene for p in boxed])
    on_hornet = np.array([p.peak_on_hornet for p in boxed])
    in_middle = np.array([p.middle_on_hornet for p in boxed])
    own, cut = np.array([p.own_box for p in boxed]), np.stack([p.cut for p in boxed])
    middle = np.stack([p.middle for p in boxed])
    best = localization.best_cuts(cut, np.arange(len(boxed)))
    return Localization(
        pictures=len(boxed),
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
    """Return the alarms on each kind of insect, the hornet and its look-alikes first."""
    kinds = np.array([LOOK_ALIKES.get(r.picture.species, OTHERS) for r in results])
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
    compared: Sequence[tuple[Result, BoxComparison | None]], name: Callable[[Picture], str]
) -> dict[str, list[tuple[Result, BoxComparison | None]]]:
    """Return ``compared`` by the name of the picture, in alphabetical order, without empty names."""
    groups: dict[str, list[tuple[Result, BoxComparison | None]]] = defaultdict(list)
    for item in compared:
        groups[name(item[0].picture)].append(item)
    return {group: groups[group] for group in sorted(groups) if group}


def part_of(picture: Picture) -> str:
    """Return the group that a picture is measured in: split and kind of picture."""
    return f"{picture.split} {picture.domain}"
