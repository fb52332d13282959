"""Measures of localization: whether the map's peak is on a hornet, and whether boxes cut from it match."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from hivewatch.domain.frames import Box, Map, Point
from hivewatch.training.evaluation.bootstrap import Indices
from hivewatch.vision.localize import CELL_STEPS

IOU_LEVELS = (0.3, 0.5, 0.7)
MAP_LEVELS = tuple(round(0.02 * i, 2) for i in range(50))
"""Levels at which maps, scaled to 0..1, are cut to find the best one."""
CENTRE_SHARES = tuple(round(0.02 * i, 2) for i in range(1, 51))
"""Sides of the centre boxes tried, as shares of the frame's sides."""

Overlaps = npt.NDArray[np.float64]
"""Best IoUs, 0..1, per frame, or frames x levels at which the maps were cut."""


def points_at(peak: Point, truth: Sequence[Box]) -> bool:
    """Return whether the peak lies in a true box: the pointing game without tolerance (Zhang et al. 2018)."""
    return any(box.contains(peak) for box in truth)


def best_iou(found: Sequence[Box], truth: Sequence[Box]) -> float:
    """Return the largest intersection over union, 0..1, of any found box with any true box."""
    return float(ious(found, truth).max(initial=0.0))


def ious(found: Sequence[Box], truth: Sequence[Box]) -> Overlaps:
    """Return the intersection over union, 0..1, of each found box (rows) with each true box (columns)."""
    a, b = np.reshape(found, (-1, 1, 4)).astype(float), np.reshape(truth, (1, -1, 4)).astype(float)
    sides = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None)
    common = sides.prod(-1)
    areas = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1)
    return np.asarray(common / (areas - common), np.float64)


def box_accuracy(best: Overlaps) -> float:
    """Return the share of frames whose best IoU reaches a level, averaged over IOU_LEVELS."""
    return float(np.mean([(best >= level).mean() for level in IOU_LEVELS])) if len(best) else float("nan")


def max_box_accuracy(best: Overlaps, frames: Indices) -> float:
    """Return the MaxBoxAccV2 (Choe et al. 2020, section 4) of ``frames``; ``best`` is frames x cut levels.

    For each IoU, the cut level that is best over all frames; then the mean over IOU_LEVELS.
    """
    return float(np.mean([at_level for at_level, _ in best_cuts(best, frames)]))


def best_cuts(best: Overlaps, frames: Indices) -> list[tuple[float, int]]:
    """Return, for each of IOU_LEVELS, the largest share of frames that reach it, and the cut that does it."""
    if not len(frames):
        return [(float("nan"), 0)] * len(IOU_LEVELS)
    shares = [(best[frames] >= level).mean(0) for level in IOU_LEVELS]
    return [(float(share.max()), int(share.argmax())) for share in shares]


def map_overlaps(cam: Map, extent: Box, truth: Sequence[Box]) -> Overlaps:
    """Return the best IoU of a region of the map with a true box, for each of MAP_LEVELS.

    The map covers ``extent``. As in Choe et al. 2020, it is scaled to 0..1 by its own extremes, and every
    connected region counts.
    """
    rows, columns = cam.shape
    fine = cv2.resize(cam, (columns * CELL_STEPS, rows * CELL_STEPS), interpolation=cv2.INTER_LINEAR)
    low, high = float(fine.min()), float(fine.max())
    if high <= low:
        return np.zeros(len(MAP_LEVELS))
    fine = (fine - low) / (high - low)
    return np.array([best_iou(_regions(fine >= level, extent), truth) for level in MAP_LEVELS])


def centre_overlaps(truth: Sequence[Box]) -> Overlaps:
    """Return the best IoU of a centre box with a true box, for each of CENTRE_SHARES."""
    boxes = [centre_box(share) for share in CENTRE_SHARES]
    return np.asarray(ious(boxes, truth).max(1, initial=0.0), np.float64)


def centre_box(share: float) -> Box:
    """Return a box in the middle of the frame, ``share`` of its sides: the baseline a map has to beat."""
    return Box(0.5 - share / 2, 0.5 - share / 2, 0.5 + share / 2, 0.5 + share / 2)


def _regions(mask: npt.NDArray[np.bool_], extent: Box) -> list[Box]:
    """Return the boxes, in the frame, around the connected regions of a mask that covers ``extent``."""
    across = (extent.x1 - extent.x0) / mask.shape[1]
    down = (extent.y1 - extent.y0) / mask.shape[0]
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    return [
        Box(
            *(extent.x0 + x * across, extent.y0 + y * down),
            *(extent.x0 + (x + width) * across, extent.y0 + (y + height) * down),
        )
        for x, y, width, height, _ in stats[1:].tolist()
    ]
