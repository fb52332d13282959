"""A closer look: at which places of a view the network is to look again, and what both looks amount to.

On a whole frame a hornet is a cell or two of the map. The most suspicious places, seen again from closer by,
tell more, for the cost of a small window each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import cv2
import numpy as np
from pydantic import Field

from hivewatch.domain.frames import Map, Point, View

_LEAST_SCORE = 1e-6
Weight = Annotated[float, Field(ge=-1000.0, le=1000.0)]


@dataclass(frozen=True, slots=True)
class Closer:
    """How a model looks closer; this travels inside its file.

    From a score of ``from_score`` on, the ``places`` highest peaks of the map are looked at again, ``zoom``
    times larger, each through a window of ``window_px`` x ``window_px`` pixels of the network. The score is
    then the logistic function of ``offset + first * a + second * b``, where a is the logit of the first
    look's score and b the highest of the closer looks' (logistic regression on frames not trained on).
    """

    places: Annotated[int, Field(ge=1, le=8)]
    zoom: Annotated[float, Field(gt=1.0, le=8.0)]
    window_px: Annotated[int, Field(ge=32, le=1024)]
    from_score: Annotated[float, Field(ge=0.0, le=1.0)]
    first: Weight
    second: Weight
    offset: Weight

    def score(self, first: float, closest: float) -> float:
        """Return what the first look's score and the highest of the closer looks' amount to, all 0..1."""
        value = self.offset + self.first * logit(first) + self.second * logit(closest)
        return 0.5 + 0.5 * math.tanh(value / 2)  # the logistic function, without overflow

    def windows(self, view: View, cam: Map, factor: float) -> list[View]:
        """Return the parts of ``view`` to look at again, most suspicious first.

        ``cam`` covers the view, which the network saw scaled by ``factor``.
        """
        height_px, width_px = view.pixels.shape[:2]
        side_px = self.window_px / (factor * self.zoom)
        chosen: list[Point] = []
        for peak in _peaks(cam):
            place = Point(peak.x * width_px, peak.y * height_px)
            if all(math.dist(place, other) > side_px / 4 for other in chosen):
                chosen.append(place)
            if len(chosen) == self.places:
                break
        return [_window(view, place, side_px) for place in chosen]


def logit(score: float) -> float:
    """Return the logit of a score, 0..1; finite at the ends too."""
    inside = min(max(score, _LEAST_SCORE), 1 - _LEAST_SCORE)
    return math.log(inside / (1 - inside))


def _peaks(cam: Map) -> list[Point]:
    """The local maxima of a map, highest first, normalised to it."""
    rows, columns = np.where(cam >= cv2.dilate(cam, np.ones((3, 3), np.uint8)))
    order = np.argsort(-cam[rows, columns], kind="stable")
    return [Point((columns[i] + 0.5) / cam.shape[1], (rows[i] + 0.5) / cam.shape[0]) for i in order]


def _window(view: View, centre: Point, side_px: float) -> View:
    """The square of ``side_px`` around ``centre`` (pixels of the view), moved to lie inside the view."""
    height_px, width_px = view.pixels.shape[:2]
    left, right = _span(centre.x, side_px, width_px)
    top, bottom = _span(centre.y, side_px, height_px)
    return view.cut(left, top, right, bottom)


def _span(middle: float, side_px: float, size_px: int) -> tuple[int, int]:
    side = max(1, min(round(side_px), size_px))
    first = min(max(round(middle - side_px / 2), 0), size_px - side)
    return first, first + side
