"""The watched region of a frame: polygons to watch, polygons to ignore."""

from __future__ import annotations

import math
from collections.abc import Iterable

import cv2
import numpy as np

from hivewatch.config.sections import GateConfig, Polygon
from hivewatch.domain.frames import WHOLE, Box, Frame, Pixels, View

# ImageNet's mean colour, RGB: after normalisation, painted areas are close to zero for the network.
_PAINT = (124, 116, 104)


class Region:
    """Crop frames to the bounding box of the watched polygons and paint over everything not watched."""

    def __init__(self, config: GateConfig) -> None:
        """Take the ``watch`` and ``ignore`` polygons of ``config``, normalised to the frame."""
        self._watch = config.watch
        self._ignore = config.ignore
        self._mask: Pixels | None = None

    def view(self, frame: Frame) -> View:
        """Return the watched part of ``frame``; without polygons the whole frame, not copied."""
        if not (self._watch or self._ignore):
            return View(frame, frame.pixels, WHOLE, max(frame.width_px, frame.height_px))
        width, height = frame.width_px, frame.height_px
        left, top, right, bottom = self._bounds(width, height)
        mask = self._mask_of(width, height)
        pixels = np.full((bottom - top, right - left, 3), _PAINT, np.uint8)
        cv2.copyTo(frame.pixels[top:bottom, left:right], mask[top:bottom, left:right], pixels)
        extent = Box(left / width, top / height, right / width, bottom / height)
        return View(frame, pixels, extent, max(right - left, bottom - top))

    def _mask_of(self, width_px: int, height_px: int) -> Pixels:
        """Return the mask for whole frames of that size: uint8, height x width, 255 where watched, else 0."""
        if self._mask is None or self._mask.shape != (height_px, width_px):
            mask = np.full((height_px, width_px), 0 if self._watch else 255, np.uint8)
            _fill(mask, self._watch, 255)
            _fill(mask, self._ignore, 0)
            self._mask = mask
        return self._mask

    def _bounds(self, width_px: int, height_px: int) -> tuple[int, int, int, int]:
        points = [point for polygon in self._watch for point in polygon] or [(0.0, 0.0), (1.0, 1.0)]
        left, right = _pixel_range([x for x, _ in points], width_px)
        top, bottom = _pixel_range([y for _, y in points], height_px)
        return left, top, right, bottom


def _pixel_range(values: Iterable[float], size_px: int) -> tuple[int, int]:
    """Return the first and one past the last of the pixels that ``values`` (0..1) cover, at least one."""
    values = list(values)
    first = min(math.floor(min(values) * size_px), size_px - 1)
    return first, max(math.ceil(max(values) * size_px), first + 1)


def _fill(mask: Pixels, polygons: Iterable[Polygon], value: int) -> None:
    height, width = mask.shape
    for polygon in polygons:
        points = np.array([(x * width, y * height) for x, y in polygon])
        cv2.fillPoly(mask, [np.round(points).astype(np.int32)], value)
