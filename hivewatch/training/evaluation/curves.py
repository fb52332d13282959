"""The curves of a training run: loss and accuracy by epoch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hivewatch.training.evaluation.drawing import BLUE, VERMILION, row, save
from hivewatch.training.evaluation.history import Epochs, Series, accuracies, losses, measures

STYLES = {
    "training": {"color": BLUE, "marker": "o", "linestyle": "-"},
    "validation": {"color": VERMILION, "marker": "s", "linestyle": "--"},
}


def draw_curves(history: Epochs, path: Path) -> Path | None:
    """Draw loss, accuracy and validation measures, a point per epoch; return None if there is no epoch."""
    panels = {"loss": losses(history), "accuracy": accuracies(history), "validation": measures(history)}
    panels = {title: series for title, series in panels.items() if any(series.values())}
    if not panels:
        return None
    figure = Figure(figsize=(5.5 * len(panels), 4.2), layout="constrained")
    for axes, (title, series) in zip(row(figure, len(panels)), panels.items(), strict=True):
        _draw_panel(axes, title, series)
    return save(figure, path)


def _draw_panel(axes: Axes, title: str, series: Mapping[str, Series]) -> None:
    for name, points in series.items():
        if points:
            epochs, values = zip(*points, strict=True)
            style = STYLES.get(name, {"marker": "."})
            axes.plot(epochs, values, label=name, markersize=5, **style)  # type: ignore[arg-type]
    if title != "loss":
        lowest = min(value for points in series.values() for _, value in points)
        axes.set_ylim(min(0.5, lowest) - 0.02, 1.02)
    axes.set(xlabel="epoch", title=title)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
