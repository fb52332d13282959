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
    """Return the target map of a crop: 1 (hornet), 0 (none) or NO_VOTE (border or unknown) for each cell.

    ``cells``: how many rows it has; cells are square. The centre of a cell decides. A hornet smaller than a
    cell still gets the cell at its centre.
    """
    stride = crop.pixels.shape[0] / cells
    columns = round(crop.pixels.shape[1] / stride)
    target = np.full((cells, columns), 0.0 if crop.boxed else NO_VOTE, np.float32)
    for box in (*crop.hornets, *crop.doubtful):
        target[_within(box, OUTER, stride, target.shape)] = NO_VOTE
    for box in crop.hornets:
        target[_within(box, INNER, stride, target.shape)] = 1.0
        row, column = (int((box[i] + box[i + 2]) / 2 / stride) for i in (1, 0))
        target[np.clip(row, 0, cells - 1), np.clip(column, 0, columns - 1)] = 1.0
    return target


def _within(box: PixelBox, scale: float, stride: float, shape: tuple[int, ...]) -> np.ndarray:
    """Return which cells have their centre inside ``box``, scaled by ``scale`` about its centre."""
    rows, columns = ((np.arange(cells) + 0.5) * stride for cells in shape)
    half_x, half_y = (box[2] - box[0]) / 2 * scale, (box[3] - box[1]) / 2 * scale
    across = np.abs(columns - (box[0] + box[2]) / 2) <= half_x
    down = np.abs(rows - (box[1] + box[3]) / 2) <= half_y
    return np.asarray(np.logical_and.outer(down, across), np.bool_)


def map_loss(cam: Tensor, target: Tensor, gamma: float, positives: int | None = None) -> Tensor:
    """Return the focal loss (Lin et al. 2017, section 3.2) over the cells of ``cam`` that have a target.

    ``cam``: logits, N x 1 x h x w; ``target``: N x h x w. The sum is divided by the number of positive cells,
    so that the many easy negatives do not dominate: ``positives``, for a part of a batch those of all of it.
    """
    logits, wanted = cam[:, 0], target.clamp(min=0)
    voting = (target >= 0).float()
    right = torch.sigmoid(torch.where(wanted > 0.5, logits, -logits))
    losses = cross_entropy(logits, wanted, reduction="none") * (1 - right) ** gamma * voting
    return losses.sum() / max(1, int((target == 1).sum()) if positives is None else positives)


def pooled_loss(logits: Tensor, label: Tensor, labelled: int | None = None) -> Tensor:
    """Return the cross-entropy of the pooled logits (N) over the crops with a label (1 or 0, not NO_VOTE).

    The sum is divided by the number of those: ``labelled``, for a part of a batch that of all of it.
    """
    known = label >= 0
    if not bool(known.any()):
        return logits.sum() * 0
    share = 1.0 if labelled is None else int(known.sum()) / labelled
    return cross_entropy(logits[known], label[known]) * share
