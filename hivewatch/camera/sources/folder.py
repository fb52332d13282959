"""Pictures from files, in natural order of their names."""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Generator, Sequence
from pathlib import Path

from hivewatch.camera.base import CameraCounts
from hivewatch.camera.sources.opencv import prepare_opencv
from hivewatch.camera.sources.picture import PictureError, modified_at, read_picture
from hivewatch.domain.frames import Frame
from hivewatch.errors import CameraError

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})

log = logging.getLogger(__name__)


def natural_order(path: Path) -> tuple[list[tuple[int, str]], str]:
    """Return a case-insensitive sort key that puts ``img2`` before ``img10``."""
    parts = re.split(r"(\d+)", str(path).lower())
    return [(int(part), part) if part.isdecimal() else (-1, part) for part in parts], str(path)


def find_pictures(folder: Path) -> list[Path]:
    """Return all pictures below a folder in natural order, without hidden ones.

    Raises CameraError if the folder or one below it cannot be listed, or if there is no picture.
    """

    def fail(error: OSError) -> None:
        raise CameraError(f"folder {error.filename} cannot be listed: {error.strerror}") from error

    found = []
    for parent, folders, names in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = [Path(parent, name) for name in names if not name.startswith(".")]
        found += [path for path in paths if path.suffix.lower() in PICTURE_SUFFIXES]
    if not found:
        raise CameraError(f"folder {folder} holds no picture (jpg, png or webp)")
    return sorted(found, key=natural_order)


class FolderCamera:
    """Yields pictures from files, once each.

    Each of ``paths`` is a picture or a folder, which is searched recursively. ``monotonic_s`` is the number
    of pictures delivered so far divided by ``rate_hz``, paced or not, and ``taken_at`` is the modification
    time of the file. If paced, a picture is delivered no sooner than its ``monotonic_s`` after the first.
    No picture is ever dropped.
    """

    def __init__(self, paths: Sequence[Path], *, rate_hz: float, paced: bool) -> None:
        """``rate_hz``: pictures per second, in the frames' times and, if ``paced``, in real time."""
        prepare_opencv()
        self._paths = paths
        self._rate_hz = rate_hz
        self._paced = paced
        self.name = str(paths[0]) if len(paths) == 1 else f"{len(paths)} paths"
        self.counts = CameraCounts()
        self.is_live = False

    def frames(self, stop: threading.Event) -> Generator[Frame]:
        """Yield each picture; a bad one is skipped, counted and named in a warning.

        Raises CameraError if a folder or the only picture does not exist, a folder holds no picture, or none
        can be read.
        """
        pictures = [picture for path in self._paths for picture in self._pictures(path)]
        started_s, delivered = time.monotonic(), 0
        for path in pictures:
            due_s = delivered / self._rate_hz
            if stop.wait(max(0.0, started_s + due_s - time.monotonic()) if self._paced else 0.0):
                return
            try:
                frame = Frame(read_picture(path), modified_at(path), due_s, delivered, str(path))
            except PictureError as error:
                self.counts.bad += 1
                log.warning("skipped a picture: %s", error)
                continue
            yield frame
            delivered += 1
        if not delivered:
            raise CameraError(f"not one of {len(pictures)} pictures in {self.name} can be read")

    def _pictures(self, path: Path) -> list[Path]:
        if path.is_dir():
            return find_pictures(path)
        # A picture of a list that has been deleted meanwhile is skipped with a warning, like a damaged one.
        may_be_missing = len(self._paths) > 1 and path.suffix.lower() in PICTURE_SUFFIXES
        if not may_be_missing and not path.exists():
            raise CameraError(f"{path} does not exist: name a picture or a folder of pictures")
        return [path]
