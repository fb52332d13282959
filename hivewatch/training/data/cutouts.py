"""Cut insects out of their pictures along their outline, to paste them into frames of other hives.

With a fixed camera the outline comes from frame differences: the insect is what is in the box but not in the
frames taken around the same time. Otherwise GrabCut (Rother et al. 2004) separates it from its surroundings.
A cutout that covers nearly nothing or nearly all of its box has failed and is discarded.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from hivewatch.domain.frames import Box, Pixels
from hivewatch.training.data.dataset import HORNET, Shot, shrink

Mask = npt.NDArray[np.uint8]

NEIGHBOURS = 7
FEWEST_NEIGHBOURS = 3
LEAST_DIFFERENCE = 18.0
PLAUSIBLE_SHARE = (0.18, 0.7)
SMALLEST_SIDE_PX = 24
LARGEST_SIDE_PX = 160
MOST_BEES = 1000


@dataclass(frozen=True, slots=True, eq=False)
class Cutout:
    """An insect: pixels (h x w x 3, RGB) and the opacity of each (h x w, 0..255)."""

    pixels: Pixels
    mask: Mask
    hornet: bool


def cut_out(shots: Sequence[Shot]) -> list[Cutout]:
    """Cut out the boxed hornets, and evenly spread boxed bees, of hive frames and photographs."""
    scenes: dict[str, list[Shot]] = defaultdict(list)
    for shot in sorted(shots, key=lambda shot: shot[0].path.name):
        if shot[0].domain == "hive":
            scenes[shot[0].origin].append(shot)
    cutouts = [cutout for scene in scenes.values() for cutout in _from_scene(scene)]
    photos = [shot for shot in shots if shot[0].domain == "photo"]
    cutouts += [
        c for shot in photos for box in shot[0].hornet_boxes if (c := _by_grabcut(shot[1], box, hornet=True))
    ]
    bees = [
        (pixels, insect.box)
        for picture, pixels in shots
        for insect in picture.insects
        if insect.species == "honeybee" and _side_px(pixels, insect.box) >= SMALLEST_SIDE_PX
    ]
    some = bees[:: max(1, len(bees) // MOST_BEES)]
    return cutouts + [c for pixels, box in some if (c := _by_grabcut(pixels, box, hornet=False))]


def _from_scene(scene: Sequence[Shot]) -> Iterator[Cutout]:
    """Yield the hornets of one camera and day, cut out by difference if that works, else by GrabCut."""
    for index, (picture, pixels) in enumerate(scene):
        for insect in picture.insects:
            if insect.species != HORNET or _side_px(pixels, insect.box) < SMALLEST_SIDE_PX:
                continue
            around = _free_neighbours(scene, index, insect.box)
            cutout = _by_difference(pixels, around, insect.box) if len(around) >= FEWEST_NEIGHBOURS else None
            cutout = cutout or _by_grabcut(pixels, insect.box, hornet=True)
            if cutout is not None:
                yield cutout


def _free_neighbours(scene: Sequence[Shot], index: int, box: Box) -> list[Pixels]:
    """Return the nearest frames of the same size that have no hornet at ``box``."""
    nearest = sorted(range(len(scene)), key=lambda other: abs(other - index))
    return [
        scene[i][1]
        for i in nearest
        if i != index
        and scene[i][1].shape == scene[index][1].shape
        and not any(overlap(box, hornet) for hornet in scene[i][0].hornet_boxes)
    ][:NEIGHBOURS]


def _by_difference(pixels: Pixels, around: Sequence[Pixels], box: Box) -> Cutout | None:
    """Return what in ``box`` differs from the frames ``around`` by more than its surroundings do."""
    window, inside = _window(pixels, box)
    piece = pixels[window].astype(np.float32)
    difference = np.median([np.abs(other[window] - piece).max(-1) for other in around], axis=0)
    difference = cv2.GaussianBlur(difference.astype(np.float32), (0, 0), 1.2)
    usual = np.percentile(difference[~inside], 85) if not inside.all() else 0.0
    mask = ((difference > max(LEAST_DIFFERENCE, 1.2 * usual)) & inside).astype(np.uint8)
    return _largest_part(pixels[window], mask, inside, hornet=True)


def _by_grabcut(pixels: Pixels, box: Box, *, hornet: bool) -> Cutout | None:
    side_px = _side_px(pixels, box)
    if side_px > LARGEST_SIDE_PX:
        scale = LARGEST_SIDE_PX / side_px
        pixels = shrink(pixels, round(max(pixels.shape[:2]) * scale))
    window, inside = _window(pixels, box)
    if inside.all():
        return None
    piece = np.ascontiguousarray(pixels[window])
    labels = np.where(inside, cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
    cv2.setRNGSeed(0)
    cv2.grabCut(piece, labels, (0, 0, 0, 0), np.zeros((1, 65)), np.zeros((1, 65)), 3, cv2.GC_INIT_WITH_MASK)
    return _largest_part(piece, (labels == cv2.GC_PR_FGD).astype(np.uint8), inside, hornet=hornet)


def _largest_part(piece: Pixels, mask: Mask, inside: npt.NDArray[np.bool_], *, hornet: bool) -> Cutout | None:
    """Return the largest connected part of ``mask`` with a soft edge, or None if its size is implausible."""
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))  # type: ignore[assignment]
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    if count < 2:
        return None
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    low, high = PLAUSIBLE_SHARE
    if not low < stats[largest, cv2.CC_STAT_AREA] / inside.sum() < high:
        return None
    soft = cv2.GaussianBlur((labels == largest).astype(np.uint8) * 255, (0, 0), 0.8)
    x, y, width, height = (int(value) for value in stats[largest, :4])
    part = slice(max(0, y - 2), y + height + 2), slice(max(0, x - 2), x + width + 2)
    return Cutout(np.ascontiguousarray(piece[part]), np.ascontiguousarray(soft[part], np.uint8), hornet)


def _window(pixels: Pixels, box: Box) -> tuple[tuple[slice, slice], npt.NDArray[np.bool_]]:
    """Return the slices around ``box``, half its size wider on each side, and which pixels are in the box."""
    height, width = pixels.shape[:2]
    x0, y0, x1, y1 = box.pixels(width, height)
    margin_x, margin_y = (x1 - x0) // 2, (y1 - y0) // 2
    left, top = max(0, x0 - margin_x), max(0, y0 - margin_y)
    right, bottom = min(width, x1 + margin_x), min(height, y1 + margin_y)
    inside = np.zeros((bottom - top, right - left), bool)
    inside[y0 - top : y1 - top, x0 - left : x1 - left] = True
    return (slice(top, bottom), slice(left, right)), inside


def overlap(a: Box, b: Box) -> bool:
    """Return whether two boxes share any area."""
    return a.x0 < b.x1 and b.x0 < a.x1 and a.y0 < b.y1 and b.y0 < a.y1


def _side_px(pixels: Pixels, box: Box) -> float:
    return float(max((box.x1 - box.x0) * pixels.shape[1], (box.y1 - box.y0) * pixels.shape[0]))
