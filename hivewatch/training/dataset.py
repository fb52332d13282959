"""Labelled pictures on disk: which there are, what is on them, which split each belongs to.

Two layouts are read. The one people have: ``train|val|test/presence|absence/*.jpg``, each picture with an
optional ``.txt`` of YOLO boxes beside it (class 0 is the hornet, every other number another insect). And the
catalogue: ``index.csv`` and ``boxes.csv`` with a split per picture. Splits are taken as given, never drawn:
frames of one camera and day are near-copies, and a random split would measure memory.
"""

from __future__ import annotations

import csv
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import cv2

from hivewatch.domain import Box, Pixels
from hivewatch.errors import DataError

HORNET = "velutina"
SPLITS = ("train", "val", "test")
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
YOLO_HORNET = 0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Insect:
    """One boxed insect: its species and its box, normalised to the picture."""

    species: str
    box: Box


@dataclass(frozen=True, slots=True)
class Picture:
    """One labelled picture.

    ``hornet`` says whether Vespa velutina is on it. ``domain`` is "hive" (seen from a hive camera), "photo"
    (a close-up) or "crop" (a cut-out of one insect). ``scene`` names camera and day, or the folder.
    ``insects`` need not be complete: a hornet picture without a hornet box is one nobody boxed.
    """

    path: Path
    hornet: bool
    species: str
    domain: str
    scene: str
    split: str
    insects: tuple[Insect, ...] = ()

    @property
    def hornet_boxes(self) -> tuple[Box, ...]:
        """The boxes of the hornets, normalised."""
        return tuple(insect.box for insect in self.insects if insect.species == HORNET)

    @property
    def name(self) -> str:
        """Folder and file name: what reports call the picture."""
        return f"{self.path.parent.name}/{self.path.name}"


Shot = tuple[Picture, Pixels]
"""A picture and its pixels."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All pictures of a data folder, and a sentence about each thing in it that could not be used."""

    pictures: tuple[Picture, ...]
    problems: tuple[str, ...] = ()

    def split(self, *names: str) -> tuple[Picture, ...]:
        """The pictures of the splits called ``names``; ``val`` also means every ``val_...``."""
        prefixes = tuple(f"{name}_" for name in names)
        return tuple(p for p in self.pictures if p.split in names or p.split.startswith(prefixes))


def read_catalogue(data: Path) -> Catalogue:
    """List the labelled pictures under ``data``, in either layout, without decoding them.

    Raises DataError where the folder is missing, is of neither layout, or one of the two classes is empty
    in the training split.
    """
    if not data.is_dir():
        raise DataError(f"{data}: there is no such folder; name the folder that holds the training pictures")
    catalogue = _read_index(data) if (data / "index.csv").is_file() else _read_folders(data)
    training = catalogue.split("train")
    for hornet, name in ((True, "presence"), (False, "absence")):
        if not any(picture.hornet is hornet for picture in training):
            raise DataError(
                f"{data}: no picture of the class '{name}' in the split 'train'; both classes are needed"
            )
    for problem in catalogue.problems:
        log.warning("%s", problem)
    return catalogue


def decode(path: Path) -> Pixels:
    """Read one picture as RGB, uint8, height x width x 3; raises DataError with the file's name."""
    try:
        bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise DataError(f"{path}: cannot be decoded ({error.err}); remove or replace it") from error
    if bgr is None:
        raise DataError(f"{path}: not a readable picture; remove or replace it")
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)  # type: ignore[return-value]


def decode_all(
    pictures: Iterable[Picture], *, long_side_px: int, threads: int = 2
) -> tuple[list[Shot], list[str]]:
    """Decode every picture once, none larger than ``long_side_px``, and name those that cannot be.

    Returns the readable pictures with their pixels, in the order given, and a sentence for each bad file.
    """

    def attempt(picture: Picture) -> tuple[Picture, Pixels | str]:
        try:
            return picture, shrink(decode(picture.path), long_side_px)
        except DataError as error:
            return picture, str(error)

    good: list[Shot] = []
    problems: list[str] = []
    with ThreadPoolExecutor(threads) as pool:
        for picture, result in pool.map(attempt, pictures):
            if isinstance(result, str):
                problems.append(result)
            else:
                good.append((picture, result))
    return good, problems


