"""Pictures from files, in natural order of their names."""

from __future__ import annotations

import logging
import stat
import threading
import time
from collections.abc import Generator, Sequence
from pathlib import Path

from hivewatch.camera.base import CameraCounts
from hivewatch.camera.sources.files import PICTURE_SUFFIXES, list_readable
from hivewatch.camera.sources.opencv import prepare_opencv
from hivewatch.camera.sources.own_times import OwnTimes
from hivewatch.camera.sources.picture import PictureError, modified_at, read_picture
from hivewatch.domain.frames import Frame
from hivewatch.domain.names import printable
from hivewatch.errors import CameraError

SUFFIXES_IN_WORDS = "jpg, png, webp, bmp, tif"

log = logging.getLogger(__name__)


def find_pictures(folder: Path) -> list[Path]:
    """Return all pictures below a folder in natural order, see ``list_readable``; log what was passed over.

    Raises CameraError if the folder or one below it cannot be listed, or if there is no picture.
    """
    listing = list_readable(folder)
    found, passed_over = listing.of(PICTURE_SUFFIXES), listing.passed_over(PICTURE_SUFFIXES)
    if not found:
        others = passed_over and f"; {passed_over}"
        raise CameraError(f"folder {printable(folder)} holds no picture ({SUFFIXES_IN_WORDS}){others}")
    if passed_over:
        log.warning("folder %s: %s; pictures are %s", printable(folder), passed_over, SUFFIXES_IN_WORDS)
    return found


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
        self.name = printable(paths[0]) if len(paths) == 1 else f"{len(paths)} paths"
        self.counts = CameraCounts()
        self.is_live = False

    def frames(self, stop: threading.Event) -> Generator[Frame]:
        """Yield each picture; a bad one is skipped, counted and named in a warning.

        Raises CameraError if a folder or the only picture does not exist or is not open to this user, a
        folder holds no picture, or none can be read.
        """
        pictures = [picture for path in self._paths for picture in self._pictures(path)]
        started_s, delivered = time.monotonic(), 0
        own_times = OwnTimes(self._rate_hz)
        for path in pictures:
            due_s = delivered / self._rate_hz
            if stop.wait(max(0.0, started_s + due_s - time.monotonic()) if self._paced else 0.0):
                return
            try:
                frame = Frame(read_picture(path), modified_at(path), due_s, delivered, printable(path))
            except PictureError as error:
                self.counts.bad += 1
                log.warning("skipped a picture: %s", error)
                continue
            self._tell_of_timelapse(own_times, path)
            yield frame
            delivered += 1
        self._tell_of_timelapse(own_times, None)
        if not delivered:
            raise CameraError(f"not one of {len(pictures)} pictures in {self.name} can be read")

    def _pictures(self, path: Path) -> list[Path]:
        try:
            is_folder = stat.S_ISDIR(path.stat().st_mode)
        except OSError as error:
            # A picture of a list that has been deleted meanwhile is skipped with a warning, like a damaged
            # one.
            if len(self._paths) > 1 and path.suffix.lower() in PICTURE_SUFFIXES:
                return [path]
            is_missing = isinstance(error, FileNotFoundError)
            fault = "does not exist" if is_missing else f"cannot be read ({error.strerror})"
            raise CameraError(f"{printable(path)} {fault}: name a picture or a folder of pictures") from error
        return find_pictures(path) if is_folder else [path]

    def _tell_of_timelapse(self, own_times: OwnTimes, path: Path | None) -> None:
        # Unpaced, each picture is judged by itself, and its times need not be read.
        if self._paced and (step_s := own_times.contradict(path)) is not None:
            log.warning(
                "%s: by their own times the pictures were taken about %.0f s apart, but they count as %g a"
                " second: votes join pictures of different moments, and times of visits are not real; judge"
                " them one by one with `hivewatch replay`",
                *(self.name, step_s, self._rate_hz),
            )
