"""From a class activation map to a location in the frame: arithmetic only."""

from __future__ import annotations

import cv2
import numpy as np

from hivewatch.domain.frames import Box, Location, Map, Point

CELL_STEPS = 9
"""The map is upsampled by this factor before thresholding. Odd, so that each cell's own value is kept."""

_LARGEST_LOGIT = 50.0
"""Beyond it a probability is 0 or 1 in practice, and the exponential could overflow."""


def locate(cam: Map, extent: Box, level: float) -> Location:
    """Return the peak of ``cam`` and the box around it, in coordinates of the full frame.

    ``cam``: rows x columns of logits that cover ``extent`` uniformly. The box bounds the connected region
    around the peak where the upsampled map, its negative values set to 0, is at least ``level`` (above 0, up
    to 1) times the peak (Zhou et al. 2016, section 3.2, use 0.2). It is None if no logit is above 0.
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
    """Return the offset of the peak from its cell's centre, right and down, in cells, at most half a cell.

    It is the centre of mass of the probability in the cell and its neighbours. Beyond the border the
    probability is 0, so the peak of a hornet that the frame cuts off lies inside the frame.
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
    """Return left, top, right and bottom of the region around a cell, normalised to the map."""
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
