"""From a class activation map to a place in the frame: arithmetic only."""

from __future__ import annotations

import cv2
import numpy as np

from hivewatch.domain import Box, Location, Map, Point

CELL_STEPS = 8
"""The map is resized by this factor before it is cut: a box ends on an eighth of a cell."""


def locate(cam: Map, extent: Box, level: float) -> Location:
    """Return the peak of ``cam`` and the box of the evidence around it, in the full frame.

    ``cam``: rows x columns of logits that cover ``extent`` uniformly. The box bounds the connected region
    around the peak that is above ``level`` (0..1) of the peak's height (Zhou et al. 2016, section 3.2, take
    0.2 of the maximum). It is None where no cell speaks for a hornet: peak not above 0.
    """
    rows, columns = cam.shape
    row, column = (int(i) for i in np.unravel_index(np.argmax(cam), cam.shape))
    peak = _to_frame((column + 0.5) / columns, (row + 0.5) / rows, extent)
    if cam[row, column] <= 0.0:
        return Location(peak, None)
    fine = _upsample(np.maximum(cam, 0.0))
    fine_rows, fine_columns = fine.shape
    seed_row, seed_column = (int(i) for i in np.unravel_index(np.argmax(fine), fine.shape))
    left, top, width, height = _region(fine > level * fine.max(), seed_row, seed_column)
    peak = _to_frame((seed_column + 0.5) / fine_columns, (seed_row + 0.5) / fine_rows, extent)
    corner = _to_frame(left / fine_columns, top / fine_rows, extent)
    opposite = _to_frame((left + width) / fine_columns, (top + height) / fine_rows, extent)
    return Location(peak, Box(*corner, *opposite))


def _upsample(cam: Map) -> Map:
    size = (cam.shape[1] * CELL_STEPS, cam.shape[0] * CELL_STEPS)
    return np.asarray(cv2.resize(cam, size, interpolation=cv2.INTER_LINEAR), np.float32)


def _region(mask: np.ndarray, row: int, column: int) -> tuple[int, int, int, int]:
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    left, top, width, height, _ = (int(value) for value in stats[labels[row, column]])
    return left, top, width, height


def _to_frame(x: float, y: float, extent: Box) -> Point:
    return Point(
        extent.x0 + x * (extent.x1 - extent.x0),
        extent.y0 + y * (extent.y1 - extent.y0),
    )
