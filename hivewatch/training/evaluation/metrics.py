"""Measures of scores: ranking and calibration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


def auroc(scores: Floats, hornet: Flags) -> float:
    """Return the area under the ROC curve; NaN if a class is missing.

    It is the probability that a frame with a hornet scores higher than one without.
    """
    positives, negatives = scores[hornet], scores[~hornet]
    if not len(positives) or not len(negatives):
        return float("nan")
    below = np.searchsorted(np.sort(negatives), positives, side="left")
    not_above = np.searchsorted(np.sort(negatives), positives, side="right")
    return float((below + not_above).sum() / (2 * len(positives) * len(negatives)))


def average_precision(scores: Floats, hornet: Flags) -> float:
    """Return the mean precision at each hornet frame, by falling score; NaN if there is none."""
    if not hornet.any():
        return float("nan")
    hits = hornet[np.argsort(-scores, kind="stable")]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(precision[hits].mean())


def threshold_at_fpr(scores: Floats, hornet: Flags, rate: float) -> float:
    """Return the lowest threshold that at most ``rate`` of the negatives exceed; NaN if there are none."""
    negatives = np.sort(scores[~hornet])[::-1]
    if not len(negatives):
        return float("nan")
    return float(negatives[int(rate * len(negatives))])


def recall_at_fpr(scores: Floats, hornet: Flags, rate: float) -> float:
    """Return the share of hornet frames above ``threshold_at_fpr``; NaN if a class is missing."""
    if not hornet.any() or hornet.all():
        return float("nan")
    return float((scores[hornet] > threshold_at_fpr(scores, hornet, rate)).mean())


def f1(alarm: Flags, hornet: Flags) -> float:
    """Return the harmonic mean of precision and recall; NaN if there is neither a hornet nor an alarm."""
    both = int(alarm.sum() + hornet.sum())
    return float(2 * (alarm & hornet).sum() / both) if both else float("nan")


def confusion(alarm: Flags, hornet: Flags) -> npt.NDArray[np.int64]:
    """Return the confusion matrix: rows without and with a hornet, columns without and with an alarm."""
    return np.array([[np.sum((hornet == row) & (alarm == column)) for column in (0, 1)] for row in (0, 1)])


def share(flags: Flags) -> float:
    """Return the share of flags that are set; NaN if there are none."""
    return float(flags.mean()) if len(flags) else float("nan")


@dataclass(frozen=True, slots=True)
class Bin:
    """Pictures with similar scores: their number, mean score, and share with a hornet."""

    pictures: int
    score: float
    hornets: float


def calibration_bins(scores: Floats, hornet: Flags, bins: int = 10) -> list[Bin]:
    """Return the pictures in bins of equal width by score, without the empty bins."""
    which = np.minimum((scores * bins).astype(int), bins - 1)
    return [
        Bin(int((which == i).sum()), float(scores[which == i].mean()), float(hornet[which == i].mean()))
        for i in range(bins)
        if (which == i).any()
    ]


def expected_calibration_error(scores: Floats, hornet: Flags, bins: int = 10) -> float:
    """Return the mean distance of score and share of hornets over the bins (Guo et al. 2017, section 2)."""
    filled = calibration_bins(scores, hornet, bins)
    return sum(abs(b.score - b.hornets) * b.pictures for b in filled) / len(scores)


def platt(logits: Floats, hornet: Flags) -> tuple[float, float]:
    """Return scale and offset so that ``sigmoid(scale * logit + offset)`` is a probability (Platt 1999)."""
    scale, offset = logistic(logits[:, None], hornet)
    return float(scale), float(offset)


def logistic(inputs: Floats, hornet: Flags, steps: int = 100) -> Floats:
    """Fit a logistic regression to ``inputs`` (N x K); return K weights and, last, the offset.

    Newton's method on the cross-entropy with Platt's softened targets (1999, section 2.2), which keep the
    weights finite if the classes are perfectly separable.
    """
    positives = int(hornet.sum())
    negatives = len(hornet) - positives
    targets = np.where(hornet, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    inputs = np.column_stack([inputs, np.ones(len(inputs))])
    weights = np.zeros(inputs.shape[1])
    weights[0] = 1.0
    for _ in range(steps):
        probability = 1 / (1 + np.exp(-np.clip(inputs @ weights, -30, 30)))
        slope = probability * (1 - probability)
        gradient = inputs.T @ (probability - targets)
        curvature = (inputs * slope[:, None]).T @ inputs + 1e-6 * np.eye(len(weights))
        step = np.linalg.solve(curvature, gradient)
        weights = weights - np.clip(step, -1, 1)
        if np.abs(step).max() < 1e-8:
            break
    return weights
