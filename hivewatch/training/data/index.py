"""The index layout of a data folder: ``index.csv`` lists the pictures, ``boxes.csv`` the insects in them."""

from __future__ import annotations

import posixpath
from collections import Counter, defaultdict
from pathlib import Path

from hivewatch.camera.sources.files import CLIP_SUFFIXES, is_file
from hivewatch.domain.names import printable
from hivewatch.errors import DataError
from hivewatch.training.data.dataset import (
    HORNET,
    SPLITS,
    UNUSABLE_CLIP,
    Catalogue,
    Insect,
    Picture,
    box_from_centre,
)
from hivewatch.training.data.tables import Row, number, presence, read_table

INDEX, BOXES = "index.csv", "boxes.csv"
INDEX_COLUMNS = ("file", "presence", "species", "domain", "scene", "split", "source")
BOX_COLUMNS = ("file", "class", "x", "y", "w", "h")

_Boxes = dict[str, list[tuple[str, Insect]]]
"""For each file its insects, with the place of each in boxes.csv."""


def read_index(data: Path) -> Catalogue:
    """Read ``index.csv`` and, if it exists, ``boxes.csv``.

    Rows with a bad label, whose file is missing, or that contradict their boxes are left out, with a sentence
    that names file and line. Raises DataError as ``read_table`` does, and for a file with two labels.
    """
    boxes, problems = _read_boxes(data / BOXES)
    pictures: list[Picture] = []
    clips: list[Path] = []
    listed: dict[str, tuple[str, Row]] = {}
    names: set[str] = set()
    for where, row in read_table(data / INDEX, INDEX_COLUMNS):
        file = posixpath.normpath(row["file"])
        names.add(file)
        try:
            picture = _picture(data / file, row, boxes.get(file, []))
            _require_once(listed.get(file), row)
            listed.setdefault(file, (where, row))
            if picture.path.suffix.lower() in CLIP_SUFFIXES:
                clips.append(picture.path)
            else:
                pictures.append(picture)
        except ValueError as error:
            problems.append(f"{where}: left out, {error}")
        except DataError as error:
            raise DataError(f"{where}: {error}") from error
    problems += _unlisted(boxes, names) + _odd_splits(data, pictures)
    return Catalogue(tuple(pictures), tuple(problems), tuple(clips))


def _picture(path: Path, row: Row, boxes: list[tuple[str, Insect]]) -> Picture:
    """Return a picture or clip; raises ValueError if it cannot be used as labelled."""
    hornet = presence(row["presence"])
    if not is_file(path):
        raise ValueError(f"{printable(path)} is missing")
    if not hornet and row["species"].lower() == HORNET:
        raise ValueError(f"presence says that there is no hornet, species says {HORNET}")
    if contrary := [where for where, insect in boxes if insect.species == HORNET and not hornet]:
        raise ValueError(f"presence says that there is no hornet, but {contrary[0]} boxes one")
    if path.suffix.lower() in CLIP_SUFFIXES and (hornet or row["split"] != "train"):
        raise ValueError(f"{printable(path)}: {UNUSABLE_CLIP}")
    return Picture(
        path=path,
        hornet=hornet,
        species=row["species"].lower(),
        domain=row["domain"],
        scene=row["scene"],
        split=row["split"],
        insects=tuple(insect for _, insect in boxes),
        source=row["source"],
    )


def _require_once(earlier: tuple[str, Row] | None, row: Row) -> None:
    """Raise ValueError if the file is listed already in this split, DataError if with another label."""
    if earlier is None:
        return
    where, other = earlier
    if presence(other["presence"]) is not presence(row["presence"]):
        raise DataError(f"{row['file']} has another label than in {where}: correct one of the rows")
    # In another split it is a leak, which is reported as such and stays in the figures.
    if other["split"] == row["split"]:
        raise ValueError(f"{row['file']} is listed already in {where}")


def _read_boxes(path: Path) -> tuple[_Boxes, list[str]]:
    """Return the insects of each file in ``boxes.csv``, and a sentence per bad row."""
    boxes: _Boxes = defaultdict(list)
    problems: list[str] = []
    if not path.is_file():
        return boxes, problems
    for where, row in read_table(path, BOX_COLUMNS):
        try:
            box = box_from_centre(*(number(row[key]) for key in "xywh"))
            boxes[posixpath.normpath(row["file"])].append((where, Insect(row["class"].lower(), box)))
        except ValueError as error:
            problems.append(f"{where}: not a box ({error})")
    return boxes, problems


def _unlisted(boxes: _Boxes, listed: set[str]) -> list[str]:
    """Return a sentence if there are boxes of files that the index does not list."""
    places = [places[0][0] for file, places in boxes.items() if file not in listed]
    if not places:
        return []
    return [f"{places[0]}: {INDEX} does not list the file; boxes of {len(places)} such files are left out"]


def _odd_splits(data: Path, pictures: list[Picture]) -> list[str]:
    """Return a sentence for each split that neither training nor, by default, evaluation uses."""
    prefixes = tuple(f"{split}_" for split in SPLITS)
    counts = Counter(p.split for p in pictures if p.split not in SPLITS and not p.split.startswith(prefixes))
    return [
        f"{printable(data / INDEX)}: {count} pictures are in the split {split!r}, which is neither"
        f" {', '.join(SPLITS)} nor a part of one, such as val_day: nothing uses them unless asked to"
        for split, count in sorted(counts.items())
    ]
