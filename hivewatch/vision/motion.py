"""The motion gate: only what moves, and what is around it, is worth the network's time."""

from __future__ import annotations

import math
from collections import deque

import cv2
import numpy as np

from hivewatch.config.sections import MotionConfig
from hivewatch.domain.frames import WHOLE, Box, Map, View

# Motion is looked for at this width: a hornet at a hive is still some 15 pixels long, noise is averaged out.
_WIDTH_PX = 320
# The background forgets at this rate: faster than the sun moves, slower than a hornet passes.
_BACKGROUND_S = 10.0
# Around what moved so much is shown to the network as well, and never less than the least: as shares of the
# view's longer side. A hornet takes about 0.05 of it, and the network judges it by what is around it too.
_MARGIN = 0.07
_LEAST = 0.3
# Windows begin and end on a grid of so many steps along each side: the network meets few different sizes.
_GRID = 10


class MotionGate:
    """Compare each view with a running average of those before it.

    A view passes when enough of it has changed, for a while after that, at the very first, and now and then
    without any motion, so that a hornet that sits still is seen as well. What passes is narrowed to the
    places that have moved during that while.
    """

    def __init__(self, config: MotionConfig) -> None:
        """``config``: thresholds and times; see the manual."""
        self._config = config
        self._background: Map | None = None
        self._seen_at_s = -math.inf
        self._moves: deque[tuple[float, Box]] = deque()
        self._passed_at_s = -math.inf
        self.changed_share = 0.0
        """Which share of the last view differed from the background."""

    def configure(self, config: MotionConfig) -> None:
        """Take over new thresholds; what the background has learnt stays."""
        self._config = config

    def filter(self, view: View) -> View | None:
        """Return what of ``view`` is to be classified, None where it is held back."""
        now_s = view.frame.monotonic_s
        # The background learns from every view, also while the gate is switched off or held open.
        moved = self._moved(view, now_s)
        if moved is not None:
            self._moves.append((now_s, moved))
        while self._moves and now_s - self._moves[0][0] > self._config.hold_s:
            self._moves.popleft()
        passes = (
            not self._config.enabled
            or bool(self._moves)
            or now_s - self._passed_at_s >= self._config.look_anyway_s
        )
        if not passes:
            return None
        self._passed_at_s = now_s
        if not (self._config.enabled and self._config.narrow and self._moves):
            return view
        return _narrowed(view, [box for _, box in self._moves])

    def _moved(self, view: View, now_s: float) -> Box | None:
        """Where ``view``, normalised to itself, differs from the background; None where not enough does."""
        grey = _shrunk(view)
        if self._background is None or self._background.shape != grey.shape:
            self._background = grey
            self._seen_at_s = now_s
            self.changed_share = 1.0
            return WHOLE
        # A cloud changes all pixels alike; that is no motion.
        difference = grey - self._background
        difference -= difference.mean()
        changed = (np.abs(difference) >= self._config.difference).astype(np.uint8)
        weight = 1 - math.exp(-max(0.0, now_s - self._seen_at_s) / _BACKGROUND_S)
        cv2.accumulateWeighted(grey, self._background, weight)
        self._seen_at_s = now_s
        self.changed_share = np.count_nonzero(changed) / changed.size
        if self.changed_share < self._config.changed_share:
            return None
        # Single pixels are noise: they may add up to motion, but do not say where it is.
        x, y, width, height = cv2.boundingRect(
            cv2.morphologyEx(changed, cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
        )
        rows, columns = grey.shape
        if not (width and height):
            return WHOLE
        return Box(x / columns, y / rows, (x + width) / columns, (y + height) / rows)


def _narrowed(view: View, moves: list[Box]) -> View:
    """Return the part of ``view`` that holds all ``moves`` (normalised to the view), with what is around."""
    height_px, width_px = view.pixels.shape[:2]
    long_px = max(height_px, width_px)
    left, right = _window_range(min(m.x0 for m in moves), max(m.x1 for m in moves), width_px, long_px)
    top, bottom = _window_range(min(m.y0 for m in moves), max(m.y1 for m in moves), height_px, long_px)
    if (right - left, bottom - top) == (width_px, height_px):
        return view
    return view.cut(left, top, right, bottom)


def _window_range(low: float, high: float, side_px: int, long_px: int) -> tuple[int, int]:
    """Return the first pixel and the one past the last of a window along a side of ``side_px`` pixels."""
    middle = (low + high) / 2
    half = max((high - low) / 2 + _MARGIN * long_px / side_px, _LEAST / 2 * long_px / side_px)
    # A window that would reach beyond the view is moved inside it.
    first = min(max(middle - half, 0.0), max(1.0 - 2 * half, 0.0))
    last = min(first + 2 * half, 1.0)
    step_px = side_px / _GRID
    return round(math.floor(first * _GRID) * step_px), round(math.ceil(last * _GRID) * step_px)


def _shrunk(view: View) -> Map:
    """Return the view in grey levels, float32, at most _WIDTH_PX wide."""
    height, width = view.pixels.shape[:2]
    scale = min(1.0, _WIDTH_PX / width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(view.pixels, size, interpolation=cv2.INTER_AREA)
    grey: Map = cv2.GaussianBlur(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), (3, 3), 0).astype(np.float32)
    return grey
