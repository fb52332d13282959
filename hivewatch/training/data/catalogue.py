"""Read a data folder: its labelled pictures, what they show, and the split each belongs to.

There are two layouts. Folders: ``train|val|test/presence|absence/*.jpg``, each with an optional
``.txt`` file of YOLO boxes or polygons beside it (class 0 is the hornet, every other class another insect).
Index: ``index.csv`` and ``boxes.csv``, with a split per picture. Splits are read, never drawn at random:
frames of one camera and day are near-copies, so a random split would measure memory. Subfolders of a class
(``val/absence/garden_2026-09-03/*.jpg``) name such scenes; confidence intervals then resample whole scenes.
Clips in ``train/absence`` are negative clips: false alarms are mined from them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hivewatch.camera.sources.files import CLIP_SUFFIXES, PICTURE_SUFFIXES, list_files
from hivewatch.domain.names import printable
from hivewatch.errors import DataError
from hivewatch.training.data.corrections import correct, read_corrections
from hivewatch.training.data.dataset import HORNET, SPLITS, UNUSABLE_CLIP, Catalogue, Picture
from hivewatch.training.data.index import INDEX, read_index
from hivewatch.training.data.yolo import label_file, misnamed_label_files, read_yolo

CLASSES = ("presence", "absence")

log = logging.getLogger(__name__)


def read_catalogue(data: Path, *, corrected: bool = True) -> Catalogue:
    """List the labelled pictures under ``data``, in either layout, without decoding them.

    ``corrected``: apply the corrections of labels in ``corrections.csv``.

    Raises DataError if the folder is missing, not open to this user or has neither layout, or if one of the
    two classes is empty in the training split.
    """
    try:
        catalogue = _read(data)
    except OSError as error:  # such as a folder that is not open to this user
        raise DataError(f"{printable(error.filename or data)} cannot be read: {error.strerror}") from error
    if corrected:
        pictures = correct(catalogue.pictures, data, read_corrections())
        catalogue = replace(catalogue, pictures=pictures)
    for problem in catalogue.problems:
        log.warning("%s", problem)  # first: they say why there may be no picture
    training = catalogue.split("train")
    for hornet, name in zip((True, False), CLASSES, strict=True):
        if not any(picture.hornet is hornet for picture in training):
            raise DataError(
                f"{printable(data)}: no picture of the class '{name}' in the split 'train'; both classes are"
                " needed"
            )
    return catalogue


def _read(data: Path) -> Catalogue:
    if not data.is_dir():
        raise DataError(
            f"{printable(data)}: there is no such folder; give the folder that holds the training pictures"
        )
    return read_index(data) if (data / INDEX).is_file() else _read_folders(data)


def _read_folders(data: Path) -> Catalogue:
    """Read ``train|val|test/presence|absence``."""
    if not (data / "train").is_dir():
        raise DataError(
            f"{printable(data)}: holds neither index.csv nor folders train/presence and train/absence"
        )
    found = Catalogue(())
    for split in SPLITS:
        if not (data / split).is_dir():
            continue
        for label in CLASSES:
            found = _joined(found, _read_class(data / split / label, split, hornet=label == "presence"))
        strange = [data / split / name for name in _folders(data / split) if name not in CLASSES]
        found = _joined(found, _unread(strange, CLASSES))
    strange = [data / name for name in _folders(data) if name not in SPLITS]
    strange = [folder for folder in strange if set(CLASSES) & set(_folders(folder))]
    return _joined(found, _unread(strange, SPLITS))


def _folders(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")
    except OSError:  # it is none of those that are read, and may be of the system
        return []


def _unread(strange: Sequence[Path], read: Sequence[str]) -> Catalogue:
    """Return a sentence for each folder whose name may be a misspelt one of those that are ``read``."""
    names = ", ".join(read)
    return Catalogue(
        (), tuple(f"{printable(path)}: not read, because its name is none of {names}" for path in strange)
    )


def _joined(first: Catalogue, second: Catalogue) -> Catalogue:
    return Catalogue(
        first.pictures + second.pictures,
        first.problems + second.problems,
        first.negative_clips + second.negative_clips,
    )


def _read_class(folder: Path, split: str, *, hornet: bool) -> Catalogue:
    """Read the pictures and clips of one class in one split."""
    if not folder.is_dir():
        raise DataError(
            f"{printable(folder)}: there is no such folder; {printable(folder.parent)} must have both classes"
        )
    listing = list_files(folder)
    clips, problems = listing.of(CLIP_SUFFIXES), [*listing.problems, *listing.loops]
    if hornet or split != "train":
        problems += [f"{printable(clip)}: {UNUSABLE_CLIP}" for clip in clips]
        clips = []
    if passed_over := listing.passed_over(PICTURE_SUFFIXES | CLIP_SUFFIXES):
        problems.append(f"{printable(folder)}: {passed_over}; convert pictures to .jpg")
    pictures, paths = [], listing.of(PICTURE_SUFFIXES)
    problems += [
        f"{printable(file)}: not read, because the picture's name differs from it in capitals or accents"
        for file in misnamed_label_files(paths)
    ]
    for path in paths:
        scene = path.parent.relative_to(folder).as_posix().removeprefix(".")
        picture = Picture(path, hornet, HORNET if hornet else "none", domain="hive", scene=scene, split=split)
        labelled, problem = _with_labels(picture)
        problems += [problem] if problem else []
        pictures += [labelled] if labelled is not None else []
    return Catalogue(tuple(pictures), tuple(problems), tuple(clips))


def _with_labels(picture: Picture) -> tuple[Picture | None, str]:
    """Return the picture with the insects of its label file, and a sentence about a fault in that.

    Without its boxes a picture with a hornet still has the label of its folder. If the two contradict each
    other, or may do so, neither can be believed, and the picture is None.
    """
    file = label_file(picture.path)
    try:
        insects = read_yolo(file)
    except DataError as error:
        if not picture.hornet:
            return None, f"{error}; it may box a hornet, so the picture is left out"
        return picture, f"{error}; the picture is used without boxes"
    if contrary := [line for line, insect in insects if insect.species == HORNET and not picture.hornet]:
        return None, (
            f"{printable(file)}, line {contrary[0]}: boxes a hornet, but the folder says that there is none;"
            " the picture is left out"
        )
    return replace(picture, insects=tuple(insect for _, insect in insects)), ""
