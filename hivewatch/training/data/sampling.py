"""Draw training crops: choose a picture, a position and a scale, and paste insects in.

A hornet at a hive takes about 5 % of the frame's longer side; the crops show it at that size, and up to three
times larger or smaller. Few apiaries in the data have hornets, so hornets are also cut out and pasted into
frames of other hives. Bees, shadows and empty ground are pasted too, so that traces of pasting do not mean
"hornet".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from hivewatch.domain.frames import Box, Pixels
from hivewatch.errors import DataError
from hivewatch.training.data.augment import Rng, paste
from hivewatch.training.data.crops import Crop, cut, label, whole
from hivewatch.training.data.cutouts import Cutout, Mask, cut_out, overlap
from hivewatch.training.data.dataset import Picture, Shot
from hivewatch.training.data.drawn import drawn_cutouts
from hivewatch.training.data.photographs import photo_crop
from hivewatch.training.data.pools import BEE, Pools, pick
from hivewatch.training.recipe import Recipe

LARGEST_SCALE = 2.5
PHOTO_GROUND_SHARE = 0.35
"""Share of pasted crops whose ground is a photograph: hive frames show the ground of few sites only."""

MULTIPLE_PX = 32
WHOLE_SCALES = (0.75, 1.15)
"""Scales of whole pictures, relative to that at which the daemon runs the network."""


@dataclass(frozen=True, slots=True)
class HardNegative:
    """A false alarm of an earlier state of the model: the picture's index and a normalised position."""

    picture: int
    x: float
    y: float


