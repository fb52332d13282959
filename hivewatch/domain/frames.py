"""What comes from a camera and what the classifier says of it: Frame, View, Prediction.

All values are frozen. Coordinates are normalised to the full frame: x to the right and y down, 0..1, whatever
crop or resize a stage works on. Times come twice: ``taken_at`` for people, ``monotonic_s`` for arithmetic.
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
    """A place in the full frame, normalised."""

    x: float
    y: float


class Box(NamedTuple):
    """A rectangle in the full frame, normalised: left, top, right, bottom."""

    x0: float
    y0: float
    x1: float
    y1: float

    def contains(self, point: Point) -> bool:
        """Tell whether ``point`` lies in the box, its border included."""
        return self.x0 <= point.x <= self.x1 and self.y0 <= point.y <= self.y1

    def pixels(self, width_px: int, height_px: int) -> tuple[int, int, int, int]:
        """Return left, top, right, bottom in whole pixels of a frame of that size."""
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

    ``pixels`` is RGB, uint8, height x width x 3. ``taken_at`` is aware UTC. ``monotonic_s`` never runs
    backwards within one source (of a file it is the position in it). ``sequence`` counts from 0 per source.
    ``truth`` holds the boxes of the hornets in view where the source knows them (the simulator), else None.
    A frame that is not ``usable`` (a repeat, a black or a white one) says nothing for or against a hornet.
    """

    pixels: Pixels
    taken_at: datetime
    monotonic_s: float
    sequence: int
    source: str
    truth: tuple[Box, ...] | None = None
    usable: bool = True

    def __post_init__(self) -> None:
        """Refuse what no later stage could make sense of; raises ValueError."""
        shape = self.pixels.shape
        if self.pixels.dtype != np.uint8 or len(shape) != 3 or shape[2] != 3 or 0 in shape:
            raise ValueError(f"a frame is uint8 H x W x 3, not {self.pixels.dtype} {shape}")
        if self.taken_at.utcoffset() is None:
            raise ValueError("taken_at must carry its time zone")

    @property
    def height_px(self) -> int:
        """Height of the picture."""
        return int(self.pixels.shape[0])

    @property
    def width_px(self) -> int:
        """Width of the picture."""
        return int(self.pixels.shape[1])


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """The part of a frame that is looked at: cropped to ``extent``, ignored places painted over.

    ``watched_px`` is the longer side of all that is watched, in pixels: a view narrowed from it is shown to
    the network at the same scale.
    """

    frame: Frame
    pixels: Pixels
    extent: Box
    watched_px: int

    def cut(self, left: int, top: int, right: int, bottom: int) -> View:
        """Return a part of the view, given in its pixels, that keeps its place in the frame."""
        height_px, width_px = self.pixels.shape[:2]
        x0, y0, x1, y1 = self.extent
        across, down = (x1 - x0) / width_px, (y1 - y0) / height_px
        extent = Box(x0 + left * across, y0 + top * down, x0 + right * across, y0 + bottom * down)
        return replace(self, pixels=self.pixels[top:bottom, left:right], extent=extent)


@dataclass(frozen=True, slots=True)
class Location:
    """Where the evidence for a hornet is: its peak, and the box around it (None where there is none)."""

    peak: Point
    box: Box | None


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What the classifier says of one view.

    ``score`` is the probability of a hornet, 0..1. ``cam`` is the class activation map over ``extent``:
    float32, rows x columns, in logits (above 0 speaks for a hornet).
    """

    score: float
    cam: Map
    extent: Box
    location: Location
