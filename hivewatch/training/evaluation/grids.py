"""Grids of pictures: predictions against the truth, and class activation maps beside the clean pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from hivewatch.domain.frames import WHOLE, Pixels
from hivewatch.training.data.dataset import decode, shrink
from hivewatch.training.evaluation.drawing import BLUE, FOUND, TRUTH, VERMILION, outline, plain, save
from hivewatch.training.evaluation.evaluate import Result

THUMB_PX = 480
NAME_LENGTH = 44
HEAT_OPACITY = 0.85
"""Of a cell that scores 1."""
BOXES = f"boxes: {TRUTH} true, {FOUND} found by the model"

Draw = Callable[[Sequence[Axes], Result, Pixels], None]
"""Draws one result into its axes."""


def draw_predictions(results: Sequence[Result], threshold: float, title: str, path: Path) -> Path | None:
    """Draw pictures with truth and prediction, right and wrong told apart; None if there are none."""

    def draw(axes: Sequence[Axes], result: Result, pixels: Pixels) -> None:
        _draw_prediction(axes[0], result, pixels, threshold)

    return _grid(results, draw, f"{title}; {BOXES}", path, columns=4)


def draw_maps(results: Sequence[Result], title: str, path: Path) -> Path | None:
    """Draw each picture untouched, and beside it the model's heat on a grey copy; None if there are none."""
    return _grid(results, _draw_map, f"{title}; {BOXES}, dotted: second look", path, columns=3, axes_each=2)


def _grid(
    results: Sequence[Result], draw: Draw, title: str, path: Path, *, columns: int, axes_each: int = 1
) -> Path | None:
    """Draw all results, ``axes_each`` axes for each, on as many rows as they need."""
    if not results:
        return None
    columns = min(columns, len(results))
    rows = math.ceil(len(results) / columns)
    wide = columns * axes_each
    figure = Figure(figsize=(max(9.0, 3.6 * wide), 3.0 * rows + 0.5), layout="compressed")
    figure.suptitle(title, fontsize="medium")
    cells: list[list[Axes]] = figure.subplots(rows, wide, squeeze=False).reshape(-1, axes_each).tolist()
    for cell in cells:
        for axes in cell:
            axes.set_axis_off()
    for cell, result in zip(cells, results, strict=False):
        draw(cell, result, shrink(decode(result.picture.path), THUMB_PX))
    return save(figure, path)


def _draw_prediction(axes: Axes, result: Result, pixels: Pixels, threshold: float) -> None:
    picture, score = result.picture, result.prediction.score
    height, width = pixels.shape[:2]
    axes.imshow(pixels)
    for box in picture.hornet_boxes:
        outline(axes, box, width, height, TRUTH)
    if result.prediction.location.box is not None and score >= threshold:
        outline(axes, result.prediction.location.box, width, height, FOUND)
    right = (score >= threshold) == picture.hornet
    said = "hornet" if score >= threshold else "no hornet"
    truth = "hornet" if picture.hornet else picture.species.replace("none", "no hornet")
    verdict = "right" if right else "WRONG"
    colour = BLUE if right else VERMILION
    weight = "normal" if right else "bold"
    axes.set_title(
        f"{verdict}: {said} {score:.2f}\ntruth: {plain(truth)}",
        fontsize="small",
        color=colour,
        weight=weight,
        parse_math=False,
    )
    if not right:
        frame = Rectangle((0, 0), 1, 1, transform=axes.transAxes, fill=False, edgecolor=colour, linewidth=6)
        axes.add_patch(frame)


def _draw_map(axes: Sequence[Axes], result: Result, pixels: Pixels) -> None:
    picture, prediction = result.picture, result.prediction
    height, width = pixels.shape[:2]
    truth = "hornet" if picture.hornet else picture.species.replace("none", "no hornet")
    clean, heated = axes
    clean.imshow(pixels)
    clean.set_title(
        f"{plain(truth)}, scored {prediction.score:.2f}\n{_end_of(picture.name)}",
        fontsize="small",
        parse_math=False,
    )
    heated.imshow(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cmap="gray", vmin=0, vmax=340)
    heat = heat_of(result, width, height)
    heated.imshow(heat, alpha=HEAT_OPACITY * heat, cmap="autumn", vmin=0, vmax=1)
    for box in picture.hornet_boxes:
        outline(heated, box, width, height, TRUTH)
    if prediction.location.box is not None:
        outline(heated, prediction.location.box, width, height, FOUND)
    if prediction.extent != WHOLE:
        outline(heated, prediction.extent, width, height, "white", ":")
    heated.set_title(f"hottest cell {sigmoid(prediction.cam.max()):.2f}", fontsize="small")


def _end_of(name: str) -> str:
    shown = plain(name)
    return shown if len(shown) <= NAME_LENGTH else f"…{shown[-NAME_LENGTH:]}"


def heat_of(result: Result, width: int, height: int) -> npt.NDArray[np.float32]:
    """Return each cell's own score, 0..1, over the whole picture; 0 where the map does not reach."""
    heat = np.zeros((height, width), np.float32)
    x0, y0, x1, y1 = result.prediction.extent.pixels(width, height)
    if x1 > x0 and y1 > y0:
        heat[y0:y1, x0:x1] = cv2.resize(sigmoid(result.prediction.cam), (x1 - x0, y1 - y0))
    return heat


def sigmoid(logits: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Return the logistic function, without overflow."""
    return np.asarray(0.5 + 0.5 * np.tanh(np.asarray(logits, np.float32) / 2), np.float32)
