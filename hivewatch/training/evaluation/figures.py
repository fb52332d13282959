"""Draw the figures of an evaluation as PNG files, each only if there is something to show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from hivewatch.errors import DataError
from hivewatch.training.evaluation.curves import draw_curves
from hivewatch.training.evaluation.drawing import remove
from hivewatch.training.evaluation.evaluate import Result, part_of
from hivewatch.training.evaluation.grids import draw_maps, draw_predictions
from hivewatch.training.evaluation.history import Epochs
from hivewatch.training.evaluation.plots import (
    Scores,
    draw_confusion,
    draw_histograms,
    draw_precision_recall,
    draw_reliability,
)

PREDICTIONS, MAPS, MAPS_WITHOUT_HORNET, WORST = 16, 9, 3, 12
"""How many pictures the grids show at most."""
NO_PICTURES = "there are no pictures"

Draw = Callable[[Path], Path | None]
"""Writes a figure to a path; returns None if there is nothing to show."""


@dataclass(frozen=True, slots=True)
class Figures:
    """The files that were drawn, and a sentence for each figure that was not."""

    drawn: Sequence[Path]
    left_out: Sequence[str]

    def document(self) -> dict[str, list[str]]:
        """Return both as plain values for JSON."""
        return {"drawn": [str(path) for path in self.drawn], "left_out": list(self.left_out)}

    def __str__(self) -> str:
        """Return a line for each."""
        return "\n".join([*(f"figure: {path}" for path in self.drawn), *self.left_out])


def open_folder(folder: Path) -> Path:
    """Make the folder for figures if it is missing, and return it; raises DataError if that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: no folder for figures: {error.strerror}; name another") from error
    return folder


def draw_figures(history: Epochs, results: Sequence[Result], folder: Path, threshold: float) -> Figures:
    """Write the figures to ``folder``: curves, predictions, maps, errors, ranking and calibration.

    ``history``, an entry per epoch, comes from a checkpoint or ``history.json``. A figure without data is
    not written, and one of that name from an earlier evaluation is removed. The grids show pictures of each
    group, evenly spread, and the worst errors, where wrong labels are most likely to be found. Raises
    DataError if ``folder`` cannot be written.
    """
    open_folder(folder)
    scores, quiet = scores_by_group(results), f"at the threshold {threshold:g}"
    figures: dict[str, tuple[Draw, str]] = {
        "curves.png": (
            partial(draw_curves, history),
            "there is no history of a training run with an epoch (--history)",
        ),
        "predictions.png": (partial(_draw_predictions, results, threshold), NO_PICTURES),
        "maps.png": (partial(_draw_maps, results), NO_PICTURES),
        "confusion.png": (partial(draw_confusion, scores, threshold), NO_PICTURES),
        "misses.png": (partial(_draw_misses, results, threshold), f"{quiet} no hornet is missed"),
        "false-alarms.png": (
            partial(_draw_false_alarms, results, threshold),
            f"{quiet} no picture without a hornet alarms",
        ),
        "precision-recall.png": (
            partial(draw_precision_recall, scores, threshold),
            "that takes pictures with and without a hornet, of one kind and split",
        ),
        "scores.png": (partial(draw_histograms, scores, threshold), NO_PICTURES),
        "reliability.png": (partial(draw_reliability, scores), NO_PICTURES),
    }
    drawn, left_out = [], []
    for name, (draw, reason) in figures.items():
        path = folder / name
        if draw(path) is not None:
            drawn.append(path)
        else:
            remove(path)
            left_out.append(f"{name} was not drawn: {reason}")
    return Figures(drawn, left_out)


def scores_by_group(results: Sequence[Result]) -> Scores:
    """Return the scores and labels of each group of pictures, groups in alphabetical order."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(part_of(result.picture), []).append(result)
    return {
        group: (
            np.array([r.prediction.score for r in members]),
            np.array([r.picture.hornet for r in members]),
        )
        for group, members in sorted(groups.items())
    }


def _draw_predictions(results: Sequence[Result], threshold: float, path: Path) -> Path | None:
    right = sum(_is_right(result, threshold) for result in results)
    some = _some_of_each(results, PREDICTIONS)
    title = f"{len(some)} of {len(results)} pictures; at the threshold {threshold:g}, {right} in all right"
    return draw_predictions(some, threshold, title, path)


def _draw_maps(results: Sequence[Result], path: Path) -> Path | None:
    """Draw maps of pictures with a hornet, boxed ones if there are any, and of some without."""
    hornets = [result for result in results if result.picture.hornet]
    boxed = [result for result in hornets if result.picture.hornet_boxes]
    others = [result for result in results if not result.picture.hornet]
    some = [*_spread(boxed or hornets, MAPS), *_spread(others, MAPS_WITHOUT_HORNET)]
    return draw_maps(some, "class activation maps", path)


def _draw_misses(results: Sequence[Result], threshold: float, path: Path) -> Path | None:
    wrong = [r for r in results if r.picture.hornet and not _is_right(r, threshold)]
    worst = sorted(wrong, key=lambda result: result.prediction.score)[:WORST]
    return draw_maps(worst, f"the worst {len(worst)} of {len(wrong)} misses, lowest score first", path)


def _draw_false_alarms(results: Sequence[Result], threshold: float, path: Path) -> Path | None:
    wrong = [r for r in results if not r.picture.hornet and not _is_right(r, threshold)]
    worst = sorted(wrong, key=lambda result: -result.prediction.score)[:WORST]
    return draw_maps(worst, f"the worst {len(worst)} of {len(wrong)} false alarms, highest score first", path)


def _is_right(result: Result, threshold: float) -> bool:
    return (result.prediction.score >= threshold) == result.picture.hornet


def _some_of_each(results: Sequence[Result], count: int) -> list[Result]:
    """Return at most ``count`` results, about equally many of each group and label, evenly spread."""
    groups: dict[tuple[str, bool], list[Result]] = {}
    for result in results:
        groups.setdefault((part_of(result.picture), result.picture.hornet), []).append(result)
    each = -(-count // max(1, len(groups)))
    some = [r for _, members in sorted(groups.items(), key=lambda g: g[0]) for r in _spread(members, each)]
    return some[:count]


def _spread(results: Sequence[Result], count: int) -> Sequence[Result]:
    """Return ``count`` results, evenly spread, or all of them if there are fewer."""
    if len(results) <= count:
        return results
    return [results[i * len(results) // count] for i in range(count)]
