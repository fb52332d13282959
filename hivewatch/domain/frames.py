"""Frames from a camera and the classifier's predictions for them.

All values are frozen. Coordinates are normalised to the full frame, x to the right and y down, 0..1, whatever
crop or size a stage works on. A frame has two times: ``taken_at`` for people, ``monotonic_s`` for arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

Map = npt.NDArray[np.float32]


class Point(NamedTuple):
    """A point in the full frame, normalised."""

    x: float
    y: float


class Box(NamedTuple):
    """A rectangle in the full frame, normalised: left, top, right, bottom."""

    x0: float
    y0: float
    x1: float
    y1: float

    def contains(self, point: Point) -> bool:
        """Return whether ``point`` is in the box or on its border."""
        return self.x0 <= point.x <= self.x1 and self.y0 <= point.y <= self.y1

    def pixels(self, width_px: int, height_px: int) -> tuple[int, int, int, int]:
        """Return left, top, right, bottom in whole pixels of a frame of this size."""
        return (
            round(self.x0 * width_px),
            round(self.y0 * height_px),
            round(self.x1 * width_px),
            round(self.y1 * height_px),
        )


WHOLE = Box(0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture from a camera.

    ``pixels`` is RGB, uint8, height x width x 3. ``taken_at`` is aware UTC. ``monotonic_s`` never decreases
    within one source; for a file it is the position in the file. ``sequence`` counts from 0 per source.
    ``truth`` holds the boxes of the hornets in view if the source knows them (the simulator), otherwise None.
    A frame that is not ``usable`` (repeated, black or white) counts neither for nor against a hornet.
    """

    pixels: Pixels
    taken_at: datetime
    monotonic_s: float
    sequence: int
    source: str
    truth: tuple[Box, ...] | None = None
    usable: bool = True

    def __post_init__(self) -> None:
        """Validate the pixels and the time zone. Raises ValueError."""
        shape = self.pixels.shape
        if self.pixels.dtype != np.uint8 or len(shape) != 3 or shape[2] != 3 or 0 in shape:
            raise ValueError(f"a frame is uint8 H x W x 3, not {self.pixels.dtype} {shape}")
        if self.taken_at.utcoffset() is None:
            raise ValueError("taken_at must carry its time zone")

    @property
    def is_drawn(self) -> bool:
        """Whether it is a drawing of the simulator, which alone knows where its hornets are."""
        return self.truth is not None

    @property
    def height_px(self) -> int:
        """Height in pixels."""
        return int(self.pixels.shape[0])

    @property
    def width_px(self) -> int:
        """Width in pixels."""
        return int(self.pixels.shape[1])


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """The watched part of a frame: cropped to ``extent``, with ignored areas painted over.

    ``watched_px`` is the longer side of the whole watched region, in pixels: a view cut from it is classified
    at the same scale.
    """

    frame: Frame
    pixels: Pixels
    extent: Box
    watched_px: int

    def cut(self, left: int, top: int, right: int, bottom: int) -> View:
        """Return a part of the view, given in the view's pixels; its ``extent`` is adjusted."""
        height_px, width_px = self.pixels.shape[:2]
        x0, y0, x1, y1 = self.extent
        across, down = (x1 - x0) / width_px, (y1 - y0) / height_px
        extent = Box(x0 + left * across, y0 + top * down, x0 + right * across, y0 + bottom * down)
        return replace(self, pixels=self.pixels[top:bottom, left:right], extent=extent)


@dataclass(frozen=True, slots=True)
class Location:
    """The location of the evidence for a hornet: its peak, and the box around it (None if there is none)."""

    peak: Point
    box: Box | None


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """The classifier's result for one view.

    ``score`` is the probability of a hornet, 0..1. ``cam`` is the class activation map over ``extent``:
    float32, rows x columns, in logits (above 0 is evidence for a hornet).
    """

    score: float
    cam: Map
    extent: Box
    location: Location
