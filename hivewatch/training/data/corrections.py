"""Label corrections for the training data: ``corrections.csv``, one line per picture or box.

Columns: ``file`` (relative to the data folder, as in its index.csv), ``presence`` (1: a Vespa velutina,
0: none, ?: doubtful), ``x``, ``y``, ``w``, ``h`` (a box: centre and size, normalised as in boxes.csv; empty
for the whole picture), ``reason`` (free text).

A doubtful picture is left out. A box with a hornet is one that was missing, or was labelled as another
insect; a doubtful box has no vote in training.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hivewatch.domain.frames import Box, Point
from hivewatch.errors import DataError
from hivewatch.training.data.dataset import DOUBTFUL, HORNET, Insect, Picture, box_from_centre
from hivewatch.training.data.tables import Row, number, presence, read_table

CORRECTIONS = Path(__file__).parent / "corrections.csv"
DOUBTFUL_MARK = "?"
COLUMNS = ("file", "presence", "x", "y", "w", "h", "reason")
_NEEDED = f"needs a file, a presence of 1, 0 or {DOUBTFUL_MARK}, and a reason"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Correction:
    """The correct label (None: doubtful) of a picture, or of a box in it, and the reason."""

    hornet: bool | None
    reason: str
    box: Box | None = None


def read_corrections(path: Path = CORRECTIONS) -> dict[str, list[Correction]]:
    """Return the corrections by file name; raises DataError with the line of the first fault."""
    corrections: dict[str, list[Correction]] = {}
    for where, row in read_table(path, COLUMNS):
        try:
            correction = _read_row(row)
        except ValueError as error:
            raise DataError(f"{where}: {error}") from error
        of_file = corrections.setdefault(row["file"], [])
        if of_file and None in (correction.box, of_file[-1].box):
            raise DataError(f"{where}: {row['file']} is already corrected as a whole")
        of_file.append(correction)
    return corrections


def _read_row(row: Row) -> Correction:
    """Return the correction in one row; raises ValueError if the row is malformed."""
    hornet, reason = _label(row["presence"]), row["reason"]
    if not (row["file"] and reason):
        raise ValueError(_NEEDED)
    numbers = [row[name] for name in ("x", "y", "w", "h")]
    if not any(numbers):
        return Correction(hornet, reason)
    if hornet is False:
        raise ValueError(f"a box holds a hornet (1) or is doubtful ({DOUBTFUL_MARK}), not 0")
    try:
        box = box_from_centre(*map(number, numbers))
    except ValueError as error:
        raise ValueError(f"x, y, w, h are not a box ({error})") from error
    return Correction(hornet, reason, box)


def _label(text: str) -> bool | None:
    try:
        return None if text == DOUBTFUL_MARK else presence(text)
    except ValueError as error:
        raise ValueError(_NEEDED) from error


def correct(
    pictures: Sequence[Picture], data: Path, corrections: Mapping[str, Sequence[Correction]]
) -> tuple[Picture, ...]:
    """Return the pictures with corrected labels, without the doubtful ones.

    A picture corrected to show a hornet, without a box, counts as unboxed; one corrected to show none loses
    its hornet boxes. A corrected box replaces the boxes whose centre lies in it.
    """
    folder = f"{data.as_posix()}/"
    files = [picture.path.as_posix().removeprefix(folder) for picture in pictures]
    right = [_corrected(p, corrections.get(file, ())) for p, file in zip(pictures, files, strict=True)]
    dropped = right.count(None)
    changed = sum(old is not new for old, new in zip(pictures, right, strict=True)) - dropped
    if changed or dropped:
        log.info("corrected the labels of %d pictures, left out %d doubtful pictures", changed, dropped)
    return tuple(picture for picture in right if picture is not None)


def _corrected(picture: Picture, corrections: Sequence[Correction]) -> Picture | None:
    """Return the corrected picture: itself if nothing changes, None if it is doubtful."""
    for correction in corrections:
        if correction.box is not None:
            picture = _with_box(picture, correction.box, hornet=bool(correction.hornet))
        elif correction.hornet is None:
            return None
        elif correction.hornet is not picture.hornet:
            picture = _relabelled(picture, hornet=correction.hornet)
    return picture


def _with_box(picture: Picture, box: Box, *, hornet: bool) -> Picture:
    """Return the picture with a hornet, or something doubtful, in ``box``."""
    others = tuple(insect for insect in picture.insects if not box.contains(_centre(insect.box)))
    if not hornet:
        return replace(picture, insects=(*others, Insect(DOUBTFUL, box)))
    return replace(picture, hornet=True, species=HORNET, insects=(*others, Insect(HORNET, box)))


def _centre(box: Box) -> Point:
    return Point((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2)


def _relabelled(picture: Picture, *, hornet: bool) -> Picture:
    others = tuple(insect for insect in picture.insects if insect.species != HORNET)
    return replace(picture, hornet=hornet, species=HORNET if hornet else "none", insects=others)
