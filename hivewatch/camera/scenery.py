"""The scenery in front of a fixed camera, learnt slowly as texture and lasting edges.

Used by ``checks`` to detect a covered or a moved camera. All times are those of the frames, in seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from hivewatch.config.sections import CameraChecksConfig
from hivewatch.domain.frames import Map, Pixels

# Shadows move with the sun at about this pace; what stays for less does not belong to the scenery.
_MEMORY_S = 600.0
# Less than this is too little to compare with.
_LEARNING_S = 60.0
# A covered or moved view lasts for minutes; checking more often would only cost power.
_CHECK_PERIOD_S = 2.0
# After a gap (a night, an outage) one picture counts for at most this long.
_LONGEST_STEP_S = 30.0
_TILE_PX = 10
# Gradients are relative to the mean brightness, so that dusk does not change them; below this is noise.
_NOISE = 0.02
# A tile that keeps less than this share of its gradient has lost its texture.
_KEPT_SHARE = 0.3
# Wind shakes a camera, and its mount moves a little with the weather.
_SHAKE_PX = 3

Edges = npt.NDArray[np.complex64]


@dataclass(slots=True)
class _Memory:
    edges: Edges
    texture: Map
    at_s: float
    seen_s: float = 0.0


class Scenery:
    """Running averages of one camera's pictures, which new pictures are compared with."""

    def __init__(self, config: CameraChecksConfig) -> None:
        """Of ``config`` only ``covered_share`` and ``moved_likeness`` are used."""
        self._config = config
        self._memory: _Memory | None = None
        self._checked_at_s = -math.inf
        self._result = (False, False)

    def check(self, grey: Pixels, now_s: float) -> tuple[bool, bool]:
        """Return whether the view is covered, and whether it has moved; learn from it if it is neither.

        ``grey`` is uint8, rows x columns, about 160 columns wide. A new size restarts the learning.
        """
        if now_s - self._checked_at_s >= _CHECK_PERIOD_S:
            self._checked_at_s = now_s
            edges, texture = _describe(grey)
            if self._memory is None or self._memory.edges.shape != edges.shape:
                self._memory = _Memory(edges, texture, now_s)
            self._result = self._compare(self._memory, edges, texture)
            if not any(self._result):
                _learn(self._memory, edges, texture, now_s)
        return self._result

    def _compare(self, memory: _Memory, edges: Edges, texture: Map) -> tuple[bool, bool]:
        if texture.max() < 2 * _NOISE:
            return True, False
        if memory.seen_s < _LEARNING_S:
            return False, False
        textured = memory.texture >= 2 * _NOISE
        lost = np.count_nonzero(textured & (texture < _KEPT_SHARE * memory.texture))
        if lost >= self._config.covered_share * np.count_nonzero(textured):
            return True, False
        return False, likeness(memory.edges, edges) < self._config.moved_likeness


def likeness(known: Edges, edges: Edges) -> float:
    """Return how well two views coincide: 1 for identical ones, about 0.02 for different or shifted ones.

    Phase correlation of edge directions: the height of the peak at zero shift, in standard deviations of the
    correlation over all shifts, as a share of the maximum possible. After C. D. Kuglin and D. C. Hines, "The
    phase correlation image alignment method", 1975, and V. Argyriou and T. Vlachos, "Estimation of
    sub-pixel motion using gradient cross-correlation", 2003, section 2.
    """
    spectrum = np.fft.fft2(known).conj() * np.fft.fft2(edges)
    spectrum /= np.abs(spectrum) + 1e-9
    correlation = np.fft.ifft2(spectrum).real
    shifts = range(-_SHAKE_PX, _SHAKE_PX + 1)
    near = correlation.take(shifts, axis=0, mode="wrap").take(shifts, axis=1, mode="wrap")
    return float(near.max() / (correlation.std() * math.sqrt(correlation.size)))


def _learn(memory: _Memory, edges: Edges, texture: Map, now_s: float) -> None:
    step_s = min(max(0.0, now_s - memory.at_s), _LONGEST_STEP_S)
    memory.at_s = now_s
    memory.seen_s += step_s
    weight = step_s / min(max(memory.seen_s, 1.0), _MEMORY_S)
    memory.edges += weight * (edges - memory.edges)
    memory.texture += weight * (texture - memory.texture)


def _describe(grey: Pixels) -> tuple[Edges, Map]:
    """Return the edge direction of each pixel (0 without an edge) and the mean gradient of each tile.

    The angle is doubled, so that light and dark may swap sides, as at dusk or beside a moving shadow.
    """
    smooth = cv2.GaussianBlur(grey, (3, 3), 0)
    scale = 0.25 / (float(smooth.mean()) + 1)
    across = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, scale=scale)
    down = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, scale=scale)
    strength = cv2.magnitude(across, down)
    edges = (across + 1j * down) ** 2 / (strength**2 + _NOISE**2)
    tiles = (max(1, grey.shape[1] // _TILE_PX), max(1, grey.shape[0] // _TILE_PX))
    texture = cv2.resize(strength, tiles, interpolation=cv2.INTER_AREA)
    return edges.astype(np.complex64), np.asarray(texture, np.float32).reshape(tiles[::-1])
