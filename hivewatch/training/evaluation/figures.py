"""Draw figures as PNG files: training curves, predictions against labels, ranking and calibration."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from hivewatch.domain.frames import Box, Pixels
from hivewatch.errors import DataError
from hivewatch.training.data.dataset import decode, shrink
from hivewatch.training.evaluation import metrics
from hivewatch.training.evaluation.evaluate import Result, part_of
from hivewatch.training.evaluation.metrics import Flags, Floats

COLUMNS, ROWS = 4, 4
THUMB_PX = 480
TRUTH, FOUND, WRONG = "cyan", "red", "tab:red"
BINS = 20
HOT_LOGIT = 4.0

Scores = Mapping[str, tuple[Floats, Flags]]
"""For each group of pictures, their scores, 0..1, and whether each shows a hornet."""


def draw_figures(
    history: Sequence[Mapping[str, Any]], results: Sequence[Result], folder: Path, threshold: float
) -> list[Path]:
    """Write all figures to ``folder`` and return their paths.

    ``history``, an entry per epoch, comes from a checkpoint or ``history.json``; without it, no curves are
    drawn. The grids show pictures of ``results``: some of each group, evenly spread; maps of those with boxed
    hornets; and the worst errors, where wrong labels are most likely to be found.
    """
    folder.mkdir(parents=True, exist_ok=True)
    scores = _by_group(results)
    boxed = [result for result in results if result.picture.hornet_boxes]
    by_score = sorted(results, key=lambda result: result.prediction.score)
    misses = [result for result in by_score if result.picture.hornet]
    alarms = [result for result in reversed(by_score) if not result.picture.hornet]

    def prediction(axes: Axes, result: Result, pixels: Pixels) -> None:
        _draw_prediction(axes, result, pixels, threshold)

    paths = [draw_curves(history, folder / "curves.png")] if history else []
    return [
        *paths,
        _grid(_some_of_each(results), prediction, folder / "predictions.png"),
        _grid(_spread(boxed, ROWS * COLUMNS), _draw_map, folder / "maps.png"),
        _grid(alarms, _draw_map, folder / "highest-without-hornet.png"),
        _grid(misses, _draw_map, folder / "lowest-with-hornet.png"),
        draw_precision_recall(scores, threshold, folder / "precision-recall.png"),
        draw_histograms(scores, threshold, folder / "scores.png"),
        draw_reliability(scores, folder / "reliability.png"),
    ]


def read_history(path: Path) -> list[dict[str, Any]]:
    """Read the ``history.json`` of a training run; raises DataError if the file is not one."""
    try:
        history = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as the history of a training run ({error})") from error
    needed = {"number", "map_loss", "pooled_loss", "crop_accuracy", "validation"}
    if not (isinstance(history, list) and all(isinstance(e, dict) and needed <= e.keys() for e in history)):
        raise DataError(f"{path}: not the history.json of a training run")
    return history


def draw_curves(history: Sequence[Mapping[str, Any]], path: Path) -> Path:
    """Draw loss and accuracy of the training crops per epoch, and each validation measure."""
    figure = Figure(figsize=(16, 4.5), layout="constrained")
    losses, accuracy, validation = figure.subplots(1, 3)
    epochs = [entry["number"] for entry in history]
    for key, label in (("map_loss", "map"), ("pooled_loss", "pooled logit")):
        losses.plot(epochs, [entry[key] for entry in history], marker=".", label=label)
    accuracy.plot(epochs, [entry["crop_accuracy"] for entry in history], marker=".", label="training crops")
    measured = [entry for entry in history if entry["validation"]]
    for split, measures in measured[-1]["validation"]["splits"].items() if measured else ():
        for name in measures:
            values = [entry["validation"]["splits"][split][name] for entry in measured]
            validation.plot(
                [entry["number"] for entry in measured], values, marker=".", label=f"{split} {name}"
            )
    for axes, title in ((losses, "loss"), (accuracy, "accuracy"), (validation, "validation")):
        axes.set(xlabel="epoch", title=title)
        axes.grid(alpha=0.3)
        if axes.has_data():
            axes.legend(fontsize="small")
    if measured:
        validation.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))
    return _save(figure, path)


def draw_precision_recall(scores: Scores, threshold: float, path: Path) -> Path:
    """Draw the precision-recall curve of each group; a dot marks the configured threshold."""
    figure = Figure(figsize=(7, 6), layout="constrained")
    axes = figure.subplots()
    for group, (values, hornet) in scores.items():
        if not hornet.any() or hornet.all():
            continue
        hits = np.cumsum(hornet[np.argsort(-values, kind="stable")])
        label = f"{group}: AP {metrics.average_precision(values, hornet):.3f}, hornets {hornet.mean():.0%}"
        (line,) = axes.plot(hits / hits[-1], hits / np.arange(1, len(hits) + 1), label=label)
        alarm = values >= threshold
        at = metrics.share(alarm[hornet]), metrics.share(hornet[alarm])
        axes.plot(*at, "o", color=line.get_color(), markersize=9)
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.02))
    axes.set_title(f"dots: threshold {threshold:g}")
    axes.grid(alpha=0.3)
    if axes.has_data():
        axes.legend(loc="lower left", fontsize="small")
    return _save(figure, path)


def draw_histograms(scores: Scores, threshold: float, path: Path) -> Path:
    """Draw histograms of the scores of each group, with and without a hornet, and the threshold."""
    figure = Figure(figsize=(5 * len(scores), 4), layout="constrained")
    edges = np.linspace(0, 1, BINS + 1).tolist()
    for axes, (group, (values, hornet)) in zip(_row(figure, len(scores)), scores.items(), strict=True):
        for label, those, colour in (("no hornet", ~hornet, "tab:blue"), ("hornet", hornet, "tab:orange")):
            axes.hist(values[those], edges, alpha=0.6, label=f"{label} ({those.sum()})", color=colour)
        axes.axvline(threshold, color="black", linestyle="--", label=f"threshold {threshold:g}")
        axes.set(xlabel="score", ylabel="pictures", title=group)
        axes.legend(fontsize="small")
    return _save(figure, path)


def draw_reliability(scores: Scores, path: Path) -> Path:
    """Draw the reliability diagram of each group: the share with a hornet against the mean score."""
    figure = Figure(figsize=(5 * len(scores), 5), layout="constrained")
    for axes, (group, (values, hornet)) in zip(_row(figure, len(scores)), scores.items(), strict=True):
        bins = metrics.calibration_bins(values, hornet)
        axes.plot([0, 1], [0, 1], color="grey", linestyle="--", linewidth=1)
        axes.plot([b.score for b in bins], [b.hornets for b in bins], color="tab:blue", linewidth=1)
        sizes = [20 + 400 * b.pictures / len(values) for b in bins]
        axes.scatter([b.score for b in bins], [b.hornets for b in bins], sizes, color="tab:blue", alpha=0.6)
        for b in bins:
            axes.annotate(str(b.pictures), (b.score, b.hornets), fontsize="x-small", ha="center", va="center")
        error = metrics.expected_calibration_error(values, hornet)
        axes.set(xlabel="mean score", ylabel="share with a hornet", xlim=(-0.03, 1.03), ylim=(-0.05, 1.05))
        axes.set_title(f"{group}: calibration error {error:.3f}")
        axes.grid(alpha=0.3)
    return _save(figure, path)


def _grid(results: Sequence[Result], draw: Callable[[Axes, Result, Pixels], None], path: Path) -> Path:
    """Draw the first results, as many as the grid has cells."""
    figure = Figure(figsize=(4 * COLUMNS, 2.8 * ROWS))
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.01, top=0.93, wspace=0.03, hspace=0.2)
    figure.suptitle(f"boxes: {TRUTH} true, {FOUND} found by the model", fontsize="medium")
    cells = list(figure.subplots(ROWS, COLUMNS).flat)
    for axes in cells:
        axes.set_axis_off()
    for axes, result in zip(cells, results, strict=False):
        draw(axes, result, shrink(decode(result.picture.path), THUMB_PX))
    return _save(figure, path)


def _draw_prediction(axes: Axes, result: Result, pixels: Pixels, threshold: float) -> None:
    picture, score = result.picture, result.prediction.score
    height, width = pixels.shape[:2]
    axes.imshow(pixels)
    for box in picture.hornet_boxes:
        _outline(axes, box, width, height, TRUTH)
    right = (score >= threshold) == picture.hornet
    predicted = "hornet" if score >= threshold else "none"
    title = f"{'hornet' if picture.hornet else picture.species}; predicted {predicted}, {score:.2f}"
    axes.set_title(title, fontsize="medium", color="green" if right else WRONG)


def _draw_map(axes: Axes, result: Result, pixels: Pixels) -> None:
    height, width = pixels.shape[:2]
    axes.imshow(pixels)
    heat = np.zeros((height, width), np.float32)
    x0, y0, x1, y1 = result.prediction.extent.pixels(width, height)
    if x1 > x0 and y1 > y0:
        heat[y0:y1, x0:x1] = np.clip(cv2.resize(result.prediction.cam, (x1 - x0, y1 - y0)), 0, HOT_LOGIT)
    axes.imshow(heat, alpha=0.6 * heat / HOT_LOGIT, cmap="autumn_r", vmin=0, vmax=HOT_LOGIT)
    for box in result.picture.hornet_boxes:
        _outline(axes, box, width, height, TRUTH)
    if result.prediction.location.box is not None:
        _outline(axes, result.prediction.location.box, width, height, FOUND)
    picture = result.picture
    axes.set_title(f"{result.prediction.score:.2f} {picture.species}\n{picture.name[-44:]}", fontsize="small")


def _outline(axes: Axes, box: Box, width: int, height: int, colour: str) -> None:
    x0, y0, x1, y1 = box.pixels(width, height)
    axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=colour, linewidth=1.5))


def _by_group(results: Sequence[Result]) -> Scores:
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


def _some_of_each(results: Sequence[Result]) -> list[Result]:
    """Return as many results as the grid holds, about equally many of each group and label, evenly spread."""
    groups: dict[tuple[str, bool], list[Result]] = {}
    for result in results:
        groups.setdefault((part_of(result.picture), result.picture.hornet), []).append(result)
    count = -(-ROWS * COLUMNS // max(1, len(groups)))
    return [r for _, members in sorted(groups.items(), key=lambda g: g[0]) for r in _spread(members, count)]


def _spread(results: Sequence[Result], count: int) -> Sequence[Result]:
    """Return ``count`` results, evenly spread, or all of them if there are fewer."""
    if len(results) <= count:
        return results
    return [results[i * len(results) // count] for i in range(count)]


def _row(figure: Figure, count: int) -> list[Axes]:
    return list(figure.subplots(1, count, squeeze=False)[0])


def _save(figure: Figure, path: Path) -> Path:
    FigureCanvasAgg(figure).print_png(path)  # type: ignore[no-untyped-call]
    return path
