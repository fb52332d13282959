"""The forward and the backward pass of one batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from hivewatch.training.batches import Stack
from hivewatch.training.evaluation.metrics import Floats
from hivewatch.training.model.losses import map_loss, pooled_loss
from hivewatch.training.model.network import mixed_precision, normalise
from hivewatch.training.run import Run


def forward_backward(run: Run, batch: Sequence[Stack]) -> Floats:
    """Compute the gradients of one batch; return its map loss, pooled loss, and right and labelled crops."""
    recipe, measured = run.recipe, np.zeros(4)
    positives = sum(int((stack.targets == 1).sum()) for stack in batch)
    labelled = sum(int((stack.labels >= 0).sum()) for stack in batch)
    run.optimiser.zero_grad(set_to_none=True)
    for stack in batch:
        pixels, target, label = (t.to(run.device) for t in (stack.pixels, stack.targets, stack.labels))
        with mixed_precision(run.device, wanted=recipe.mixed_precision):
            cam = run.net.forward_map(normalise(pixels).contiguous(memory_format=torch.channels_last)).float()
        pooled = run.net.pool(cam)
        on_map = map_loss(cam, target, recipe.focal_gamma, positives)
        on_pooled = pooled_loss(pooled, label, labelled)
        (on_map + recipe.pooled_weight * on_pooled).backward()  # type: ignore[no-untyped-call]
        right = int(((pooled > 0) == (label > 0.5))[label >= 0].sum())
        measured += float(on_map.detach()), float(on_pooled.detach()), right, int((label >= 0).sum())
    return measured
