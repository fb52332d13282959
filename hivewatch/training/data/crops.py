"""Crops of pictures: a square cut out at some scale, its boxes with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from hivewatch.domain.frames import Pixels
from hivewatch.training.data.augment import Rng
from hivewatch.training.data.dataset import Picture, shrink

PixelBox = tuple[float, float, float, float]

SMALLEST_HORNET_PX = 10.0
LEAST_VISIBLE = 0.4


@dataclass(frozen=True, slots=True)
class Crop:
    """What one training example shows. Boxes are left, top, right, bottom in pixels of the crop.

    ``hornets`` are in view; ``doubtful`` are places that vote neither way (a hornet cut off by the border, or
    what is too small or too blurred to tell). ``hornet`` is the label of the whole crop, None where it is
    not known; ``boxed`` tells whether the cells outside all boxes are known to show no hornet.
    """

    pixels: Pixels
    hornets: tuple[PixelBox, ...] = ()
    doubtful: tuple[PixelBox, ...] = ()
    hornet: bool | None = False
    boxed: bool = True


def cut(
    picture: Picture, pixels: Pixels, centre: tuple[float, float], scale: float, size: int, rng: Rng
) -> Crop:
    """Cut a square of ``size`` pixels around ``centre`` (in the picture's pixels) at ``scale``, and flip it.

    The square is moved to lie inside the picture; where the picture is smaller it has a plain border.
    """
    side = size / scale
    height, width = pixels.shape[:2]
    corner = _corner(centre[0], side, width), _corner(centre[1], side, height)
    out = _window(pixels, corner, side, size, fill=int(rng.integers(0, 256)))
    if picture.hornet and not picture.hornet_boxes:
        return _flip(Crop(out, hornet=True, boxed=False), rng)
    hornets: list[PixelBox] = []
    doubtful: list[PixelBox] = []
    for box in (*picture.hornet_boxes, *picture.doubtful_boxes):
        place = (
            (box.x0 * width - corner[0]) * scale,
            (box.y0 * height - corner[1]) * scale,
            (box.x1 * width - corner[0]) * scale,
            (box.y1 * height - corner[1]) * scale,
        )
        x0, y0, x1, y1 = (float(np.clip(value, 0, size)) for value in place)
        share = (x1 - x0) * (y1 - y0) / ((place[2] - place[0]) * (place[3] - place[1]))
        if share > 0:
            large = max(place[2] - place[0], place[3] - place[1]) >= SMALLEST_HORNET_PX
            sure = share >= LEAST_VISIBLE and large and box not in picture.doubtful_boxes
            (hornets if sure else doubtful).append((x0, y0, x1, y1))
    return _flip(Crop(out, tuple(hornets), tuple(doubtful), label(hornets, doubtful)), rng)


def label(hornets: Sequence[PixelBox], doubtful: Sequence[PixelBox]) -> bool | None:
    """The label of a crop with those boxes."""
    return True if hornets else (None if doubtful else False)


def _corner(centre: float, side: float, extent: int) -> float:
    """Where a window of ``side`` begins: inside the picture, or around it where the picture is smaller."""
    if side >= extent:
        return (extent - side) / 2
    return float(np.clip(centre - side / 2, 0, extent - side))


def _window(pixels: Pixels, corner: tuple[float, float], side: float, size: int, fill: int) -> Pixels:
    """The square of ``side`` at ``corner`` scaled to ``size`` pixels, with ``fill`` beyond the border."""
    scale = size / side
    if scale < 0.6:  # average while shrinking: interpolation alone would skip pixels
        pixels = shrink(pixels, round(max(pixels.shape[:2]) * scale))
        corner, scale = (corner[0] * scale, corner[1] * scale), 1.0
    shift = np.array([[scale, 0, -corner[0] * scale], [0, scale, -corner[1] * scale]])
    out = cv2.warpAffine(pixels, shift, (size, size), borderMode=cv2.BORDER_CONSTANT, borderValue=(fill,) * 3)
    return np.asarray(out, np.uint8)


def _flip(crop: Crop, rng: Rng) -> Crop:
    """Mirror left to right half the time, and now and then about the diagonal."""
    size = crop.pixels.shape[0]
    if rng.random() < 0.5:
        crop = _moved(crop, crop.pixels[:, ::-1], lambda b: (size - b[2], b[1], size - b[0], b[3]))
    if rng.random() < 0.3:
        crop = _moved(crop, crop.pixels.transpose(1, 0, 2), lambda b: (b[1], b[0], b[3], b[2]))
    return crop


def _moved(crop: Crop, pixels: Pixels, move: Callable[[PixelBox], PixelBox]) -> Crop:
    hornets, doubtful = tuple(map(move, crop.hornets)), tuple(map(move, crop.doubtful))
    return Crop(np.ascontiguousarray(pixels), hornets, doubtful, crop.hornet, crop.boxed)
