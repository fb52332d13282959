"""What a fixed camera keeps seeing: its texture and its lasting edges, learnt slowly.

A helper of ``camera_checks``. Time is that of the frames, in seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from hivewatch.config.sections import CameraChecksConfig
from hivewatch.domain.frames import Map, Pixels

# The sun moves shadows at about this pace; what stays for less is no part of the scenery.
_MEMORY_S = 600.0
# Before so much was seen a comparison would be one with chance.
_FAMILIAR_S = 60.0
# Faults of the view last for minutes; to look more often would only cost power.
_LOOK_EVERY_S = 2.0
# After a gap (a night, an outage) one picture counts for no more than this.
_LONGEST_STEP_S = 30.0
_TILE_PX = 10
# Gradients are shares of the mean brightness, so that dusk leaves them alone; below this is noise.
_NOISE = 0.02
# A tile that keeps less than this share of its gradients has lost its texture.
_KEPT = 0.3
# Wind shakes a camera, and its mount gives a little with the weather.
_SHAKE_PX = 3

Edges = npt.NDArray[np.complex64]


@dataclass(slots=True)
class _Memory:
    edges: Edges
    texture: Map
    at_s: float
    seen_s: float = 0.0


class Scenery:
    """Running averages over one camera's pictures, and how a picture departs from them."""

    def __init__(self, config: CameraChecksConfig) -> None:
        """``config``: ``covered_share`` and ``moved_likeness`` count."""
        self._config = config
        self._memory: _Memory | None = None
        self._looked_at_s = -math.inf
        self._verdict = (False, False)

    def look(self, grey: Pixels, now_s: float) -> tuple[bool, bool]:
        """Tell whether the view is covered, and whether it is another one; learn from it if it is neither.

        ``grey`` is uint8, rows x columns, some 160 columns; another size means learning anew.
        """
        if now_s - self._looked_at_s >= _LOOK_EVERY_S:
            self._looked_at_s = now_s
            edges, texture = _describe(grey)
            if self._memory is None or self._memory.edges.shape != edges.shape:
                self._memory = _Memory(edges, texture, now_s)
            self._verdict = self._compare(self._memory, edges, texture)
            if not any(self._verdict):
                _learn(self._memory, edges, texture, now_s)
        return self._verdict

    def _compare(self, memory: _Memory, edges: Edges, texture: Map) -> tuple[bool, bool]:
        if texture.max() < 2 * _NOISE:
            return True, False
        if memory.seen_s < _FAMILIAR_S:
            return False, False
        textured = memory.texture >= 2 * _NOISE
        lost = np.count_nonzero(textured & (texture < _KEPT * memory.texture))
        if lost >= self._config.covered_share * np.count_nonzero(textured):
            return True, False
        return False, likeness(memory.edges, edges) < self._config.moved_likeness


def likeness(known: Edges, edges: Edges) -> float:
    """Return how sharply two views coincide: 1 for the same, about 0.02 for different or shifted ones.

    Phase correlation of edge directions: the height of the peak at no shift, in standard deviations of the
    correlation over all shifts and as a share of what it could be. After C. D. Kuglin and D. C. Hines, "The
    phase correlation image alignment method", 1975, and V. Argyriou and T. Vlachos, "Estimation of
    sub-pixel motion using gradient cross-correlation", 2003, section 2.
    """
    spectrum = np.fft.fft2(known).conj() * np.fft.fft2(edges)
    spectrum /= np.abs(spectrum) + 1e-9
    correlation = np.fft.ifft2(spectrum).real
    reach = range(-_SHAKE_PX, _SHAKE_PX + 1)
    near = correlation.take(reach, axis=0, mode="wrap").take(reach, axis=1, mode="wrap")
    return float(near.max() / (correlation.std() * math.sqrt(correlation.size)))


def _learn(memory: _Memory, edges: Edges, texture: Map, now_s: float) -> None:
    step_s = min(max(0.0, now_s - memory.at_s), _LONGEST_STEP_S)
    memory.at_s = now_s
    memory.seen_s += step_s
    weight = step_s / min(max(memory.seen_s, 1.0), _MEMORY_S)
    memory.edges += weight * (edges - memory.edges)
    memory.texture += weight * (texture - memory.texture)


def _describe(grey: Pixels) -> tuple[Edges, Map]:
    """Return the direction of each pixel's edge, 0 where there is none, and each tile's mean gradient.

    The angle is doubled, so that light and dark may change places, as at dusk or beside a moving shadow.
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
