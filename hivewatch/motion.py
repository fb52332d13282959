"""The motion gate: only frames in which something moves are worth the network's time."""

from __future__ import annotations

import math

import cv2
import numpy as np

from hivewatch.config import MotionConfig
from hivewatch.domain import Map, View

# Motion is looked for at this width: a hornet at a hive is still some 15 pixels long, noise is averaged out.
_WIDTH_PX = 320
# The background forgets at this rate: faster than the sun moves, slower than a hornet passes.
_BACKGROUND_S = 10.0


class MotionGate:
    """Compare each view with a running average of those before it.

    A view passes when enough of it has changed, for a while after that, at the very first, and now and then
    without any motion, so that a hornet that sits still is seen as well.
    """

    def __init__(self, config: MotionConfig) -> None:
        """``config``: thresholds and times; see the manual."""
        self._config = config
        self._background: Map | None = None
        self._seen_at_s = -math.inf
        self._moved_at_s = -math.inf
        self._passed_at_s = -math.inf
        self.passed = 0
        self.held_back = 0

    def configure(self, config: MotionConfig) -> None:
        """Take over new thresholds; what the background has learnt stays."""
        self._config = config

    def passes(self, view: View) -> bool:
        """Tell whether ``view`` is to be classified, and count it either way."""
        now_s = view.frame.monotonic_s
        # The background learns from every view, also while the gate is switched off or held open.
        if self._changed_share(view, now_s) >= self._config.changed_share:
            self._moved_at_s = now_s
        passes = (
            not self._config.enabled
            or now_s - self._moved_at_s <= self._config.hold_s
            or now_s - self._passed_at_s >= self._config.look_anyway_s
        )
        if passes:
            self._passed_at_s = now_s
        self.passed += passes
        self.held_back += not passes
        return passes

    def _changed_share(self, view: View, now_s: float) -> float:
        grey = _shrunk(view)
        if self._background is None or self._background.shape != grey.shape:
            self._background = grey
            self._seen_at_s = now_s
            return 1.0
        # A cloud changes all pixels alike; that is no motion.
        difference = grey - self._background
        difference -= difference.mean()
        changed = np.count_nonzero(np.abs(difference) >= self._config.difference)
        weight = 1 - math.exp(-max(0.0, now_s - self._seen_at_s) / _BACKGROUND_S)
        cv2.accumulateWeighted(grey, self._background, weight)
        self._seen_at_s = now_s
        return changed / grey.size


def _shrunk(view: View) -> Map:
    """Return the view in grey levels, float32, at most _WIDTH_PX wide."""
    height, width = view.pixels.shape[:2]
    scale = min(1.0, _WIDTH_PX / width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(view.pixels, size, interpolation=cv2.INTER_AREA)
    grey: Map = cv2.GaussianBlur(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), (3, 3), 0).astype(np.float32)
    return grey
