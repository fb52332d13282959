"""The index layout of a data folder: ``index.csv`` lists the pictures, ``boxes.csv`` the insects in them."""

from __future__ import annotations

import posixpath
from collections import Counter
from dataclasses import dataclass, field
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


@dataclass(slots=True)
class _Boxes:
    """The rows of boxes.csv about one file: its insects, and where the first and a hornet are boxed."""

    where: str
    insects: list[Insect] = field(default_factory=list)
    hornet_at: str | None = None
    is_bad: bool = False


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
            picture = _picture(data / file, row, boxes.get(file))
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


def _picture(path: Path, row: Row, boxes: _Boxes | None) -> Picture:
    """Return a picture or clip; raises ValueError if it cannot be used as labelled.

    If a row of its boxes is bad, it has none: what is not boxed would count as known to be no hornet.
    """
    hornet = presence(row["presence"])
    if not is_file(path):
        raise ValueError(f"{printable(path)} is missing")
    if not hornet and row["species"].lower() == HORNET:
        raise ValueError(f"presence says that there is no hornet, species says {HORNET}")
    if boxes and boxes.hornet_at and not hornet:
        raise ValueError(f"presence says that there is no hornet, but {boxes.hornet_at} boxes one")
    if path.suffix.lower() in CLIP_SUFFIXES and (hornet or row["split"] != "train"):
        raise ValueError(f"{printable(path)}: {UNUSABLE_CLIP}")
    return Picture(
        path=path,
        hornet=hornet,
        species=row["species"].lower(),
        domain=row["domain"],
        scene=row["scene"],
        split=row["split"],
        insects=tuple(boxes.insects) if boxes and not boxes.is_bad else (),
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


def _read_boxes(path: Path) -> tuple[dict[str, _Boxes], list[str]]:
    """Return the boxes of each file in ``boxes.csv``, and a sentence per bad row."""
    boxes: dict[str, _Boxes] = {}
    problems: list[str] = []
    if not path.is_file():
        return boxes, problems
    for where, row in read_table(path, BOX_COLUMNS):
        of_file = boxes.setdefault(posixpath.normpath(row["file"]), _Boxes(where))
        species = row["class"].lower()
        if species == HORNET:
            of_file.hornet_at = of_file.hornet_at or where
        try:
            of_file.insects.append(Insect(species, box_from_centre(*(number(row[key]) for key in "xywh"))))
        except ValueError as error:
            of_file.is_bad = True
            problems.append(f"{where}: not a box ({error}); {row['file']} is used without boxes")
    return boxes, problems


def _unlisted(boxes: dict[str, _Boxes], listed: set[str]) -> list[str]:
    """Return a sentence if there are boxes of files that the index does not list."""
    places = [of_file.where for file, of_file in boxes.items() if file not in listed]
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
