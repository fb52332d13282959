"""What all figures share: colours, outlines, rows of axes, and how a figure becomes a file."""

from __future__ import annotations

import warnings
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from hivewatch.domain.frames import Box
from hivewatch.errors import DataError

# Blue and vermilion stay apart for colour-blind eyes (Okabe and Ito 2008).
BLUE, VERMILION, GREY = "#0072B2", "#D55E00", "#777777"
TRUTH, FOUND = "cyan", "red"


def row(figure: Figure, count: int) -> list[Axes]:
    """Return ``count`` axes side by side."""
    return list(figure.subplots(1, count, squeeze=False)[0])


def outline(axes: Axes, box: Box, width: int, height: int, colour: str, style: str = "-") -> None:
    """Draw a box, given as shares of a picture of ``width`` x ``height`` pixels that ``axes`` shows."""
    x0, y0, x1, y1 = box.pixels(width, height)
    corner = x0 - 0.5, y0 - 0.5  # the pixel in column x covers x - 0.5 to x + 0.5
    rectangle = Rectangle(
        corner, x1 - x0, y1 - y0, fill=False, edgecolor=colour, linewidth=1.5, linestyle=style
    )
    axes.add_patch(rectangle)


def plain(text: str) -> str:
    """Return a file name as text that can be drawn, whatever bytes the name consists of."""
    return text.encode("utf-8", "replace").decode()


def save(figure: Figure, path: Path) -> Path:
    """Write the figure as PNG and return ``path``; raises DataError if that fails."""
    FigureCanvasAgg(figure)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing from font")  # it is drawn as a box
            figure.savefig(path, format="png", bbox_inches="tight", pad_inches=0.1)
    except OSError as error:
        raise DataError(f"{path}: the figure cannot be written: {error.strerror or error}") from error
    return path


def remove(path: Path) -> None:
    """Remove the figure of an earlier evaluation, if there is one; raises DataError if that fails."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"{path}: an outdated figure cannot be removed: {error.strerror}") from error
