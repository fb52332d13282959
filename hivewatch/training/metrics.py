"""Measures of a detector: how well scores rank frames, and whether the map points at the hornet."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from hivewatch.domain import Box, Point

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
IOU_LEVELS = (0.3, 0.5, 0.7)


def auroc(scores: Floats, hornet: Flags) -> float:
    """Area under the ROC curve: how often a hornet frame outscores one without; NaN with one class only."""
    positives, negatives = scores[hornet], scores[~hornet]
    if not len(positives) or not len(negatives):
        return float("nan")
    below = np.searchsorted(np.sort(negatives), positives, side="left")
    not_above = np.searchsorted(np.sort(negatives), positives, side="right")
    return float((below + not_above).sum() / (2 * len(positives) * len(negatives)))


def average_precision(scores: Floats, hornet: Flags) -> float:
    """Mean precision at each hornet frame, in the order of falling scores; NaN without a hornet."""
    if not hornet.any():
        return float("nan")
    hits = hornet[np.argsort(-scores, kind="stable")]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(precision[hits].mean())


def threshold_at_fpr(scores: Floats, hornet: Flags, rate: float) -> float:
    """The lowest threshold above which at most ``rate`` of the hornetless frames score; NaN without any."""
    negatives = np.sort(scores[~hornet])[::-1]
    if not len(negatives):
        return float("nan")
    return float(negatives[int(rate * len(negatives))])


def recall_at_fpr(scores: Floats, hornet: Flags, rate: float) -> float:
    """The share of hornet frames above ``threshold_at_fpr``; NaN where either class is missing."""
    if not hornet.any() or hornet.all():
        return float("nan")
    return float((scores[hornet] > threshold_at_fpr(scores, hornet, rate)).mean())


def points_at(peak: Point, truth: Sequence[Box]) -> bool:
    """The pointing game (Zhang et al. 2018, section 4.2) without tolerance: the peak lies in a true box."""
    return any(box.contains(peak) for box in truth)


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, 0..1."""
    width, height = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / (_area(a) + _area(b) - width * height)


def box_accuracy(found: Sequence[Box | None], truth: Sequence[Sequence[Box]]) -> float:
    """The share of frames whose box meets a true one, averaged over IOU_LEVELS.

    MaxBoxAccV2 (Choe et al. 2020, section 4.2) at one fixed threshold of the map; NaN without frames.
    """
    if not truth:
        return float("nan")
    best = np.array(
        [
            max((iou(box, true) for true in boxes), default=0.0) if box else 0.0
            for box, boxes in zip(found, truth, strict=True)
        ]
    )
    return float(np.mean([(best >= level).mean() for level in IOU_LEVELS]))


def centre_box(share: float) -> Box:
    """The baseline that a map has to beat: a box in the middle of the frame, ``share`` of its sides."""
    return Box(0.5 - share / 2, 0.5 - share / 2, 0.5 + share / 2, 0.5 + share / 2)


def expected_calibration_error(scores: Floats, hornet: Flags, bins: int = 10) -> float:
    """Mean distance of score and share of hornets over bins of equal width (Guo et al. 2017, section 2)."""
    which = np.minimum((scores * bins).astype(int), bins - 1)
    gaps = [
        abs(scores[which == i].mean() - hornet[which == i].mean()) * (which == i).mean()
        for i in range(bins)
        if (which == i).any()
    ]
    return float(sum(gaps))


def interval(
    measure: Callable[[Floats, Flags], float], scores: Floats, hornet: Flags, seed: int = 0, rounds: int = 500
) -> tuple[float, float]:
    """The 95 % bootstrap interval of ``measure``, frames drawn with replacement; NaN where it has none."""
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, len(scores), (rounds, len(scores)))
    values = np.array([measure(scores[draw], hornet[draw]) for draw in draws])
    values = values[np.isfinite(values)]
    if not len(values):
        return float("nan"), float("nan")
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def platt(logits: Floats, hornet: Flags, steps: int = 100) -> tuple[float, float]:
    """Scale and offset that make ``sigmoid(scale * logit + offset)`` a probability (Platt 1999, section 2).

    Newton's method on the cross-entropy with Platt's softened targets, which keep it finite when the classes
    are told apart perfectly.
    """
    positives = int(hornet.sum())
    negatives = len(hornet) - positives
    wanted = np.where(hornet, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    inputs = np.stack([logits, np.ones_like(logits)], 1)
    weights = np.array([1.0, 0.0])
    for _ in range(steps):
        probability = 1 / (1 + np.exp(-np.clip(inputs @ weights, -30, 30)))
        slope = probability * (1 - probability)
        gradient = inputs.T @ (probability - wanted)
        curvature = (inputs * slope[:, None]).T @ inputs + 1e-6 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        weights = weights - np.clip(step, -1, 1)
        if np.abs(step).max() < 1e-8:
            break
    return float(weights[0]), float(weights[1])


def _area(box: Box) -> float:
    return (box.x1 - box.x0) * (box.y1 - box.y0)
