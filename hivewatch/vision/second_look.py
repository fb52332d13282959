"""The second look: which windows of a view the network sees again, enlarged, and the score of both looks.

On a whole frame a hornet covers a cell or two of the map. The network classifies the most suspicious windows
better when they are enlarged, and each costs only a small forward pass.
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
class SecondLook:
    """How a model takes a second look. The fields are stored in the model file under these names.

    If the first score is at least ``from_score``, the network also runs on windows around the ``places``
    highest peaks of the map: enlarged by ``zoom``, ``window_px`` x ``window_px`` pixels of network input.
    The score is then the logistic function of ``offset + first * a + second * b``, where a is the logit of
    the first score and b that of the highest window score (logistic regression on frames not trained on).
    """

    places: Annotated[int, Field(ge=1, le=8)]
    zoom: Annotated[float, Field(gt=1.0, le=8.0)]
    window_px: Annotated[int, Field(ge=32, le=1024)]
    from_score: Annotated[float, Field(ge=0.0, le=1.0)]
    first: Weight
    second: Weight
    offset: Weight

    def score(self, first_score: float, window_score: float) -> float:
        """Return the score of both looks, given the first score and the highest of a window, all 0..1."""
        value = self.offset + self.first * logit(first_score) + self.second * logit(window_score)
        return 0.5 + 0.5 * math.tanh(value / 2)  # the logistic function, without overflow

    def windows(self, view: View, cam: Map, factor: float) -> list[View]:
        """Return the windows of ``view`` for the second look, most suspicious first.

        ``cam`` is the map of the whole view, which was scaled by ``factor`` for the network. Of peaks
        within a quarter of a window of each other, only the highest gets one.
        """
        height_px, width_px = view.pixels.shape[:2]
        side_px = self.window_px / (factor * self.zoom)
        centres: list[Point] = []
        for peak in _peaks(cam):
            centre = Point(peak.x * width_px, peak.y * height_px)
            if all(math.dist(centre, other) > side_px / 4 for other in centres):
                centres.append(centre)
            if len(centres) == self.places:
                break
        return [_window(view, centre, side_px) for centre in centres]


def logit(score: float) -> float:
    """Return the logit of a score, 0..1; finite at both ends."""
    inside = min(max(score, _LEAST_SCORE), 1 - _LEAST_SCORE)
    return math.log(inside / (1 - inside))


def _peaks(cam: Map) -> list[Point]:
    """Return the local maxima of a map, highest first, normalised to the map."""
    rows, columns = np.where(cam >= cv2.dilate(cam, np.ones((3, 3), np.uint8)))
    order = np.argsort(-cam[rows, columns], kind="stable")
    return [Point((columns[i] + 0.5) / cam.shape[1], (rows[i] + 0.5) / cam.shape[0]) for i in order]


def _window(view: View, centre: Point, side_px: float) -> View:
    """Return the square of ``side_px`` around ``centre`` (view pixels), shifted to fit inside the view."""
    height_px, width_px = view.pixels.shape[:2]
    left, right = _centred_range(centre.x, side_px, width_px)
    top, bottom = _centred_range(centre.y, side_px, height_px)
    return view.cut(left, top, right, bottom)


def _centred_range(middle: float, length_px: float, size_px: int) -> tuple[int, int]:
    """Return first and one past last of ``length_px`` pixels around ``middle``, within 0..``size_px``."""
    length = max(1, min(round(length_px), size_px))
    first = min(max(round(middle - length_px / 2), 0), size_px - length)
    return first, first + length
