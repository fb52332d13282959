"""Labelled pictures: their labels, boxes and pixels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2

from hivewatch.camera.sources.picture import PictureError, read_picture
from hivewatch.domain.frames import Box, Pixels
from hivewatch.domain.names import printable
from hivewatch.errors import DataError

SPLITS = ("train", "val", "test")
UNUSABLE_CLIP = "clips can be used only without hornets and for training; extract frames from others"
ROUNDING = 0.01
"""How far a label may be outside of its picture: annotation tools round, and draw over the border."""
HORNET = "velutina"
DOUBTFUL = "doubtful"
"""The species of an insect that may be a hornet or not."""


@dataclass(frozen=True, slots=True)
class Insect:
    """One boxed insect: its species and its box, normalised to the picture."""

    species: str
    box: Box


@dataclass(frozen=True, slots=True)
class Picture:
    """One labelled picture.

    ``hornet`` is True if it shows Vespa velutina. ``domain`` is "hive" (from a hive camera), "photo" (a
    close-up), "crop" (a cut-out of one insect) or "simulator". ``scene`` names the camera and day, or the
    subfolder of the class; it is empty if the picture belongs to no scene. ``source`` is who collected it, if
    known. ``insects`` need not be complete: a hornet picture without a hornet box is unboxed.
    """

    path: Path
    hornet: bool
    species: str
    domain: str
    scene: str
    split: str
    insects: tuple[Insect, ...] = ()
    source: str = ""

    @property
    def origin(self) -> str:
        """Where the picture comes from: its scene, else its source, else its folder."""
        return self.scene or self.source or self.path.parent.name

    @property
    def hornet_boxes(self) -> tuple[Box, ...]:
        """The boxes of the hornets, normalised."""
        return self._boxes_of(HORNET)

    @property
    def doubtful_boxes(self) -> tuple[Box, ...]:
        """The boxes of doubtful insects, normalised."""
        return self._boxes_of(DOUBTFUL)

    def _boxes_of(self, species: str) -> tuple[Box, ...]:
        return tuple(insect.box for insect in self.insects if insect.species == species)

    @property
    def name(self) -> str:
        """Folder and file name, for reports."""
        return printable(f"{self.path.parent.name}/{self.path.name}")


def box_from_centre(x: float, y: float, width: float, height: float) -> Box:
    """Return a box from its centre and size, clipped to the picture.

    Raises ValueError for values that are not shares of the picture, and if nothing is left.
    """
    _require_shares(x, y, width, height)
    return _clipped(x - width / 2, y - height / 2, x + width / 2, y + height / 2)


def box_around(xs: Sequence[float], ys: Sequence[float]) -> Box:
    """Return the box around a polygon; raises ValueError as ``box_from_centre`` does."""
    _require_shares(*xs, *ys)
    return _clipped(min(xs), min(ys), max(xs), max(ys))


def _require_shares(*values: float) -> None:
    # Not so for NaN, infinity, and pixels.
    if not all(-ROUNDING <= value <= 1 + ROUNDING for value in values):
        raise ValueError("its values must be shares of the picture, from 0 to 1")


def _clipped(x0: float, y0: float, x1: float, y1: float) -> Box:
    box = Box(max(0.0, x0), max(0.0, y0), min(1.0, x1), min(1.0, y1))
    if not (box.x0 < box.x1 and box.y0 < box.y1):
        raise ValueError("it has no area inside the picture")
    return box


Shot = tuple[Picture, Pixels]
"""A picture and its pixels."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The pictures of a data folder, and a sentence per problem found in it.

    ``negative_clips``: clips of hives without hornets, to train on.
    """

    pictures: tuple[Picture, ...]
    problems: tuple[str, ...] = ()
    negative_clips: tuple[Path, ...] = ()

    def split(self, *names: str) -> tuple[Picture, ...]:
        """Return the pictures of the splits ``names``; ``val`` includes every ``val_...``."""
        prefixes = tuple(f"{name}_" for name in names)
        return tuple(p for p in self.pictures if p.split in names or p.split.startswith(prefixes))

    @property
    def validation(self) -> tuple[Picture, ...]:
        """The pictures to validate and calibrate on: ``val``, or ``test`` if there is no ``val``."""
        return self.split("val") or self.split("test")


def decode(path: Path) -> Pixels:
    """Return one picture as RGB, uint8, height x width x 3, see ``read_picture``.

    Raises DataError if it is unreadable.
    """
    try:
        return read_picture(path)
    except PictureError as error:
        raise DataError(f"{error}; remove it or replace it") from error


def decode_all(
    pictures: Iterable[Picture], *, long_side_px: int, threads: int = 2
) -> tuple[list[Shot], list[str]]:
    """Decode every picture, shrunk to a longer side of at most ``long_side_px``.

    Returns the readable pictures with their pixels, in the order given, and a sentence per unreadable file.
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
