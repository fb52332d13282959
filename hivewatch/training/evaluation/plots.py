"""Figures of scores: confusion matrix, precision and recall, histograms, calibration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from hivewatch.training.evaluation import metrics
from hivewatch.training.evaluation.drawing import BLUE, GREY, VERMILION, row, save
from hivewatch.training.evaluation.metrics import Flags, Floats

BINS = 20
CELLS = (("rightly quiet", "false alarms"), ("misses", "found"))
"""The cells of the confusion matrix: rows without and with a hornet, columns without and with an alarm."""

Scores = Mapping[str, tuple[Floats, Flags]]
"""For each group of pictures, their scores, 0..1, and whether each shows a hornet."""


def draw_confusion(scores: Scores, threshold: float, path: Path) -> Path | None:
    """Draw the confusion matrix of each group at ``threshold``; None without pictures."""
    if not scores:
        return None
    figure = Figure(figsize=(4.6 * len(scores), 4.6), layout="compressed")
    for axes, (group, (values, hornet)) in zip(row(figure, len(scores)), scores.items(), strict=True):
        counts = metrics.confusion(values >= threshold, hornet)
        shares = counts / np.maximum(1, counts.sum(1, keepdims=True))
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for (line, column), count in np.ndenumerate(counts):
            share = f"\n{shares[line, column]:.0%} of the row" if counts[line].sum() else ""
            colour = "white" if shares[line, column] > 0.6 else "black"
            kind = CELLS[line][column]
            axes.text(column, line, f"{count}\n{kind}{share}", ha="center", va="center", color=colour)
        axes.set_xticks([0, 1], ["no alarm", "alarm"])
        axes.set_yticks([0, 1], ["no hornet", "hornet"], rotation=90, va="center")
        axes.set(xlabel=f"score at least {threshold:g}", ylabel="truth", title=group)
    return save(figure, path)


def draw_precision_recall(scores: Scores, threshold: float, path: Path) -> Path | None:
    """Draw the precision-recall curve of each group with both classes; None if there is no such group.

    A dot marks the configured threshold.
    """
    both = {group: pair for group, pair in scores.items() if pair[1].any() and not pair[1].all()}
    if not both:
        return None
    figure = Figure(figsize=(7, 6), layout="constrained")
    axes = figure.subplots()
    for group, (values, hornet) in both.items():
        hits = np.cumsum(hornet[np.argsort(-values, kind="stable")])
        label = f"{group}: AP {metrics.average_precision(values, hornet):.3f}, hornets {hornet.mean():.0%}"
        (line,) = axes.plot(hits / hits[-1], hits / np.arange(1, len(hits) + 1), label=label)
        alarm = values >= threshold
        if alarm.any():  # without an alarm there is no precision
            at = metrics.share(alarm[hornet]), metrics.share(hornet[alarm])
            axes.plot(*at, "o", color=line.get_color(), markersize=9)
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.02))
    axes.set_title(f"dots: threshold {threshold:g}")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left", fontsize="small")
    return save(figure, path)


def draw_histograms(scores: Scores, threshold: float, path: Path) -> Path | None:
    """Draw histograms of the scores of each group and class, and the threshold; None without pictures."""
    if not scores:
        return None
    figure = Figure(figsize=(5 * len(scores), 4), layout="constrained")
    edges = np.linspace(0, 1, BINS + 1).tolist()
    for axes, (group, (values, hornet)) in zip(row(figure, len(scores)), scores.items(), strict=True):
        for label, those, colour, hatch in (
            ("no hornet", ~hornet, BLUE, ""),
            ("hornet", hornet, VERMILION, "//"),
        ):
            axes.hist(
                values[those], edges, alpha=0.6, label=f"{label} ({those.sum()})", color=colour, hatch=hatch
            )
        axes.axvline(threshold, color="black", linestyle="--", label=f"threshold {threshold:g}")
        axes.set(xlabel="score", ylabel="pictures", title=group)
        axes.legend(fontsize="small")
    return save(figure, path)


def draw_reliability(scores: Scores, path: Path) -> Path | None:
    """Draw each group's share with a hornet against its mean score; None without pictures."""
    if not scores:
        return None
    figure = Figure(figsize=(5 * len(scores), 5), layout="constrained")
    for axes, (group, (values, hornet)) in zip(row(figure, len(scores)), scores.items(), strict=True):
        bins = metrics.calibration_bins(values, hornet)
        axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
        axes.plot([b.score for b in bins], [b.hornets for b in bins], color=BLUE, linewidth=1)
        sizes = [20 + 400 * b.pictures / len(values) for b in bins]
        axes.scatter([b.score for b in bins], [b.hornets for b in bins], sizes, color=BLUE, alpha=0.6)
        for b in bins:
            axes.annotate(str(b.pictures), (b.score, b.hornets), fontsize="x-small", ha="center", va="center")
        error = metrics.expected_calibration_error(values, hornet)
        axes.set(xlabel="mean score", ylabel="share with a hornet", xlim=(-0.03, 1.03), ylim=(-0.05, 1.05))
        axes.set_title(f"{group}: calibration error {error:.3f}")
        axes.grid(alpha=0.3)
    return save(figure, path)
