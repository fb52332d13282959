"""Cut training crops out of pictures: squares at any scale, with their boxes, or the whole picture."""

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
    """One training example. Boxes are left, top, right, bottom in pixels of the crop.

    ``hornets`` are in view; ``doubtful`` boxes have no vote (a hornet cut off by the border, or something too
    small or too blurred to label). ``hornet`` is the label of the whole crop, None if unknown; ``boxed`` is
    True if the cells outside all boxes are known to show no hornet.
    """

    pixels: Pixels
    hornets: tuple[PixelBox, ...] = ()
    doubtful: tuple[PixelBox, ...] = ()
    hornet: bool | None = False
    boxed: bool = True


def cut(
    picture: Picture, pixels: Pixels, centre: tuple[float, float], scale: float, size: int, rng: Rng
) -> Crop:
    """Return a randomly flipped crop of ``size`` x ``size`` pixels around ``centre`` of the picture.

    ``centre`` is in pixels of the picture; ``scale`` converts them to pixels of the crop. The square is moved
    to lie inside the picture; if the picture is smaller, it gets a plain border.
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
        full = (
            (box.x0 * width - corner[0]) * scale,
            (box.y0 * height - corner[1]) * scale,
            (box.x1 * width - corner[0]) * scale,
            (box.y1 * height - corner[1]) * scale,
        )
        x0, y0, x1, y1 = (float(np.clip(value, 0, size)) for value in full)
        share = (x1 - x0) * (y1 - y0) / ((full[2] - full[0]) * (full[3] - full[1]))
        if share > 0:
            large = max(full[2] - full[0], full[3] - full[1]) >= SMALLEST_HORNET_PX
            sure = share >= LEAST_VISIBLE and large and box not in picture.doubtful_boxes
            (hornets if sure else doubtful).append((x0, y0, x1, y1))
    return _flip(Crop(out, tuple(hornets), tuple(doubtful), label(hornets, doubtful)), rng)


def whole(picture: Picture, pixels: Pixels, long_side_px: float, multiple_px: int, rng: Rng) -> Crop:
    """Return the whole picture, its longer side scaled to ``long_side_px``: its label holds for the crop.

    Both sides are padded to multiples of ``multiple_px``, and the picture lies anywhere in that, mirrored
    half of the time. No cell has a target: where the hornet is remains to be found.
    """
    height, width = pixels.shape[:2]
    scale = long_side_px / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    scaled = cv2.resize(pixels, size, interpolation=interpolation)
    slack_x, slack_y = -size[0] % multiple_px, -size[1] % multiple_px
    left, top = int(rng.integers(slack_x + 1)), int(rng.integers(slack_y + 1))
    fill = int(rng.integers(0, 256))
    out = cv2.copyMakeBorder(
        scaled, top, slack_y - top, left, slack_x - left, cv2.BORDER_CONSTANT, value=(fill,) * 3
    )
    if rng.random() < 0.5:
        out = out[:, ::-1]
    unknown = not picture.hornet and picture.doubtful_boxes
    return Crop(np.ascontiguousarray(out, np.uint8), hornet=None if unknown else picture.hornet, boxed=False)


def label(hornets: Sequence[PixelBox], doubtful: Sequence[PixelBox]) -> bool | None:
    """Return the label of a crop with these boxes, None if unknown."""
    return True if hornets else (None if doubtful else False)


def _corner(centre: float, side: float, extent: int) -> float:
    """Return where a window of ``side`` starts: inside the picture, or around it if that is smaller."""
    if side >= extent:
        return (extent - side) / 2
    return float(np.clip(centre - side / 2, 0, extent - side))


def _window(pixels: Pixels, corner: tuple[float, float], side: float, size: int, fill: int) -> Pixels:
    """Return the square of ``side`` at ``corner`` scaled to ``size`` pixels, padded with ``fill``."""
    scale = size / side
    if scale < 0.6:  # average the pixels: interpolation alone would skip some
        pixels = shrink(pixels, round(max(pixels.shape[:2]) * scale))
        corner, scale = (corner[0] * scale, corner[1] * scale), 1.0
    shift = np.array([[scale, 0, -corner[0] * scale], [0, scale, -corner[1] * scale]])
    out = cv2.warpAffine(pixels, shift, (size, size), borderMode=cv2.BORDER_CONSTANT, borderValue=(fill,) * 3)
    return np.asarray(out, np.uint8)


def _flip(crop: Crop, rng: Rng) -> Crop:
    """Mirror left to right half the time, and about the diagonal 30 % of the time."""
    size = crop.pixels.shape[0]
    if rng.random() < 0.5:
        crop = _moved(crop, crop.pixels[:, ::-1], lambda b: (size - b[2], b[1], size - b[0], b[3]))
    if rng.random() < 0.3:
        crop = _moved(crop, crop.pixels.transpose(1, 0, 2), lambda b: (b[1], b[0], b[3], b[2]))
    return crop


def _moved(crop: Crop, pixels: Pixels, move: Callable[[PixelBox], PixelBox]) -> Crop:
    hornets, doubtful = tuple(map(move, crop.hornets)), tuple(map(move, crop.doubtful))
    return Crop(np.ascontiguousarray(pixels), hornets, doubtful, crop.hornet, crop.boxed)
