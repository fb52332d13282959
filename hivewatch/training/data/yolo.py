"""Label files of YOLO: a line for each insect, as a box or as the polygon around it."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path

from hivewatch.camera.sources.files import is_file
from hivewatch.domain.names import printable
from hivewatch.errors import DataError
from hivewatch.training.data.dataset import HORNET, Insect, box_around, box_from_centre
from hivewatch.training.data.tables import number

YOLO_HORNET = 0
"""The class of the hornet; every other class is another insect."""

_BOX_FIELDS = (5, 6)  # class x y width height, and in predictions a confidence
_LEAST_POLYGON_FIELDS = 7  # class, then x and y of three corners


def label_file(picture: Path) -> Path:
    """Return the label file of a picture; it need not exist."""
    upper = picture.with_suffix(".TXT")
    return upper if is_file(upper) else picture.with_suffix(".txt")


def misnamed_label_files(pictures: Sequence[Path]) -> list[Path]:
    """Return the label files that belong to no picture, but would if letters were written as in its name.

    Their names differ in capitals, or in how accents are stored: Windows and macOS take them for the same.
    """
    own = {label_file(picture) for picture in pictures}
    alike = {_folded(file) for file in own}
    folders = {picture.parent for picture in pictures}
    others = {file for folder in folders for file in folder.iterdir() if file.suffix.lower() == ".txt"} - own
    return sorted(file for file in others if _folded(file) in alike)


def _folded(path: Path) -> tuple[Path, str]:
    return path.parent, unicodedata.normalize("NFC", path.name).casefold()


def read_yolo(path: Path) -> list[tuple[int, Insect]]:
    """Return the insects of a label file with their lines, none if it is missing.

    A polygon becomes the box around it. Raises DataError with file and line for anything else.
    """
    if not is_file(path):
        return []
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise DataError(f"{printable(path)}: cannot be read ({error.strerror})") from error
    insects = []
    for line, row in enumerate(text.splitlines(), start=1):
        try:
            if fields := row.split():
                insects.append((line, _insect(fields)))
        except ValueError as error:
            raise DataError(
                f"{printable(path)}, line {line}: neither 'class x y width height' nor a polygon ({error})"
            ) from error
    return insects


def _insect(fields: list[str]) -> Insect:
    kind, *values = map(number, fields)
    if kind < 0 or kind != int(kind):
        raise ValueError(f"{fields[0]!r} is not the number of a class")
    species = HORNET if kind == YOLO_HORNET else "other"
    if len(fields) in _BOX_FIELDS:
        return Insect(species, box_from_centre(*values[:4]))
    if len(fields) < _LEAST_POLYGON_FIELDS or len(values) % 2:
        raise ValueError(f"{len(fields)} fields")
    return Insect(species, box_around(values[::2], values[1::2]))
