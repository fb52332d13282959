"""Figures of a training run, as PNG files to look at: curves, predictions with truth, maps with boxes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from hivewatch.domain import Box, Pixels
from hivewatch.training.dataset import decode, shrink
from hivewatch.training.evaluate import Verdict

COLUMNS, ROWS = 4, 4
THUMB_PX = 480
TRUTH, FOUND = "lime", "red"


def draw_figures(
    history: Sequence[Mapping[str, Any]], verdicts: Sequence[Verdict], folder: Path
) -> list[Path]:
    """Write ``curves.png``, ``predictions.png`` and ``maps.png`` to ``folder``; return their paths.

    ``history`` is that of a checkpoint, an entry per epoch. The two grids show verdicts spread evenly over
    those given; of the maps only those of pictures with boxed hornets are shown.
    """
    folder.mkdir(parents=True, exist_ok=True)
    boxed = [verdict for verdict in verdicts if verdict.picture.hornet_boxes]
    return [
        draw_curves(history, folder / "curves.png"),
        _grid(_spread(verdicts), _draw_prediction, folder / "predictions.png"),
        _grid(_spread(boxed), _draw_map, folder / "maps.png"),
    ]


def draw_curves(history: Sequence[Mapping[str, Any]], path: Path) -> Path:
    """Loss and accuracy of the training crops per epoch, and each validation measure where it was taken."""
    figure = Figure(figsize=(14, 4), layout="constrained")
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
        if axes.has_data():
            axes.legend(fontsize="small")
    return _save(figure, path)


def _grid(verdicts: Sequence[Verdict], draw: Callable[[Axes, Verdict, Pixels], None], path: Path) -> Path:
    figure = Figure(figsize=(4 * COLUMNS, 2.8 * ROWS), layout="constrained")
    places = list(figure.subplots(ROWS, COLUMNS).flat)
    for axes in places:
        axes.set_axis_off()
    for axes, verdict in zip(places, verdicts, strict=False):
        draw(axes, verdict, shrink(decode(verdict.picture.path), THUMB_PX))
    return _save(figure, path)


def _draw_prediction(axes: Axes, verdict: Verdict, pixels: Pixels) -> None:
    axes.imshow(pixels)
    picture, score = verdict.picture, verdict.prediction.score
    right = (score >= 0.5) == picture.hornet
    axes.set_title(f"{picture.species}: {score:.2f}", fontsize="small", color="green" if right else "red")


def _draw_map(axes: Axes, verdict: Verdict, pixels: Pixels) -> None:
    height, width = pixels.shape[:2]
    axes.imshow(pixels)
    heat = np.maximum(verdict.prediction.cam, 0)
    axes.imshow(heat, extent=(0, width, height, 0), alpha=0.45, cmap="inferno", interpolation="bilinear")
    for box in verdict.picture.hornet_boxes:
        _outline(axes, box, width, height, TRUTH)
    if verdict.prediction.location.box is not None:
        _outline(axes, verdict.prediction.location.box, width, height, FOUND)
    axes.set_title(f"{verdict.prediction.score:.2f}", fontsize="small")


def _outline(axes: Axes, box: Box, width: int, height: int, colour: str) -> None:
    x0, y0, x1, y1 = box.pixels(width, height)
    axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=colour, linewidth=1.5))


def _spread(verdicts: Sequence[Verdict]) -> Sequence[Verdict]:
    """As many as the grid holds, evenly spread over all."""
    places = ROWS * COLUMNS
    return (
        [verdicts[i * len(verdicts) // places] for i in range(places)] if len(verdicts) > places else verdicts
    )


def _save(figure: Figure, path: Path) -> Path:
    FigureCanvasAgg(figure).print_png(path)  # type: ignore[no-untyped-call]
    return path
