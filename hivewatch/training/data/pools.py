"""Pools of pictures that crops are drawn from, grouped so that large groups do not dominate."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from hivewatch.training.data.augment import Rng
from hivewatch.training.data.dataset import Picture, Shot

BEE = "honeybee"

Pool = dict[str, list[Shot]]
"""The pictures of each group."""


class Pools:
    """The training pictures by use: hive frames grouped by camera, photographs by species."""

    def __init__(self, shots: Sequence[Shot]) -> None:
        hive = [shot for shot in shots if shot[0].domain == "hive"]
        self.hornets = _group(hive, _camera, lambda p: bool(p.hornet_boxes))
        self.unboxed = _group(hive, _camera, lambda p: p.hornet and not p.hornet_boxes)
        self.empty = _group(hive, _camera, lambda p: not p.hornet)
        self.bees = _group(hive, _camera, lambda p: any(i.species == BEE for i in p.insects) and _complete(p))
        self.complete = _group(hive, _camera, _complete)
        self.photos = _group(shots, lambda p: p.species, lambda p: p.domain != "hive")
        self.photos_without_hornets = _group(
            shots, lambda p: p.species, lambda p: p.domain == "photo" and not p.hornet
        )


def pick(pool: Pool, rng: Rng) -> Shot:
    """Draw a group, weighted by the square root of its size, and then any of its pictures."""
    names = list(pool)
    weights = np.sqrt([len(pool[name]) for name in names])
    group = pool[names[rng.choice(len(names), p=weights / weights.sum())]]
    return group[rng.integers(len(group))]


def _group(shots: Iterable[Shot], key: Callable[[Picture], str], keep: Callable[[Picture], bool]) -> Pool:
    """Return the pictures that ``keep`` accepts, grouped by ``key``."""
    groups: dict[str, list[Shot]] = defaultdict(list)
    for shot in shots:
        if keep(shot[0]):
            groups[key(shot[0])].append(shot)
    return dict(groups)


def _complete(picture: Picture) -> bool:
    """Return whether every hornet in the picture is boxed, so that the rest is known to show none."""
    return not picture.hornet or bool(picture.hornet_boxes)


def _camera(picture: Picture) -> str:
    """Return the camera of a scene called ``camera_date`` or ``hive_clip``: its first two words."""
    return "_".join(picture.origin.split("_")[:2])
