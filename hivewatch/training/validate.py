"""Validation during training: measure the network on whole frames of the validation splits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tqdm import tqdm

from hivewatch.domain.frames import Map, Point
from hivewatch.training.data.dataset import Picture, Shot
from hivewatch.training.evaluation.localization import points_at
from hivewatch.training.evaluation.metrics import auroc, recall_at_fpr
from hivewatch.training.model.losses import pooled_loss
from hivewatch.training.model.network import HornetNet, mixed_precision, normalise
from hivewatch.training.recipe import Recipe
from hivewatch.vision.classifier import fit_to_input

MULTIPLE_PX = 32


@dataclass(frozen=True, slots=True)
class Validation:
    """The measures of each split, and ``merit``, the one number that epochs are compared by."""

    splits: dict[str, dict[str, float]]
    merit: float
    loss: float | None = None
    """The mean cross-entropy of the pooled score over all pictures; None in checkpoints before 0.4."""
    accuracy: float | None = None
    """The share of all pictures that the sign of the pooled score judges rightly."""

    def __str__(self) -> str:
        parts = [
            f"{name} " + " ".join(f"{k}={v:.3f}" for k, v in m.items()) for name, m in self.splits.items()
        ]
        whole = [f"validation loss {self.loss:.3f}, accuracy {self.accuracy:.1%}"] if self.loss else []
        return "; ".join([*whole, *parts, f"merit={self.merit:.4f}"])


def validate(net: HornetNet, shots: Sequence[Shot], recipe: Recipe) -> Validation:
    """Return AUROC, recall at 5 % false positives and share of peaks on a hornet per split, and the loss.

    ``merit`` is the mean of all three over the splits, so that none can improve at the cost of another.
    """
    results: dict[str, list[tuple[Picture, float, Point]]] = {}
    for shot, logit, cam in frame_maps(net, shots, recipe, "validate"):
        results.setdefault(shot[0].split, []).append((shot[0], logit, peak(cam)))
    splits = {}
    for split, rows in sorted(results.items()):
        scores, hornet = np.array([r[1] for r in rows]), np.array([r[0].hornet for r in rows])
        boxed = [(picture, peak) for picture, _, peak in rows if picture.hornet_boxes]
        pointing = np.mean([points_at(peak, p.hornet_boxes) for p, peak in boxed]) if boxed else np.nan
        measures = {
            "auroc": auroc(scores, hornet),
            "recall5": recall_at_fpr(scores, hornet, 0.05),
            "pointing": float(pointing),
        }
        splits[split] = {name: value for name, value in measures.items() if np.isfinite(value)}
    values = [value for measures in splits.values() for value in measures.values()]
    logits = torch.tensor([row[1] for rows in results.values() for row in rows])
    truth = torch.tensor([float(row[0].hornet) for rows in results.values() for row in rows])
    return Validation(
        splits,
        float(np.mean(values)) if values else 0.0,
        loss=float(pooled_loss(logits, truth)),
        accuracy=float(((logits > 0) == (truth > 0.5)).float().mean()),
    )


def frame_maps(
    net: HornetNet, shots: Sequence[Shot], recipe: Recipe, task: str
) -> Iterator[tuple[Shot, float, Map]]:
    """Yield each picture with its pooled logit and its map, scaled as the daemon scales a whole frame."""
    device = net.scale.device
    for shot in tqdm(shots, desc=task, leave=False, disable=None):
        fitted = fit_to_input(shot[1], recipe.frame_long_side_px, MULTIPLE_PX)
        pixels = torch.from_numpy(fitted).permute(2, 0, 1)[None].to(device)
        with torch.inference_mode(), mixed_precision(device, wanted=recipe.mixed_precision):
            cam = net.forward_map(normalise(pixels).contiguous(memory_format=torch.channels_last)).float()
        yield shot, float(net.pool(cam)), cam[0, 0].cpu().numpy()


def peak(cam: Map) -> Point:
    """Return the centre of the highest cell of a map, normalised to the picture."""
    row, column = np.unravel_index(int(np.argmax(cam)), cam.shape)
    return Point((float(column) + 0.5) / cam.shape[1], (float(row) + 0.5) / cam.shape[0])
