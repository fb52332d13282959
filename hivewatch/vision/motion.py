"""The motion gate: pass only views with motion to the network, narrowed to the moving parts."""

from __future__ import annotations

import math
from collections import deque

import cv2
import numpy as np

from hivewatch.config.sections import MotionConfig
from hivewatch.domain.frames import WHOLE, Box, Map, View

# Motion is detected at this width: noise averages out, and a hornet at a hive is still about 15 pixels long.
_WIDTH_PX = 320
# Time constant of the background: slow enough for a passing hornet, fast enough to follow the sun.
_BACKGROUND_S = 10.0
# Margin around the motion, and the smallest window, as shares of the view's longer side. A hornet is about
# 0.05 long, and the network needs its surroundings as well.
_MARGIN = 0.07
_LEAST = 0.3
# Window edges lie on a grid of this many steps along each side, so that the network sees few different sizes.
_GRID = 10


class MotionGate:
    """Compare each view with a running average of the views before it (the background).

    A view passes if enough of it differs, or did within the last ``hold_s``. It is narrowed to the parts that
    moved in that time. The first view passes too, and one every ``look_anyway_s`` without motion, so that a
    hornet that sits still is also seen.
    """

    def __init__(self, config: MotionConfig) -> None:
        """Start without a background. ``config``: thresholds and times, see ``config/hivewatch.yaml``."""
        self._config = config
        self._background: Map | None = None
        self._seen_at_s = -math.inf
        self._moves: deque[tuple[float, Box]] = deque()
        self._passed_at_s = -math.inf
        self.changed_share = 0.0
        """Share of the last view that differed from the background, 0..1."""

    def configure(self, config: MotionConfig) -> None:
        """Apply new thresholds; keep the background."""
        self._config = config

    def filter(self, view: View) -> View | None:
        """Return the part of ``view`` to classify, or None if the view is held back."""
        now_s = view.frame.monotonic_s
        # The background learns from every view, even if the gate is disabled or held open.
        moved = self._detect_motion(view, now_s)
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

    def _detect_motion(self, view: View, now_s: float) -> Box | None:
        """Update the background; return the box of what moved, normalised to the view, or None."""
        grey = _small_grey(view)
        if self._background is None or self._background.shape != grey.shape:
            self._background = grey
            self._seen_at_s = now_s
            self.changed_share = 1.0
            return WHOLE
        # A cloud changes all pixels by the same amount, which is not motion.
        difference = grey - self._background
        difference -= difference.mean()
        changed = (np.abs(difference) >= self._config.difference).astype(np.uint8)
        weight = 1 - math.exp(-max(0.0, now_s - self._seen_at_s) / _BACKGROUND_S)
        cv2.accumulateWeighted(grey, self._background, weight)
        self._seen_at_s = now_s
        self.changed_share = np.count_nonzero(changed) / changed.size
        if self.changed_share < self._config.changed_share:
            return None
        # Isolated pixels are noise: they count towards the changed share, but do not locate the motion.
        x, y, width, height = cv2.boundingRect(
            cv2.morphologyEx(changed, cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
        )
        rows, columns = grey.shape
        if not (width and height):
            return WHOLE
        return Box(x / columns, y / rows, (x + width) / columns, (y + height) / rows)


def _narrowed(view: View, moves: list[Box]) -> View:
    """Return the part of ``view`` that covers all ``moves`` (normalised to the view) and a margin."""
    height_px, width_px = view.pixels.shape[:2]
    long_px = max(height_px, width_px)
    left, right = _window_range(min(m.x0 for m in moves), max(m.x1 for m in moves), width_px, long_px)
    top, bottom = _window_range(min(m.y0 for m in moves), max(m.y1 for m in moves), height_px, long_px)
    if (right - left, bottom - top) == (width_px, height_px):
        return view
    return view.cut(left, top, right, bottom)


def _window_range(low: float, high: float, side_px: int, long_px: int) -> tuple[int, int]:
    """Return first and one past last pixel of the window around ``low``..``high`` along one side."""
    middle = (low + high) / 2
    half = max((high - low) / 2 + _MARGIN * long_px / side_px, _LEAST / 2 * long_px / side_px)
    # Shift a window that would reach beyond the view.
    first = min(max(middle - half, 0.0), max(1.0 - 2 * half, 0.0))
    last = min(first + 2 * half, 1.0)
    step_px = side_px / _GRID
    return round(math.floor(first * _GRID) * step_px), round(math.ceil(last * _GRID) * step_px)


def _small_grey(view: View) -> Map:
    """Return the view in grey, float32, smoothed, at most ``_WIDTH_PX`` wide."""
    height, width = view.pixels.shape[:2]
    scale = min(1.0, _WIDTH_PX / width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(view.pixels, size, interpolation=cv2.INTER_AREA)
    grey: Map = cv2.GaussianBlur(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), (3, 3), 0).astype(np.float32)
    return grey