class Sampler:
    """Draws crops from decoded pictures by the recipe's shares; equal generators draw equal crops.

    ``hard_negatives`` may be replaced between epochs; while it is empty, none are drawn.
    """

    def __init__(self, shots: Sequence[Shot], simulated: Sequence[Shot], recipe: Recipe) -> None:
        self.shots = shots
        self.recipe = recipe
        self.hard_negatives: Sequence[HardNegative] = ()
        self._pools = Pools(shots)
        cutouts = cut_out(shots)
        if self._pools.unboxed:
            cutouts += drawn_cutouts()
        self._hornet_cutouts = [cutout for cutout in cutouts if cutout.hornet]
        self._bee_cutouts = [cutout for cutout in cutouts if not cutout.hornet]
        self._simulated = list(simulated)
        self._draw_of: dict[str, Callable[[Rng], Crop]] = {
            "hornet": self._real_hornet,
            "bee": self._bee,
            "background": self._background,
            "hard": self._hard_negative,
            "pasted": self._pasted,
            "photo": lambda rng: photo_crop(self._pools.photos, recipe, rng),
            "simulated": self._simulation,
            "whole": self._whole,
        }
        self._kinds = self._drawable()

    def draw(self, rng: Rng) -> Crop:
        """Draw a kind of crop by the recipe's shares, then a crop of this kind."""
        return self.draw_kind(rng)[1]

    def draw_kind(self, rng: Rng) -> tuple[str, Crop]:
        """Return what ``draw`` returns, and the kind of crop, named as in the recipe's shares."""
        shares = self.shares
        kind = list(shares)[rng.choice(len(shares), p=list(shares.values()))]
        return kind, self._draw_of[kind](rng)

    @property
    def shares(self) -> dict[str, float]:
        """The share of each kind of crop that can be drawn now; together 1."""
        kinds = {k: share for k, share in self._kinds.items() if k != "hard" or self.hard_negatives}
        weights = np.array(list(kinds.values()))
        return dict(zip(kinds, (weights / weights.sum()).tolist(), strict=True))

    def _drawable(self) -> dict[str, float]:
        """Return the kinds of crop that have pictures, with their weights.

        Whole pictures count by the share of hornet pictures without a box.
        """
        pools = self._pools
        shares = self.recipe.shares
        unboxed, boxed = (sum(map(len, pool.values())) for pool in (pools.unboxed, pools.hornets))
        has_pictures = {
            "hornet": bool(pools.hornets),
            "bee": bool(pools.bees),
            "background": bool(pools.complete),
            "hard": bool(pools.complete),
            "pasted": bool(self._hornet_cutouts and pools.empty),
            "photo": bool(pools.photos),
            "simulated": bool(self._simulated),
            "whole": unboxed / max(1, unboxed + boxed),
        }
        drawable = {k: w for k, has in has_pictures.items() if (w := getattr(shares, k) * has) > 0}
        if not set(drawable) - {"hard"}:
            raise DataError(
                "no kind of crop has both pictures and a share in the recipe: box hornets, or raise shares"
            )
        return drawable

    # --- kinds of crop ---

    def _real_hornet(self, rng: Rng) -> Crop:
        """Return a crop with a boxed hornet of a hive frame somewhere in it."""
        picture, pixels = pick(self._pools.hornets, rng)
        return self._crop_around(picture, pixels, picture.hornet_boxes, self._insect_px(rng), rng)

    def _bee(self, rng: Rng) -> Crop:
        """Return a crop with a boxed bee, about hornet-sized: size alone must not identify a hornet."""
        picture, pixels = pick(self._pools.bees, rng)
        bees = [insect.box for insect in picture.insects if insect.species == BEE]
        return self._crop_around(picture, pixels, bees, self._insect_px(rng) * rng.uniform(0.6, 1.1), rng)

    def _crop_around(
        self, picture: Picture, pixels: Pixels, boxes: Sequence[Box], size_px: float, rng: Rng
    ) -> Crop:
        """Return a crop with one of ``boxes`` somewhere in it, its longer side scaled to ``size_px``."""
        box = boxes[int(rng.integers(len(boxes)))]
        height, width = pixels.shape[:2]
        side_px = max((box.x1 - box.x0) * width, (box.y1 - box.y0) * height)
        scale = min(size_px / side_px, LARGEST_SCALE)
        reach = max(0.0, self.recipe.crop_px / 2 / scale - side_px / 2)
        x = (box.x0 + box.x1) / 2 * width + rng.uniform(-reach, reach)
        y = (box.y0 + box.y1) / 2 * height + rng.uniform(-reach, reach)
        return self._crop_at(picture, pixels, (x, y), scale, rng)

    def _background(self, rng: Rng) -> Crop:
        """Return a crop anywhere in a hive frame whose hornets are all boxed."""
        picture, pixels = pick(self._pools.complete, rng)
        return self._crop_anywhere(picture, pixels, rng)

    def _crop_anywhere(self, picture: Picture, pixels: Pixels, rng: Rng) -> Crop:
        height, width = pixels.shape[:2]
        centre = rng.uniform(0, width), rng.uniform(0, height)
        return self._crop_at(picture, pixels, centre, self._frame_scale(pixels, rng), rng)

    def _hard_negative(self, rng: Rng) -> Crop:
        """Return a crop around a false alarm of an earlier state of the model."""
        negative = self.hard_negatives[int(rng.integers(len(self.hard_negatives)))]
        picture, pixels = self.shots[negative.picture]
        height, width = pixels.shape[:2]
        scale = self._frame_scale(pixels, rng)
        reach = 0.35 * self.recipe.crop_px / scale
        x = negative.x * width + rng.uniform(-reach, reach)
        y = negative.y * height + rng.uniform(-reach, reach)
        return self._crop_at(picture, pixels, (x, y), scale, rng)

    def _pasted(self, rng: Rng) -> Crop:
        """Return ground without hornets with hornets, bees, shadows or patches of other frames pasted in."""
        crop = self._ground(rng)
        pixels, hornets, doubtful = crop.pixels, list(crop.hornets), list(crop.doubtful)
        for _ in range(int(rng.integers(1, 4))):
            cutout, size_px = self._something_to_paste(rng)
            centre = tuple(rng.uniform(0, self.recipe.crop_px, 2))
            pixels, box = paste(pixels, cutout, centre, size_px, rng)
            if cutout.hornet and box is not None:
                (hornets if max(box[2] - box[0], box[3] - box[1]) > 0.7 * size_px else doubtful).append(box)
        return Crop(pixels, tuple(hornets), tuple(doubtful), label(hornets, doubtful))

    def _ground(self, rng: Rng) -> Crop:
        """Return a crop without hornets: of a hive frame, or sometimes of a photograph, for variety."""
        others = self._pools.photos_without_hornets
        if others and rng.random() < PHOTO_GROUND_SHARE:
            picture, pixels = pick(others, rng)
            height, width = pixels.shape[:2]
            scale = float(np.exp(rng.uniform(np.log(0.65), np.log(1.6))))
            return self._crop_at(picture, pixels, (rng.uniform(0, width), rng.uniform(0, height)), scale, rng)
        return self._crop_anywhere(*pick(self._pools.empty, rng), rng)

    def _something_to_paste(self, rng: Rng) -> tuple[Cutout, float]:
        """Return a cutout to paste, and its longer side in pixels: a hornet, or a distractor."""
        size_px, kind = self._insect_px(rng), rng.random()
        hornet = self._hornet_cutouts[rng.integers(len(self._hornet_cutouts))]
        if kind < 0.5:
            return hornet, size_px
        if kind < 0.72 and self._bee_cutouts:
            return self._bee_cutouts[rng.integers(len(self._bee_cutouts))], size_px * rng.uniform(0.5, 1.1)
        if kind < 0.85:
            return _shadow(hornet.mask, rng), size_px
        picture, pixels = pick(self._pools.complete, rng)
        return self._empty_ground(picture, pixels, hornet.mask, rng), size_px

    def _empty_ground(self, picture: Picture, pixels: Pixels, mask: Mask, rng: Rng) -> Cutout:
        """Return hornet-free ground of a hive frame in the outline ``mask``; plain grey if none fits."""
        rows, columns = mask.shape
        height, width = pixels.shape[:2]
        for _ in range(10):
            if rows >= height or columns >= width:
                break
            x, y = int(rng.integers(0, width - columns)), int(rng.integers(0, height - rows))
            box = Box(x / width, y / height, (x + columns) / width, (y + rows) / height)
            if not any(overlap(box, hornet) for hornet in picture.hornet_boxes):
                return Cutout(pixels[y : y + rows, x : x + columns], mask, hornet=False)
        return Cutout(np.full((rows, columns, 3), rng.integers(0, 256), np.uint8), mask, hornet=False)

    def _whole(self, rng: Rng) -> Crop:
        """Return a whole picture: of a hornet that nobody has boxed, or as often without hornets."""
        hornets, empty = self._pools.unboxed, self._pools.empty
        picture, pixels = pick(hornets if not empty or rng.random() < 0.5 else empty, rng)
        seen_px = min(self.recipe.frame_long_side_px, max(pixels.shape[:2]))
        return whole(picture, pixels, seen_px * rng.uniform(*WHOLE_SCALES), MULTIPLE_PX, rng)

    def _simulation(self, rng: Rng) -> Crop:
        """Return a crop of a simulator frame, mostly around its hornet if it has one."""
        picture, pixels = self._simulated[rng.integers(len(self._simulated))]
        if picture.hornet_boxes and rng.random() < 0.6:
            return self._crop_around(picture, pixels, picture.hornet_boxes, self._insect_px(rng), rng)
        return self._crop_anywhere(picture, pixels, rng)

    # --- cutting ---

    def _insect_px(self, rng: Rng) -> float:
        """Return a random longer side for a hornet, in pixels of the crop."""
        size_px = self.recipe.hornet_px * np.exp(rng.normal(0, self.recipe.hornet_px_spread))
        return float(np.clip(size_px, 16, 0.6 * self.recipe.crop_px))

    def _frame_scale(self, pixels: Pixels, rng: Rng) -> float:
        """Return a random scale from the picture to the crop: of a whole frame, or of the second look."""
        whole = min(1.0, self.recipe.frame_long_side_px / max(pixels.shape[:2]))
        return float(whole * np.exp(rng.normal(0.2, 0.35)))

    def _crop_at(
        self, picture: Picture, pixels: Pixels, centre: tuple[float, float], scale: float, rng: Rng
    ) -> Crop:
        return cut(picture, pixels, centre, scale, self.recipe.crop_px, rng)


def _shadow(mask: Mask, rng: Rng) -> Cutout:
    """Return the shadow of an insect of this outline: it dims the ground and keeps its texture."""
    depth = rng.uniform(0.3, 0.65)
    soft = cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.5, 4.0))
    return Cutout(np.zeros((*mask.shape, 3), np.uint8), np.asarray(soft * depth, np.uint8), hornet=False)
