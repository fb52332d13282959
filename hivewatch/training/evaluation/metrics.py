"""Measures of scores: how well they rank frames, and whether they mean what they say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


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


def f1(alarm: Flags, hornet: Flags) -> float:
    """The harmonic mean of precision and recall; NaN where there is neither a hornet nor an alarm."""
    both = int(alarm.sum() + hornet.sum())
    return float(2 * (alarm & hornet).sum() / both) if both else float("nan")


def share(flags: Flags) -> float:
    """The share of flags that are set; NaN without any flag."""
    return float(flags.mean()) if len(flags) else float("nan")


@dataclass(frozen=True, slots=True)
class Bin:
    """Pictures that score about the same: how many, their mean score, and the share that shows a hornet."""

    pictures: int
    score: float
    hornets: float


def calibration_bins(scores: Floats, hornet: Flags, bins: int = 10) -> list[Bin]:
    """The pictures in bins of equal width by score; empty bins are left out."""
    which = np.minimum((scores * bins).astype(int), bins - 1)
    return [
        Bin(int((which == i).sum()), float(scores[which == i].mean()), float(hornet[which == i].mean()))
        for i in range(bins)
        if (which == i).any()
    ]


def expected_calibration_error(scores: Floats, hornet: Flags, bins: int = 10) -> float:
    """Mean distance of score and share of hornets over bins of equal width (Guo et al. 2017, section 2)."""
    filled = calibration_bins(scores, hornet, bins)
    return sum(abs(b.score - b.hornets) * b.pictures for b in filled) / len(scores)


def platt(logits: Floats, hornet: Flags) -> tuple[float, float]:
    """Scale and offset that make ``sigmoid(scale * logit + offset)`` a probability (Platt 1999, sec. 2)."""
    scale, offset = logistic(logits[:, None], hornet)
    return float(scale), float(offset)


def logistic(inputs: Floats, hornet: Flags, steps: int = 100) -> Floats:
    """Weights of the inputs (N x K), and an offset last, whose logistic function is a probability.

    Newton's method on the cross-entropy with Platt's softened targets (1999, section 2.2), which keep the
    weights finite when the classes are told apart perfectly.
    """
    positives = int(hornet.sum())
    negatives = len(hornet) - positives
    wanted = np.where(hornet, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    inputs = np.column_stack([inputs, np.ones(len(inputs))])
    weights = np.zeros(inputs.shape[1])
    weights[0] = 1.0
    for _ in range(steps):
        probability = 1 / (1 + np.exp(-np.clip(inputs @ weights, -30, 30)))
        slope = probability * (1 - probability)
        gradient = inputs.T @ (probability - wanted)
        curvature = (inputs * slope[:, None]).T @ inputs + 1e-6 * np.eye(len(weights))
        step = np.linalg.solve(curvature, gradient)
        weights = weights - np.clip(step, -1, 1)
        if np.abs(step).max() < 1e-8:
            break
    return weights
