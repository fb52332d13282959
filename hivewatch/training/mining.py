"""Hard negative mining: find where the network sees hornets that are not there."""

from __future__ import annotations

import random
from collections.abc import Sequence

import cv2
import numpy as np

from hivewatch.domain.frames import Box, Map, Point
from hivewatch.training.data.dataset import Shot
from hivewatch.training.data.sampling import HardNegative
from hivewatch.training.model.network import HornetNet
from hivewatch.training.recipe import Recipe
from hivewatch.training.validate import frame_maps

ALARM_LOGIT = -1.0
"""A map cell above this is shown to the network again as a negative."""
CLEARANCE = 0.02
"""How far from a hornet's box, as a share of the frame, a peak must lie to count as false."""


def mine_hard_negatives(
    net: HornetNet, shots: Sequence[Shot], recipe: Recipe, round_number: int
) -> list[HardNegative]:
    """Return the highest map peaks away from any hornet, a few per picture.

    Each ``round_number`` searches other pictures: ``mined_frames`` of hives, and half as many photographs.
    """
    boxed_or_empty = [(i, shot) for i, shot in enumerate(shots) if shot[0].hornet_boxes or not shot[0].hornet]
    random.Random(round_number).shuffle(boxed_or_empty)
    hive = [item for item in boxed_or_empty if item[1][0].domain == "hive"][: recipe.mined_frames]
    photos = [item for item in boxed_or_empty if item[1][0].domain == "photo"][: recipe.mined_frames // 2]
    chosen = hive + photos
    negatives = []
    maps = frame_maps(net, [shot for _, shot in chosen], recipe, "mine")
    for (index, _), (shot, _, cam) in zip(chosen, maps, strict=True):
        boxes = *shot[0].hornet_boxes, *shot[0].doubtful_boxes
        negatives += [HardNegative(index, x, y) for x, y in _false_peaks(cam, boxes, recipe.mined_per_frame)]
    return negatives


def _false_peaks(cam: Map, boxes: Sequence[Box], most: int) -> list[tuple[float, float]]:
    """Return up to ``most`` local maxima above ALARM_LOGIT that lie in none of ``boxes``, highest first."""
    highest_around = cv2.dilate(cam, np.ones((3, 3), np.uint8))
    rows, columns = np.where((cam >= highest_around) & (cam > ALARM_LOGIT))
    peaks = []
    for i in np.argsort(-cam[rows, columns]):
        point = Point((float(columns[i]) + 0.5) / cam.shape[1], (float(rows[i]) + 0.5) / cam.shape[0])
        if not any(_grown(box).contains(point) for box in boxes):
            peaks.append((point.x, point.y))
    return peaks[:most]


def _grown(box: Box) -> Box:
    return Box(box.x0 - CLEARANCE, box.y0 - CLEARANCE, box.x1 + CLEARANCE, box.y1 + CLEARANCE)
