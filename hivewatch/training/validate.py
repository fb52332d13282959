"""How a network does on frames it does not train on, and where it sees hornets that are not there."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from tqdm import tqdm

from hivewatch.domain.frames import Box, Map, Point
from hivewatch.training.data.dataset import Picture, Shot
from hivewatch.training.data.sampling import HardNegative
from hivewatch.training.evaluation.localization import points_at
from hivewatch.training.evaluation.metrics import auroc, recall_at_fpr
from hivewatch.training.model.network import HornetNet, mixed_precision, normalise
from hivewatch.training.recipe import Recipe
from hivewatch.vision.classifier import fit_to_input

STEP_PX = 32
ALARM_LOGIT = -1.0
"""A cell above this is worth showing to the network again as a negative."""
CLEARANCE = 0.02


@dataclass(frozen=True, slots=True)
class Validation:
    """Measures per split; ``merit`` is the one number that epochs are compared by."""

    splits: dict[str, dict[str, float]]
    merit: float

    def __str__(self) -> str:
        parts = [
            f"{name} " + " ".join(f"{k}={v:.3f}" for k, v in m.items()) for name, m in self.splits.items()
        ]
        return "; ".join([*parts, f"merit={self.merit:.4f}"])


def validate(net: HornetNet, shots: Sequence[Shot], recipe: Recipe) -> Validation:
    """Measure on whole frames: AUROC, recall at 5 % false positives, and how often the peak is on a hornet.

    ``merit`` is the mean of all three over the splits, so that no one of them is bought with another.
    """
    results: dict[str, list[tuple[Picture, float, Point]]] = {}
    for shot, logit, cam in frame_maps(net, shots, recipe, "validate"):
        results.setdefault(shot[0].split, []).append((shot[0], logit, _peak(cam)))
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
    return Validation(splits, float(np.mean(values)) if values else 0.0)


def mine_hard_negatives(
    net: HornetNet, shots: Sequence[Shot], recipe: Recipe, round_number: int
) -> list[HardNegative]:
    """The highest peaks of the maps away from any hornet, a few per picture: hard negatives.

    Each ``round_number`` looks at other pictures: ``mined_frames`` of hives, and half as many photographs.
    """
    known = [(i, shot) for i, shot in enumerate(shots) if shot[0].hornet_boxes or not shot[0].hornet]
    random.Random(round_number).shuffle(known)
    hive = [numbered for numbered in known if numbered[1][0].domain == "hive"][: recipe.mined_frames]
    photos = [numbered for numbered in known if numbered[1][0].domain == "photo"][: recipe.mined_frames // 2]
    chosen = hive + photos
    places = []
    maps = frame_maps(net, [shot for _, shot in chosen], recipe, "mine")
    for (index, _), (shot, _, cam) in zip(chosen, maps, strict=True):
        places += [
            HardNegative(index, x, y)
            for x, y in _false_peaks(
                cam, (*shot[0].hornet_boxes, *shot[0].doubtful_boxes), recipe.mined_per_frame
            )
        ]
    return places


def frame_maps(
    net: HornetNet, shots: Sequence[Shot], recipe: Recipe, task: str
) -> Iterator[tuple[Shot, float, Map]]:
    """Each picture with its pooled logit and its map, seen whole as the daemon sees it."""
    device = net.scale.device
    for shot in tqdm(shots, desc=task):
        pixels = torch.from_numpy(fit_to_input(shot[1], recipe.frame_long_side_px, STEP_PX)).permute(2, 0, 1)[
            None
        ]
        pixels = pixels.to(device)
        with torch.inference_mode(), mixed_precision(device, wanted=recipe.mixed_precision):
            cam = net.forward_map(normalise(pixels).contiguous(memory_format=torch.channels_last)).float()
        yield shot, float(net.pool(cam)), cam[0, 0].cpu().numpy()


def _peak(cam: Map) -> Point:
    row, column = np.unravel_index(int(np.argmax(cam)), cam.shape)
    return Point((float(column) + 0.5) / cam.shape[1], (float(row) + 0.5) / cam.shape[0])


def _false_peaks(cam: Map, hornets: Sequence[Box], most: int) -> list[tuple[float, float]]:
    """Up to ``most`` local maxima above ALARM_LOGIT whose place is in no hornet's box, highest first."""
    highest_around = cv2.dilate(cam, np.ones((3, 3), np.uint8))
    rows, columns = np.where((cam >= highest_around) & (cam > ALARM_LOGIT))
    places = []
    for i in np.argsort(-cam[rows, columns]):
        point = Point((float(columns[i]) + 0.5) / cam.shape[1], (float(rows[i]) + 0.5) / cam.shape[0])
        if not any(_grown(box).contains(point) for box in hornets):
            places.append((point.x, point.y))
    return places[:most]


def _grown(box: Box) -> Box:
    return Box(box.x0 - CLEARANCE, box.y0 - CLEARANCE, box.x1 + CLEARANCE, box.y1 + CLEARANCE)
