"""From a class activation map to a place in the frame: arithmetic only."""

from __future__ import annotations

import cv2
import numpy as np

from hivewatch.domain.frames import Box, Location, Map, Point

CELL_STEPS = 9
"""The map is upsampled by this factor before it is cut. Odd, so that each cell's own value stays in it."""

_LARGEST_LOGIT = 50.0
"""Beyond it a probability is 0 or 1 for all that matters, and its exponential would overflow at last."""


def locate(cam: Map, extent: Box, level: float) -> Location:
    """Return the peak of ``cam`` and the box of the evidence around it, in the full frame.

    ``cam``: rows x columns of logits that cover ``extent`` uniformly. The box bounds the connected region
    around the peak that reaches ``level`` (above 0, up to 1) of the peak's height, in the upsampled map with
    its negative part cut off (Zhou et al. 2016, section 3.2, take 0.2 of the maximum). It is None where no
    cell speaks for a hornet: peak not above 0.
    """
    rows, columns = cam.shape
    row, column = (int(index) for index in np.unravel_index(np.argmax(cam), cam.shape))
    across, down = _peak_offset(cam, row, column)
    x, y = (column + 0.5 + across) / columns, (row + 0.5 + down) / rows
    if cam[row, column] <= 0.0:
        return Location(_to_frame(x, y, extent), None)
    x0, y0, x1, y1 = _region(cam, row, column, level)
    peak = _to_frame(min(max(x, x0), x1), min(max(y, y0), y1), extent)
    return Location(peak, Box(*_to_frame(x0, y0, extent), *_to_frame(x1, y1, extent)))


def _peak_offset(cam: Map, row: int, column: int) -> tuple[float, float]:
    """Return how far right and down of its cell's centre the peak lies, in cells, up to half of one.

    It is the centre of the probability in the cell and those around it. Beyond the border there is none: a
    hornet that the frame cuts off lies inside.
    """
    top, left = max(row - 1, 0), max(column - 1, 0)
    around = cam[top : row + 2, left : column + 2].astype(np.float64)
    hornet = 1.0 / (1.0 + np.exp(-np.clip(around, -_LARGEST_LOGIT, _LARGEST_LOGIT)))
    down, across = (
        np.arange(n) + first for n, first in zip(around.shape, (top - row, left - column), strict=True)
    )
    total = hornet.sum()
    return (
        float(np.clip((hornet.sum(0) * across).sum() / total, -0.5, 0.5)),
        float(np.clip((hornet.sum(1) * down).sum() / total, -0.5, 0.5)),
    )


def _region(cam: Map, row: int, column: int, level: float) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of the region around a cell, as shares of the map."""
    rows, columns = cam.shape
    size = (columns * CELL_STEPS, rows * CELL_STEPS)
    fine = cv2.resize(np.maximum(cam, 0.0), size, interpolation=cv2.INTER_LINEAR)
    seed = (row * CELL_STEPS + CELL_STEPS // 2, column * CELL_STEPS + CELL_STEPS // 2)
    mask = (fine >= level * fine[seed]).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    left, top, width, height, _ = (int(value) for value in stats[labels[seed]])
    return left / size[0], top / size[1], (left + width) / size[0], (top + height) / size[1]


def _to_frame(x: float, y: float, extent: Box) -> Point:
    return Point(extent.x0 + x * (extent.x1 - extent.x0), extent.y0 + y * (extent.y1 - extent.y0))
