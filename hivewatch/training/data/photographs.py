"""Crops of photographs: close-ups of hornets and of similar insects."""

from __future__ import annotations

import numpy as np

from hivewatch.domain.frames import Pixels
from hivewatch.training.data.augment import Rng
from hivewatch.training.data.crops import Crop, cut
from hivewatch.training.data.dataset import HORNET, Picture
from hivewatch.training.data.pools import Pool, pick
from hivewatch.training.recipe import Recipe

LOOK_ALIKES = ("crabro", "mandarinia")  # at a few pixels they look like velutina
LOOK_ALIKE_SHARE = 0.25
"""Share of other hornets among the photographs drawn without Vespa velutina."""


def photo_crop(photos: Pool, recipe: Recipe, rng: Rng) -> Crop:
    """Return a close-up, at a scale from filling the frame down to that of a hive camera."""
    picture, pixels = pick(_photos_of(photos, rng), rng)
    height, width = pixels.shape[:2]
    least_px = 160 if picture.species in LOOK_ALIKES or picture.hornet else 60
    if picture.domain == "crop":
        long_side_px = rng.uniform(18, 80)
    else:
        most_px = max(least_px, min(recipe.frame_long_side_px, 1.15 * max(height, width)))
        long_side_px = np.exp(rng.uniform(np.log(least_px), np.log(most_px)))
    scale = long_side_px / max(height, width)
    if picture.hornet_boxes:
        crop = _photo_at_box(picture, pixels, scale, recipe, rng)
    else:
        spread = max(0.0, 0.5 - 0.4 * recipe.crop_px / long_side_px) * 0.5
        centre = (
            width * (0.5 + rng.uniform(-spread, spread)),
            height * (0.5 + rng.uniform(-spread, spread)),
        )
        crop = cut(picture, pixels, centre, scale, recipe.crop_px, rng)
    return crop


def _photos_of(photos: Pool, rng: Rng) -> Pool:
    """Return the photographs to draw from: of the hornet, of its look-alikes, or all."""
    kind = rng.random()
    wanted = (HORNET,) if kind < 0.4 else LOOK_ALIKES if kind < 0.4 + 0.6 * LOOK_ALIKE_SHARE else ()
    chosen = {species: photos[species] for species in wanted if species in photos}
    return chosen or photos


def _photo_at_box(picture: Picture, pixels: Pixels, scale: float, recipe: Recipe, rng: Rng) -> Crop:
    box = picture.hornet_boxes[rng.integers(len(picture.hornet_boxes))]
    height, width = pixels.shape[:2]
    side_px = max((box.x1 - box.x0) * width, (box.y1 - box.y0) * height)
    scale = max(scale, 20 / side_px)
    reach = abs(recipe.crop_px / scale - side_px) / 2 * 0.6
    x = (box.x0 + box.x1) / 2 * width + rng.uniform(-reach, reach)
    y = (box.y0 + box.y1) / 2 * height + rng.uniform(-reach, reach)
    return cut(picture, pixels, (x, y), scale, recipe.crop_px, rng)
