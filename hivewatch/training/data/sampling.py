"""Crops to train on: which place of which picture, at which scale, with what pasted in.

A hornet at a hive takes about 5 % of the frame's longer side; the crops show it so, and up to three times
larger or smaller. Few apiaries have hornets in the data, so hornets are also cut out and laid into frames of
other hives; bees, shadows and empty ground are laid in the same way, so that having been pasted says nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from hivewatch.domain.frames import Box, Pixels
from hivewatch.errors import DataError
from hivewatch.training.data.augment import Rng, paste
from hivewatch.training.data.crops import Crop, cut, label
from hivewatch.training.data.cutouts import Cutout, Mask, cut_out, overlap
from hivewatch.training.data.dataset import HORNET, Picture, Shot
from hivewatch.training.recipe import Recipe

BEE = "honeybee"
LARGEST_SCALE = 2.5
LOOK_ALIKES = ("crabro", "mandarinia")  # shrunk to a few pixels nobody could tell them from velutina
LOOK_ALIKE_SHARE = 0.25
"""Of the photographs without Vespa velutina: how often one of another hornet is drawn."""
PHOTO_GROUND_SHARE = 0.35
"""Of the pasted crops: how often the ground is a photograph's. The hives' own ground is of few places."""


@dataclass(frozen=True, slots=True)
class HardNegative:
    """A place in a picture, by its index and normalised coordinates: where a false alarm was."""

    picture: int
    x: float
    y: float


class Sampler:
    """Draws crops by the recipe's shares from decoded pictures; the same generator gives the same crop."""

    def __init__(self, shots: Sequence[Shot], simulated: Sequence[Shot], recipe: Recipe) -> None:
        self.shots = shots
        self.recipe = recipe
        self.hard_negatives: Sequence[HardNegative] = ()
        hive = [shot for shot in shots if shot[0].domain == "hive"]
        self._hornets = _by(hive, _camera, lambda p: bool(p.hornet_boxes))
        self._empty = _by(hive, _camera, lambda p: not p.hornet)
        self._bees = _by(hive, _camera, lambda p: any(i.species == BEE for i in p.insects) and _known(p))
        self._any = _by(hive, _camera, _known)
        self._photos = _by(shots, lambda p: p.species, lambda p: p.domain != "hive")
        self._photos_without_hornets = _by(
            shots, lambda p: p.species, lambda p: p.domain == "photo" and not p.hornet
        )
        cutouts = cut_out(shots)
        self._hornet_cutouts = [cutout for cutout in cutouts if cutout.hornet]
        self._bee_cutouts = [cutout for cutout in cutouts if not cutout.hornet]
        self._simulated = list(simulated)
        self._kinds = self._drawable()

    def draw(self, rng: Rng) -> Crop:
        """Draw one crop, of a kind drawn by the recipe's shares."""
        kinds = {
            kind: share
            for kind, share in self._kinds.items()
            if kind != self._hard_negative or self.hard_negatives
        }
        weights = np.array(list(kinds.values()))
        return list(kinds)[rng.choice(len(kinds), p=weights / weights.sum())](rng)

    def _drawable(self) -> dict[Callable[[Rng], Crop], float]:
        """The kinds of crop there are pictures for, and their shares."""
        shares = self.recipe.shares
        kinds = {
            self._real_hornet: shares.hornet * bool(self._hornets),
            self._bee: shares.bee * bool(self._bees),
            self._background: shares.background * bool(self._any),
            self._hard_negative: shares.hard * bool(self._any),
            self._pasted: shares.pasted * bool(self._hornet_cutouts and self._empty),
            self._photo: shares.photo * bool(self._photos),
            self._simulation: shares.simulated * bool(self._simulated),
        }
        drawable: dict[Callable[[Rng], Crop], float] = {
            kind: share for kind, share in kinds.items() if share > 0
        }
        if not any(kind != self._hard_negative for kind in drawable):
            raise DataError(
                "no kind of crop has both pictures and a share in the recipe: box hornets or raise shares"
            )
        return drawable

    # --- kinds of crop ---

    def _real_hornet(self, rng: Rng) -> Crop:
        """A boxed hornet at a hive, somewhere in the crop."""
        picture, pixels = _pick(self._hornets, rng)
        return self._around(picture, pixels, picture.hornet_boxes, self._insect_px(rng), rng)

    def _bee(self, rng: Rng) -> Crop:
        """A boxed bee at a hive, as large as hornets are shown: size must not be what tells them apart."""
        picture, pixels = _pick(self._bees, rng)
        bees = [insect.box for insect in picture.insects if insect.species == BEE]
        return self._around(picture, pixels, bees, self._insect_px(rng) * rng.uniform(0.6, 1.1), rng)

    def _around(
        self, picture: Picture, pixels: Pixels, boxes: Sequence[Box], size_px: float, rng: Rng
    ) -> Crop:
        """A crop with one of ``boxes`` somewhere in it, its longer side ``size_px`` long."""
        box = boxes[int(rng.integers(len(boxes)))]
        height, width = pixels.shape[:2]
        side_px = max((box.x1 - box.x0) * width, (box.y1 - box.y0) * height)
        scale = min(size_px / side_px, LARGEST_SCALE)
        reach = max(0.0, self.recipe.crop_px / 2 / scale - side_px / 2)
        x = (box.x0 + box.x1) / 2 * width + rng.uniform(-reach, reach)
        y = (box.y0 + box.y1) / 2 * height + rng.uniform(-reach, reach)
        return self._cut(picture, pixels, (x, y), scale, rng)

    def _background(self, rng: Rng) -> Crop:
        """Any place of any hive frame whose hornets are boxed."""
        picture, pixels = _pick(self._any, rng)
        return self._anywhere(picture, pixels, rng)

    def _anywhere(self, picture: Picture, pixels: Pixels, rng: Rng) -> Crop:
        height, width = pixels.shape[:2]
        centre = rng.uniform(0, width), rng.uniform(0, height)
        return self._cut(picture, pixels, centre, self._frame_scale(pixels, rng), rng)

    def _hard_negative(self, rng: Rng) -> Crop:
        """A place where an earlier state of the model saw a hornet that is not there."""
        place = self.hard_negatives[int(rng.integers(len(self.hard_negatives)))]
        picture, pixels = self.shots[place.picture]
        height, width = pixels.shape[:2]
        scale = self._frame_scale(pixels, rng)
        reach = 0.35 * self.recipe.crop_px / scale
        x, y = place.x * width + rng.uniform(-reach, reach), place.y * height + rng.uniform(-reach, reach)
        return self._cut(picture, pixels, (x, y), scale, rng)

    def _pasted(self, rng: Rng) -> Crop:
        """Ground without hornets, into which hornets, bees, shadows and patches of other frames are laid."""
        crop = self._ground(rng)
        pixels, hornets, doubtful = crop.pixels, list(crop.hornets), list(crop.doubtful)
        for _ in range(int(rng.integers(1, 4))):
            cutout, size_px = self._something(rng)
            centre = tuple(rng.uniform(0, self.recipe.crop_px, 2))
            pixels, box = paste(pixels, cutout, centre, size_px, rng)
            if cutout.hornet and box is not None:
                (hornets if max(box[2] - box[0], box[3] - box[1]) > 0.7 * size_px else doubtful).append(box)
        return Crop(pixels, tuple(hornets), tuple(doubtful), label(hornets, doubtful))

    def _ground(self, rng: Rng) -> Crop:
        """A place without hornets: of a hive frame, or now and then of a photograph, for its other plants."""
        others = self._photos_without_hornets
        if others and rng.random() < PHOTO_GROUND_SHARE:
            picture, pixels = _pick(others, rng)
            height, width = pixels.shape[:2]
            scale = float(np.exp(rng.uniform(np.log(0.65), np.log(1.6))))
            return self._cut(picture, pixels, (rng.uniform(0, width), rng.uniform(0, height)), scale, rng)
        return self._anywhere(*_pick(self._empty, rng), rng)

    def _something(self, rng: Rng) -> tuple[Cutout, float]:
        """What to paste, and how long to show it: a hornet, or what may be taken for one."""
        size_px, kind = self._insect_px(rng), rng.random()
        hornet = self._hornet_cutouts[rng.integers(len(self._hornet_cutouts))]
        if kind < 0.5:
            return hornet, size_px
        if kind < 0.72 and self._bee_cutouts:
            return self._bee_cutouts[rng.integers(len(self._bee_cutouts))], size_px * rng.uniform(0.5, 1.1)
        if kind < 0.85:
            return _shadow(hornet.mask, rng), size_px
        picture, pixels = _pick(self._any, rng)
        return self._empty_ground(picture, pixels, hornet.mask, rng), size_px

    def _empty_ground(self, picture: Picture, pixels: Pixels, mask: Mask, rng: Rng) -> Cutout:
        """A piece of a hive frame that touches no hornet, in the outline ``mask``; plain if none is found."""
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

    def _photo(self, rng: Rng) -> Crop:
        """A close-up, as large as in a frame filled by it or shrunk towards what a hive camera sees."""
        picture, pixels = _pick(self._photos_of(rng), rng)
        height, width = pixels.shape[:2]
        least_px = 160 if picture.species in LOOK_ALIKES or picture.hornet else 60
        if picture.domain == "crop":
            long_side_px = rng.uniform(18, 80)
        else:
            most_px = max(least_px, min(self.recipe.frame_long_side_px, 1.15 * max(height, width)))
            long_side_px = np.exp(rng.uniform(np.log(least_px), np.log(most_px)))
        scale = long_side_px / max(height, width)
        if picture.hornet_boxes:
            crop = self._photo_at_box(picture, pixels, scale, rng)
        else:
            spread = max(0.0, 0.5 - 0.4 * self.recipe.crop_px / long_side_px) * 0.5
            centre = (
                width * (0.5 + rng.uniform(-spread, spread)),
                height * (0.5 + rng.uniform(-spread, spread)),
            )
            crop = self._cut(picture, pixels, centre, scale, rng)
        return crop

    def _photos_of(self, rng: Rng) -> dict[str, list[Shot]]:
        """The photographs to draw from: the hornet's, its look-alikes' or all others'."""
        kind = rng.random()
        wanted = (HORNET,) if kind < 0.4 else LOOK_ALIKES if kind < 0.4 + 0.6 * LOOK_ALIKE_SHARE else ()
        chosen = {species: self._photos[species] for species in wanted if species in self._photos}
        return chosen or self._photos

    def _photo_at_box(self, picture: Picture, pixels: Pixels, scale: float, rng: Rng) -> Crop:
        box = picture.hornet_boxes[rng.integers(len(picture.hornet_boxes))]
        height, width = pixels.shape[:2]
        side_px = max((box.x1 - box.x0) * width, (box.y1 - box.y0) * height)
        scale = max(scale, 20 / side_px)
        reach = abs(self.recipe.crop_px / scale - side_px) / 2 * 0.6
        x = (box.x0 + box.x1) / 2 * width + rng.uniform(-reach, reach)
        y = (box.y0 + box.y1) / 2 * height + rng.uniform(-reach, reach)
        return self._cut(picture, pixels, (x, y), scale, rng)

    def _simulation(self, rng: Rng) -> Crop:
        """A drawn frame, half the time around its hornet where it has one."""
        picture, pixels = self._simulated[rng.integers(len(self._simulated))]
        if picture.hornet_boxes and rng.random() < 0.6:
            return self._around(picture, pixels, picture.hornet_boxes, self._insect_px(rng), rng)
        return self._anywhere(picture, pixels, rng)

    # --- cutting ---

    def _insect_px(self, rng: Rng) -> float:
        """A hornet's longer side as the network is to see it."""
        size_px = self.recipe.hornet_px * np.exp(rng.normal(0, self.recipe.hornet_px_spread))
        return float(np.clip(size_px, 16, 0.6 * self.recipe.crop_px))

    def _frame_scale(self, pixels: Pixels, rng: Rng) -> float:
        """From pixels of the picture to those the network sees: of a whole frame, or of a closer look."""
        whole = min(1.0, self.recipe.frame_long_side_px / max(pixels.shape[:2]))
        return float(whole * np.exp(rng.normal(0.2, 0.35)))

    def _cut(
        self, picture: Picture, pixels: Pixels, centre: tuple[float, float], scale: float, rng: Rng
    ) -> Crop:
        return cut(picture, pixels, centre, scale, self.recipe.crop_px, rng)


