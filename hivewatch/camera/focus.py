"""Sharpness and brightness of a picture, for aiming a camera (preview) and for the doctor."""

from __future__ import annotations

import cv2
import numpy as np

from hivewatch.domain.frames import Map, Pixels

SHARP = 0.48
"""Lowest sharpness of a picture in focus. Forty pictures of hives in focus had 0.57 to 0.83; blurred by 2
pixels (standard deviation, at a long side of 640) and with sensor noise added, they had 0.27 to 0.45."""

DARK, BRIGHT = 40.0, 215.0
"""A picture whose mean grey level is between these is lit well enough to show a hornet."""

# The network's input is scaled to this: finer blur does not matter, and noise is averaged out.
_LONG_SIDE_PX = 640
_BLUR_PX = 9
# Noise is sharp in every picture, so it is smoothed, and only the steepest edges count.
_SMOOTH_PX = 1.0
_STEEPEST = 0.99


def sharpness(pixels: Pixels) -> float:
    """Return 0..1: the share of its steepest edges that an RGB picture loses when it is blurred.

    The lower of the shares across and down counts. A sharp picture loses most of its edges, a blurred one has
    little to lose, and a picture of one colour has 0. After F. Crété, T. Dolmiere, P. Ladret and M. Nicolas,
    "The blur effect: perception and estimation with a new no-reference perceptual blur metric", 2007.
    """
    grey = np.asarray(cv2.GaussianBlur(_grey(pixels), (0, 0), _SMOOTH_PX), np.float32)
    return min(_lost_share(grey, axis=0), _lost_share(grey, axis=1))


def light(pixels: Pixels) -> float:
    """Return the mean grey level of an RGB picture, 0..255."""
    return float(_grey(pixels).mean())


def _grey(pixels: Pixels) -> Map:
    height, width = pixels.shape[:2]
    scale = min(1.0, _LONG_SIDE_PX / max(height, width))
    size = (max(2, round(width * scale)), max(2, round(height * scale)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.float32)


def _lost_share(grey: Map, axis: int) -> float:
    blurred = cv2.blur(grey, (1, _BLUR_PX) if axis == 0 else (_BLUR_PX, 1))
    edges = np.abs(np.diff(grey, axis=axis))
    steepest = edges >= np.quantile(edges, _STEEPEST)
    total = float(edges[steepest].sum())
    left = float(np.abs(np.diff(blurred, axis=axis))[steepest].sum())
    return max(0.0, 1 - left / total) if total else 0.0
