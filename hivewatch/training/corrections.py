"""Labels of the training data put right: ``corrections.csv``, a line for each picture that was mislabelled.

Columns: ``file`` (relative to the data folder, as in its index.csv), ``presence`` (1: there is a Vespa
velutina on it, 0: there is none, ?: nobody can tell, so the picture is left out), ``reason`` (for people).
"""

from __future__ import annotations

import csv
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hivewatch.errors import DataError
from hivewatch.training.dataset import HORNET, Picture

CORRECTIONS = Path(__file__).parent / "corrections.csv"
DOUBTFUL = "?"
COLUMNS = ("file", "presence", "reason")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Correction:
    """What the label of a picture should be (None: cannot be told), and why."""

    hornet: bool | None
    reason: str


def read_corrections(path: Path = CORRECTIONS) -> dict[str, Correction]:
    """The corrections by file name; raises DataError with the line of whatever is wrong in the table."""
    labels: dict[str, bool | None] = {"1": True, "0": False, DOUBTFUL: None}
    corrections: dict[str, Correction] = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            table = csv.DictReader(file)
            if tuple(table.fieldnames or ()) != COLUMNS:
                raise DataError(f"{path}, line 1: the columns must be {','.join(COLUMNS)}")
            for line, row in enumerate(table, start=2):
                name, presence = row["file"], row["presence"]
                if presence not in labels or not row["reason"]:
                    raise DataError(
                        f"{path}, line {line}: needs a file, a presence of 1, 0 or {DOUBTFUL}, and a reason"
                    )
                if name in corrections:
                    raise DataError(f"{path}, line {line}: {name} was corrected before")
                corrections[name] = Correction(labels[presence], row["reason"])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    return corrections


def correct(
    pictures: Sequence[Picture], data: Path, corrections: Mapping[str, Correction]
) -> tuple[Picture, ...]:
    """The pictures with their labels put right, those that nobody can tell left out.

    A picture that turns out to show a hornet has no box for it; one that shows none loses its hornet boxes.
    """
    corrected = []
    changed = dropped = 0
    for picture in pictures:
        correction = corrections.get(picture.path.relative_to(data).as_posix())
        if correction is None or correction.hornet is picture.hornet:
            corrected.append(picture)
        elif correction.hornet is None:
            dropped += 1
        else:
            changed += 1
            corrected.append(_relabelled(picture, hornet=correction.hornet))
    if changed or dropped:
        log.info("labels of %d pictures put right, %d doubtful pictures left out", changed, dropped)
    return tuple(corrected)


def _relabelled(picture: Picture, *, hornet: bool) -> Picture:
    others = tuple(insect for insect in picture.insects if insect.species != HORNET)
    return replace(picture, hornet=hornet, species=HORNET if hornet else "none", insects=others)