def _shadow(mask: Mask, rng: Rng) -> Cutout:
    """What an insect of that outline in flight throws on the ground: it dims it and leaves its texture."""
    depth = rng.uniform(0.3, 0.65)
    soft = cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.5, 4.0))
    return Cutout(np.zeros((*mask.shape, 3), np.uint8), np.asarray(soft * depth, np.uint8), hornet=False)


def _by(
    shots: Iterable[Shot], key: Callable[[Picture], str], keep: Callable[[Picture], bool]
) -> dict[str, list[Shot]]:
    """The pictures that ``keep`` holds for, grouped by ``key``."""
    groups: dict[str, list[Shot]] = defaultdict(list)
    for shot in shots:
        if keep(shot[0]):
            groups[key(shot[0])].append(shot)
    return dict(groups)


def _known(picture: Picture) -> bool:
    """Whether every hornet on the picture is boxed, so that the rest of it is known to show none."""
    return not picture.hornet or bool(picture.hornet_boxes)


def _camera(picture: Picture) -> str:
    """The camera of a scene called ``camera_date`` or ``place_clip``: its first two words."""
    return "_".join(picture.origin.split("_")[:2])


def _pick(groups: dict[str, list[Shot]], rng: Rng) -> Shot:
    """Draw a group, by the square root of its size so that none drowns the others; then any of it."""
    names = list(groups)
    weights = np.sqrt([len(groups[name]) for name in names])
    group = groups[names[rng.choice(len(names), p=weights / weights.sum())]]
    return group[rng.integers(len(group))]
