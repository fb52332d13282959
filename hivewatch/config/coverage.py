"""How much of the picture the polygons of ``gate`` leave to be watched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from hivewatch.config.base import Polygon

_CELLS = 320
"""Cells along the long side of the picture; a cell counts as watched if its centre is."""

# A hornet is about 0.05 of the long side long. A strip that is a little narrower is enough for the network:
# 14 drawn hornets with scores of 0.98 to 1.00 in the whole picture have 0.89 to 1.00 in one of 0.034. A small
# island in what is painted over is not: six that score 0.71 to 1.00 in the whole picture score 0.00 to 1.00
# in a square of 0.15 (4 % of the view), and 0.64 to 1.00 in one of 0.20 (7 %).
_LEAST_SQUARE = 0.031
_LEAST_SHARE = 0.05

Rows = list[list[bool]]


def too_little(
    watch: Sequence[Polygon], ignore: Sequence[Polygon], width_px: int, height_px: int
) -> str | None:
    """Return the sentence for polygons that leave no place in which a hornet can be seen, None if they do."""
    if not (watch or ignore):
        return None
    long_px = max(width_px, height_px)
    columns, rows = (max(1, round(_CELLS * side / long_px)) for side in (width_px, height_px))
    watched = _watched(watch, ignore, columns, rows)
    if not any(map(any, watched)):
        return "watch and ignore leave nothing of the picture to be watched"
    if _largest_square(watched) < _LEAST_SQUARE * _CELLS:
        least = f"at least {_LEAST_SQUARE:.1%} of the picture's long side"
        return f"watch and ignore leave no place as wide as a hornet: make one {least} wide and high"
    share = sum(map(sum, watched)) / _view_cells(watch, columns, rows)
    if share < _LEAST_SHARE:
        least = f"at least {_LEAST_SHARE:.0%}"
        return (
            f"watch and ignore leave {share:.1%} of the view, too little to recognise a hornet: leave {least}"
        )
    return None


def _watched(watch: Sequence[Polygon], ignore: Sequence[Polygon], columns: int, rows: int) -> Rows:
    cells = [[not watch] * columns for _ in range(rows)]
    for polygons, value in ((watch, True), (ignore, False)):
        for polygon in polygons:
            for row, first, end in _runs(polygon, columns, rows):
                cells[row][first:end] = [value] * (end - first)
    return cells


def _runs(polygon: Polygon, columns: int, rows: int) -> Iterator[tuple[int, int, int]]:
    """Yield row, first and one past the last column of each run of cells whose centres are in ``polygon``."""
    edges = list(pairwise((*polygon, polygon[0])))
    for row in range(rows):
        y = (row + 0.5) / rows
        crossings = sorted(
            x0 + (x1 - x0) * (y - y0) / (y1 - y0) for (x0, y0), (x1, y1) in edges if (y0 <= y) != (y1 <= y)
        )
        for left, right in zip(crossings[::2], crossings[1::2], strict=True):
            first, end = (round(x * columns) for x in (left, right))
            if end > first:
                yield row, first, end


def _largest_square(cells: Rows) -> int:
    """Return the side of the largest square of watched cells."""
    above = [0] * len(cells[0])
    largest = 0
    for row in cells:
        sides: list[int] = []
        for column, is_watched in enumerate(row):
            beside, corner = (sides[-1], above[column - 1]) if column else (0, 0)
            sides.append(1 + min(above[column], beside, corner) if is_watched else 0)
        largest = max(largest, *sides)
        above = sides
    return largest


def _view_cells(watch: Sequence[Polygon], columns: int, rows: int) -> float:
    """Return the size of the box around the watched polygons, to which the frame is cropped, in cells."""
    points = [point for polygon in watch for point in polygon] or [(0.0, 0.0), (1.0, 1.0)]
    across, down = [x for x, _ in points], [y for _, y in points]
    return (max(across) - min(across)) * columns * (max(down) - min(down)) * rows
