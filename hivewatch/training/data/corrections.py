"""Labels of the training data put right: ``corrections.csv``, a line for each picture or place mislabelled.

Columns: ``file`` (relative to the data folder, as in its index.csv), ``presence`` (1: there is a Vespa
velutina, 0: there is none, ?: nobody can tell), ``x``, ``y``, ``w``, ``h`` (a place: centre and size,
normalised as in boxes.csv; left empty where the whole picture is meant), ``reason`` (for people).

A picture nobody can tell is left out. A place with a hornet is one that nobody boxed, or boxed as another
insect; a place nobody can tell says neither yes nor no in training.
"""

from __future__ import annotations

import csv
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hivewatch.domain.frames import Box, Point
from hivewatch.errors import DataError
from hivewatch.training.data.dataset import DOUBTFUL, HORNET, Insect, Picture, box_from_centre

CORRECTIONS = Path(__file__).parent / "corrections.csv"
DOUBTFUL_MARK = "?"
COLUMNS = ("file", "presence", "x", "y", "w", "h", "reason")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Correction:
    """What the label should be (None: cannot be told) of a picture, or of a place in it, and why."""

    hornet: bool | None
    reason: str
    place: Box | None = None


def read_corrections(path: Path = CORRECTIONS) -> dict[str, list[Correction]]:
    """The corrections by file name; raises DataError with the line of whatever is wrong in the table."""
    corrections: dict[str, list[Correction]] = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            table = csv.DictReader(file)
            if tuple(table.fieldnames or ()) != COLUMNS:
                raise DataError(f"{path}, line 1: the columns must be {','.join(COLUMNS)}")
            for line, row in enumerate(table, start=2):
                try:
                    correction = _read_row(row)
                except ValueError as error:
                    raise DataError(f"{path}, line {line}: {error}") from error
                of_file = corrections.setdefault(row["file"], [])
                if of_file and None in (correction.place, of_file[-1].place):
                    raise DataError(f"{path}, line {line}: {row['file']} was corrected as a whole before")
                of_file.append(correction)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    return corrections


def _read_row(row: Mapping[str, str | None]) -> Correction:
    """One line of the table; raises ValueError with what is wrong in it."""
    labels: dict[str | None, bool | None] = {"1": True, "0": False, DOUBTFUL_MARK: None}
    reason, presence = row["reason"], row["presence"]
    if presence not in labels or not reason:
        raise ValueError(f"needs a file, a presence of 1, 0 or {DOUBTFUL_MARK}, and a reason")
    numbers = [row[name] for name in ("x", "y", "w", "h")]
    if not any(numbers):
        return Correction(labels[presence], reason)
    if presence == "0":
        raise ValueError(f"a place is one with a hornet (1) or one nobody can tell ({DOUBTFUL_MARK}), not 0")
    try:
        place = box_from_centre(*(float(number or "") for number in numbers))
    except ValueError as error:
        raise ValueError(f"x, y, w, h are no box ({error})") from error
    return Correction(labels[presence], reason, place)


def correct(
    pictures: Sequence[Picture], data: Path, corrections: Mapping[str, Sequence[Correction]]
) -> tuple[Picture, ...]:
    """The pictures with their labels put right, those that nobody can tell left out.

    A picture that turns out to show a hornet somewhere has no box for it; one that shows none loses its
    hornet boxes. A hornet's place takes the place of what was boxed in it.
    """
    right = [_put_right(p, corrections.get(p.path.relative_to(data).as_posix(), ())) for p in pictures]
    dropped = right.count(None)
    changed = sum(old is not new for old, new in zip(pictures, right, strict=True)) - dropped
    if changed or dropped:
        log.info("labels of %d pictures put right, %d doubtful pictures left out", changed, dropped)
    return tuple(picture for picture in right if picture is not None)


def _put_right(picture: Picture, corrections: Sequence[Correction]) -> Picture | None:
    """The picture with its labels put right: itself where they were, None where nobody can tell."""
    for correction in corrections:
        if correction.place is not None:
            picture = _placed(picture, correction.place, hornet=bool(correction.hornet))
        elif correction.hornet is None:
            return None
        elif correction.hornet is not picture.hornet:
            picture = _relabelled(picture, hornet=correction.hornet)
    return picture


def _placed(picture: Picture, place: Box, *, hornet: bool) -> Picture:
    """The picture with a hornet, or something nobody can tell, at ``place``."""
    others = tuple(insect for insect in picture.insects if not place.contains(_middle(insect.box)))
    if not hornet:
        return replace(picture, insects=(*others, Insect(DOUBTFUL, place)))
    return replace(picture, hornet=True, species=HORNET, insects=(*others, Insect(HORNET, place)))


def _middle(box: Box) -> Point:
    return Point((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2)


def _relabelled(picture: Picture, *, hornet: bool) -> Picture:
    others = tuple(insect for insect in picture.insects if insect.species != HORNET)
    return replace(picture, hornet=hornet, species=HORNET if hornet else "none", insects=others)
