"""The losses: of the map against the boxes, and of the pooled logit against the label."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from hivewatch.domain.frames import Map
from hivewatch.training.data.crops import Crop, PixelBox

NO_VOTE = -1.0
INNER, OUTER = 0.75, 1.25
"""Scales of a hornet's box: cells inside the inner one are positive, outside the outer one negative."""


def map_target(crop: Crop, cells: int) -> Map:
    """Return the target map of a crop: cells x cells of 1 (hornet), 0 (none) or NO_VOTE (border or unknown).

    The centre of a cell decides. A hornet smaller than a cell still gets the cell at its centre.
    """
    target = np.full((cells, cells), 0.0 if crop.boxed else NO_VOTE, np.float32)
    stride = crop.pixels.shape[0] / cells
    for box in (*crop.hornets, *crop.doubtful):
        target[_within(box, OUTER, stride, cells)] = NO_VOTE
    for box in crop.hornets:
        target[_within(box, INNER, stride, cells)] = 1.0
        row, column = (int(np.clip((box[i] + box[i + 2]) / 2 / stride, 0, cells - 1)) for i in (1, 0))
        target[row, column] = 1.0
    return target


def _within(box: PixelBox, scale: float, stride: float, cells: int) -> np.ndarray:
    """Return which cells have their centre inside ``box``, scaled by ``scale`` about its centre."""
    centres = (np.arange(cells) + 0.5) * stride
    half_x, half_y = (box[2] - box[0]) / 2 * scale, (box[3] - box[1]) / 2 * scale
    across = np.abs(centres - (box[0] + box[2]) / 2) <= half_x
    down = np.abs(centres - (box[1] + box[3]) / 2) <= half_y
    return np.asarray(np.logical_and.outer(down, across), np.bool_)


def map_loss(cam: Tensor, target: Tensor, gamma: float) -> Tensor:
    """Return the focal loss (Lin et al. 2017, section 3.2) over the cells of ``cam`` that have a target.

    ``cam``: logits, N x 1 x h x w; ``target``: N x h x w. The sum is divided by the number of positive cells,
    so that the many easy negatives do not dominate.
    """
    logits, wanted = cam[:, 0], target.clamp(min=0)
    voting = (target >= 0).float()
    right = torch.sigmoid(torch.where(wanted > 0.5, logits, -logits))
    losses = cross_entropy(logits, wanted, reduction="none") * (1 - right) ** gamma * voting
    return losses.sum() / (target == 1).sum().clamp(min=1)


def pooled_loss(logits: Tensor, label: Tensor) -> Tensor:
    """Return the cross-entropy of the pooled logits (N) over the crops with a label (1 or 0, not NO_VOTE)."""
    known = label >= 0
    if not bool(known.any()):
        return logits.sum() * 0
    return cross_entropy(logits[known], label[known])
