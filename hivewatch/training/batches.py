"""Batches of training crops, prepared on other threads while the network trains."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hivewatch.training.data.augment import augment
from hivewatch.training.data.crops import Crop
from hivewatch.training.data.sampling import Sampler
from hivewatch.training.model.losses import NO_VOTE, map_target

BATCHES_AHEAD = 3
MOST_PIXELS = 2**21
"""Pixels of whole pictures that go through the network at once; a batch of them would not fit into memory."""


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """Crops of one size: pixels (N x 3 x H x W), target maps (N x h x w) and labels (N; NO_VOTE: unknown)."""

    pixels: Tensor
    targets: Tensor
    labels: Tensor


def batches(sampler: Sampler, stride_px: int, epoch: int, first: int = 0) -> Iterator[list[Stack]]:
    """Yield the epoch's batches from number ``first`` on as stacks; a map cell is ``stride_px`` wide."""
    recipe = sampler.recipe
    starts = range(first * recipe.batch, recipe.crops_per_epoch, recipe.batch)
    with ThreadPoolExecutor(recipe.workers) as pool:
        ahead = deque[Future[list[Stack]]]()
        try:
            for start in starts:
                ahead.append(pool.submit(_batch, sampler, stride_px, epoch, start))
                if len(ahead) > BATCHES_AHEAD:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()


def _batch(sampler: Sampler, stride_px: int, epoch: int, start: int) -> list[Stack]:
    """Return one batch. Each crop has its own generator, so threads and batch size do not change it."""
    recipe = sampler.recipe
    by_size: dict[tuple[int, ...], list[Crop]] = {}
    for index in range(start, min(start + recipe.batch, recipe.crops_per_epoch)):
        rng = np.random.default_rng((recipe.seed, epoch, index))
        crop = sampler.draw(rng)
        drawn = Crop(augment(crop.pixels, rng), crop.hornets, crop.doubtful, crop.hornet, crop.boxed)
        by_size.setdefault(crop.pixels.shape[:2], []).append(drawn)
    stacks = []
    for (height, width), crops in by_size.items():
        most = recipe.batch if height == width == recipe.crop_px else max(1, MOST_PIXELS // (height * width))
        stacks += [_stack(crops[i : i + most], stride_px) for i in range(0, len(crops), most)]
    return stacks


def _stack(crops: Sequence[Crop], stride_px: int) -> Stack:
    pixels = torch.from_numpy(np.stack([crop.pixels for crop in crops])).permute(0, 3, 1, 2)
    targets = np.stack([map_target(crop, crop.pixels.shape[0] // stride_px) for crop in crops])
    labels = [NO_VOTE if crop.hornet is None else float(crop.hornet) for crop in crops]
    return Stack(pixels, torch.from_numpy(targets), torch.tensor(labels))
