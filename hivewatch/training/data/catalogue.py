"""Read a data folder: its labelled pictures, what they show, and the split each belongs to.

There are two layouts. Folders: ``train|val|test/presence|absence/*.jpg`` (SUFFIXES), each with an
optional ``.txt`` file of YOLO boxes beside it (class 0 is the hornet, every other class another insect).
Index: ``index.csv`` and ``boxes.csv``, with a split per picture. Splits are read, never drawn at random:
frames of one camera and day are near-copies, so a random split would measure memory. Subfolders of a class
(``val/absence/garden_2026-09-03/*.jpg``) name such scenes; confidence intervals then resample whole scenes.
Clips in ``train/absence`` are negative clips: false alarms are mined from them.
"""

from __future__ import annotations

import csv
import logging
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2

from hivewatch.camera.sources.clip import CLIP_SUFFIXES
from hivewatch.errors import DataError
from hivewatch.training.data.corrections import correct, read_corrections
from hivewatch.training.data.dataset import HORNET, Catalogue, Insect, Picture, box_from_centre

SPLITS = ("train", "val", "test")
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
OTHER_SUFFIXES = frozenset(
    {".heic", ".heif", ".avif", ".gif", ".jp2", ".jxl", ".dng", ".cr2", ".nef", ".arw"}
)
"""Kinds of picture that OpenCV reads only in some builds, if at all."""
YOLO_HORNET = 0
UNUSABLE_CLIP = "clips can be used only without hornets and for training; extract frames from others"

log = logging.getLogger(__name__)


def read_catalogue(data: Path, *, corrected: bool = True) -> Catalogue:
    """List the labelled pictures under ``data``, in either layout, without decoding them.

    ``corrected``: apply the corrections of labels in ``corrections.csv``.

    Raises DataError if the folder is missing or has neither layout, or if one of the two classes is empty in
    the training split.
    """
    if not data.is_dir():
        raise DataError(f"{data}: there is no such folder; give the folder that holds the training pictures")
    catalogue = _read_index(data) if (data / "index.csv").is_file() else _read_folders(data)
    if corrected:
        pictures = correct(catalogue.pictures, data, read_corrections())
        catalogue = replace(catalogue, pictures=pictures)
    training = catalogue.split("train")
    for hornet, name in ((True, "presence"), (False, "absence")):
        if not any(picture.hornet is hornet for picture in training):
            raise DataError(
                f"{data}: no picture of the class '{name}' in the split 'train'; both classes are needed"
            )
    for problem in catalogue.problems:
        log.warning("%s", problem)
    return catalogue


# --- the index layout -----------------------------------------------------------------------------------


def _read_index(data: Path) -> Catalogue:
    """Read ``index.csv`` and, if it exists, ``boxes.csv``."""
    insects, problems = _read_box_table(data / "boxes.csv")
    pictures: list[Picture] = []
    negative_clips: list[Path] = []
    for line, row in _rows(data / "index.csv"):
        try:
            picture = Picture(
                path=data / row["file"],
                hornet=row["presence"] == "1",
                species=row["species"],
                domain=row["domain"],
                scene=row["scene"],
                split=row["split"],
                insects=tuple(insects.get(row["file"], ())),
                source=row["source"],
            )
        except KeyError as error:
            raise DataError(f"{data / 'index.csv'}, line {line}: the column {error} is missing") from error
        if not picture.path.is_file():
            problems.append(f"{picture.path}: listed in index.csv but missing")
        elif picture.path.suffix.lower() not in CLIP_SUFFIXES:
            pictures.append(picture)
        elif picture.split == "train" and not picture.hornet:
            negative_clips.append(picture.path)
        else:
            problems.append(f"{picture.path}: {UNUSABLE_CLIP}")
    return Catalogue(tuple(pictures), tuple(problems), tuple(negative_clips))


def _read_box_table(path: Path) -> tuple[dict[str, list[Insect]], list[str]]:
    """Return the insects of each file in ``boxes.csv``, and a sentence per bad row."""
    insects: dict[str, list[Insect]] = defaultdict(list)
    problems: list[str] = []
    if not path.is_file():
        return insects, problems
    for line, row in _rows(path):
        try:
            box = box_from_centre(*(float(row[key]) for key in "xywh"))
            insects[row["file"]].append(Insect(row["class"], box))
        except (KeyError, TypeError, ValueError) as error:
            problems.append(f"{path}, line {line}: not a box ({error})")
    return insects, problems


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the line number and the fields of each row of a CSV file with a header."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            yield from enumerate(csv.DictReader(file), start=2)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error


# --- the folder layout ----------------------------------------------------------------------------------


def _read_folders(data: Path) -> Catalogue:
    """Read ``train|val|test/presence|absence``."""
    if not (data / "train").is_dir():
        raise DataError(f"{data}: holds neither index.csv nor folders train/presence and train/absence")
    pictures: list[Picture] = []
    problems: list[str] = []
    negative_clips: list[Path] = []
    for split in SPLITS:
        for label in ("presence", "absence"):
            folder = data / split / label
            if not folder.is_dir():
                if (data / split).is_dir():
                    raise DataError(
                        f"{folder}: there is no such folder; {data / split} must have both classes"
                    )
                continue
            clips = _files_below(folder, CLIP_SUFFIXES)
            if (split, label) == ("train", "absence"):
                negative_clips = clips
            else:
                problems += [f"{clip}: {UNUSABLE_CLIP}" for clip in clips]
            readable, left_out = _pictures_below(folder)
            problems += left_out
            for path in readable:
                scene = path.parent.relative_to(folder).as_posix().removeprefix(".")
                picture = _folder_picture(path, split, scene, hornet=label == "presence")
                try:
                    pictures.append(replace(picture, insects=_read_yolo(path.with_suffix(".txt"))))
                except DataError as error:
                    problems.append(str(error))
                    pictures.append(picture)
    return Catalogue(tuple(pictures), tuple(problems), tuple(negative_clips))


def _files_below(folder: Path, suffixes: frozenset[str]) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes)


def _pictures_below(folder: Path) -> tuple[list[Path], list[str]]:
    """Return the pictures that OpenCV can read, and a sentence per kind of picture that it cannot."""
    readable = _files_below(folder, SUFFIXES)
    left_out = Counter[str]()
    for path in _files_below(folder, OTHER_SUFFIXES):
        if cv2.imread(str(path), cv2.IMREAD_REDUCED_GRAYSCALE_8) is not None:
            readable.append(path)
        else:
            left_out[path.suffix.lower()] += 1
    return sorted(readable), [
        f"{folder}: {count} {suffix} {'picture' if count == 1 else 'pictures'} left out: OpenCV cannot read"
        " this kind here; convert them to .jpg"
        for suffix, count in sorted(left_out.items())
    ]


def _folder_picture(path: Path, split: str, scene: str, *, hornet: bool) -> Picture:
    return Picture(path, hornet, HORNET if hornet else "none", domain="hive", scene=scene, split=split)


def _read_yolo(path: Path) -> tuple[Insect, ...]:
    """Return the insects of a YOLO label file, none if it is missing; raises DataError with file and line."""
    if not path.is_file():
        return ()
    insects = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        fields = line.split()
        if not fields:
            continue
        try:
            kind, x, y, width, height = int(fields[0]), *(float(field) for field in fields[1:5])
            box = box_from_centre(x, y, width, height)
        except ValueError as error:
            raise DataError(f"{path}, line {number}: not 'class x y width height' ({error})") from error
        insects.append(Insect(HORNET if kind == YOLO_HORNET else "other", box))
    return tuple(insects)