def shrink(pixels: Pixels, long_side_px: int) -> Pixels:
    """Scale a picture down, never up, so that its longer side is at most ``long_side_px``."""
    height, width = pixels.shape[:2]
    scale = long_side_px / max(height, width)
    if scale >= 1:
        return pixels
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


# --- the catalogue layout -------------------------------------------------------------------------------


def _read_index(data: Path) -> Catalogue:
    """Read ``index.csv`` and, where there is one, ``boxes.csv``."""
    insects, problems = _read_box_table(data / "boxes.csv")
    pictures = []
    for line, row in _rows(data / "index.csv"):
        try:
            picture = Picture(
                path=data / row["file"],
                hornet=row["presence"] == "1",
                species=row["species"],
                domain=row["domain"],
                scene=row["scene"] or row["source"],
                split=row["split"],
                insects=tuple(insects.get(row["file"], ())),
            )
        except KeyError as error:
            raise DataError(f"{data / 'index.csv'}, line {line}: the column {error} is missing") from error
        if picture.path.is_file():
            pictures.append(picture)
        else:
            problems.append(f"{picture.path}: named in index.csv but not there")
    return Catalogue(tuple(pictures), tuple(problems))


def _read_box_table(path: Path) -> tuple[dict[str, list[Insect]], list[str]]:
    """The insects per file of ``boxes.csv``, and what in it is wrong."""
    insects: dict[str, list[Insect]] = defaultdict(list)
    problems: list[str] = []
    if not path.is_file():
        return insects, problems
    for line, row in _rows(path):
        try:
            box = _box_from_centre(*(float(row[key]) for key in "xywh"))
            insects[row["file"]].append(Insect(row["class"], box))
        except (KeyError, TypeError, ValueError) as error:
            problems.append(f"{path}, line {line}: not a box ({error})")
    return insects, problems


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and fields of each row of a CSV file with a header."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            yield from enumerate(csv.DictReader(file), start=2)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error


# --- the layout of folders ------------------------------------------------------------------------------


def _read_folders(data: Path) -> Catalogue:
    """Read ``train|val|test/presence|absence``."""
    if not (data / "train").is_dir():
        raise DataError(
            f"{data}: neither index.csv nor the folders train/presence and train/absence are there"
        )
    pictures: list[Picture] = []
    problems: list[str] = []
    for split in SPLITS:
        for label in ("presence", "absence"):
            folder = data / split / label
            if not folder.is_dir():
                if (data / split).is_dir():
                    raise DataError(f"{folder}: there is no such folder, and {data / split} needs it")
                continue
            for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES):
                picture = _folder_picture(path, split, hornet=label == "presence")
                try:
                    pictures.append(replace(picture, insects=_read_yolo(path.with_suffix(".txt"))))
                except DataError as error:
                    problems.append(str(error))
                    pictures.append(picture)
    return Catalogue(tuple(pictures), tuple(problems))


def _folder_picture(path: Path, split: str, *, hornet: bool) -> Picture:
    species = HORNET if hornet else "none"
    return Picture(path, hornet, species, domain="hive", scene=path.parent.name, split=split)


def _read_yolo(path: Path) -> tuple[Insect, ...]:
    """The insects of a YOLO label file, none where there is no file; raises DataError with file and line."""
    if not path.is_file():
        return ()
    insects = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        fields = line.split()
        if not fields:
            continue
        try:
            kind, x, y, width, height = int(fields[0]), *(float(field) for field in fields[1:5])
            box = _box_from_centre(x, y, width, height)
        except ValueError as error:
            raise DataError(f"{path}, line {number}: not 'class x y width height' ({error})") from error
        insects.append(Insect(HORNET if kind == YOLO_HORNET else "other", box))
    return tuple(insects)


def _box_from_centre(x: float, y: float, width: float, height: float) -> Box:
    """A box from centre and size, clipped to the picture; raises ValueError where nothing is left of it."""
    box = Box(
        max(0.0, x - width / 2), max(0.0, y - height / 2), min(1.0, x + width / 2), min(1.0, y + height / 2)
    )
    if not (box.x0 < box.x1 and box.y0 < box.y1):
        raise ValueError("it has no area inside the picture")
    return box
