"""Cutouts of the simulator's insects, to paste into pictures if nobody has boxed a hornet to cut out.

Labels alone do not say what in a picture is the hornet: pictures of a fixed camera differ in light and day,
too, and a network learns that instead. A drawing at a known position says what to look for.
"""

from __future__ import annotations

import numpy as np

from hivewatch.camera.simulator.insects import Drawing, draw_insects
from hivewatch.training.data.cutouts import Cutout

LENGTH_PX = 96
SOLID = 128
MARGIN = 0.15


def drawn_cutouts() -> list[Cutout]:
    """Return hornets and bees from every side and in every phase, bees of dark to yellow races."""
    return [_cutout(drawing) for drawing in draw_insects(LENGTH_PX)]


def _cutout(drawing: Drawing) -> Cutout:
    texture = drawing.texture
    rows, columns = np.nonzero(texture[..., 3] >= SOLID)
    margin = round(MARGIN * max(np.ptp(rows), np.ptp(columns)))  # wings reach farther, but are nearly clear
    top, left = max(0, rows.min() - margin), max(0, columns.min() - margin)
    part = texture[top : rows.max() + 1 + margin, left : columns.max() + 1 + margin]
    mask = part[..., 3]
    # The simulator multiplies colours by the opacity.
    colours = part[..., :3] * (255.0 / np.maximum(mask, 1))[..., None]
    return Cutout(np.asarray(np.clip(colours, 0, 255), np.uint8), mask.copy(), hornet=drawing.is_hornet)
