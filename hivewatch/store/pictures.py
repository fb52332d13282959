"""The picture files of the store: naming, writing, reading, listing and removing them."""

from __future__ import annotations

import hashlib
import logging
import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from hivewatch.domain.sightings import Sighting
from hivewatch.store.disk import make_folder, sync_folder, write_durably

log = logging.getLogger(__name__)

_NAME = re.compile(r"(?P<time>\d{6})Z-(?P<id>.+)-(?P<revision>\d+)")


@dataclass(frozen=True, slots=True)
class Pictures:
    """The clean and the annotated JPEG of one revision; ``stem`` is relative to the store's directory.

    ``stem`` is None if there are no pictures. ``sha256`` is that of the annotated one, None if unknown.
    """

    revision: int
    stem: str | None
    sha256: str | None
    size_bytes: int

    @property
    def clean(self) -> str | None:
        """Path of the picture without annotations."""
        return None if self.stem is None else f"{self.stem}.jpg"

    @property
    def annotated(self) -> str | None:
        """Path of the picture with the detection drawn on it."""
        return None if self.stem is None else f"{self.stem}-annotated.jpg"


NO_PICTURES = Pictures(0, None, None, 0)


@dataclass(frozen=True, slots=True)
class FoundPictures:
    """Pictures on disk, and what their file names say about the sighting."""

    sighting_id: str
    started_at: datetime
    pictures: Pictures


def name_pictures(sighting: Sighting, revision: int, clean: bytes, annotated: bytes) -> Pictures:
    """Return the name, hash and size of these pictures of ``sighting``; no two revisions share a name."""
    started = sighting.started_at.astimezone(UTC)
    stem = f"snapshots/{started:%Y-%m-%d/%H%M%S}Z-{sighting.id}-{revision}"
    return Pictures(revision, stem, sha256(annotated), len(clean) + len(annotated))


def sha256(content: bytes) -> str:
    """Return the SHA-256 hash in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


class Album:
    """The files under ``directory/snapshots``, one folder per day. Lets OSError through."""

    def __init__(self, directory: Path) -> None:
        """Make the folder if it is missing, and remove files that a power cut left half-written."""
        self._directory = directory
        make_folder(directory / "snapshots")
        for leftover in directory.glob("snapshots/*/.*.tmp"):
            leftover.unlink()

    def write(self, pictures: Pictures, clean: bytes, annotated: bytes) -> None:
        """Write both files; they survive a power cut once this returns."""
        folder = (self._directory / f"{pictures.stem}").parent
        make_folder(folder)
        for name, content in ((pictures.clean, clean), (pictures.annotated, annotated)):
            write_durably(self._directory / f"{name}", content)
        sync_folder(folder)

    def read(self, picture: str, expected_sha256: str | None) -> bytes | None:
        """Return the content of a file, None if it is missing or does not match the hash.

        Without a hash, which a damaged database may have lost, any content is accepted. Raises OSError if it
        cannot be read now: that may pass.
        """
        try:
            content = (self._directory / picture).read_bytes()
        except FileNotFoundError:
            if not (self._directory / "snapshots").is_dir():
                raise  # the disk was unmounted or the store moved away: the picture may come back
            return None
        return content if expected_sha256 in {None, sha256(content)} else None

    def has(self, stem: str | None) -> bool:
        """Return whether there is a picture of this name, the clean or the annotated one."""
        pictures = Pictures(0, stem, None, 0)
        names = filter(None, (pictures.clean, pictures.annotated))
        return any((self._directory / name).exists() for name in names)

    def remove(self, pictures: Pictures) -> None:
        """Remove the files, and their folder if it is empty then; log a warning for one that cannot be."""
        for name in (pictures.clean, pictures.annotated):
            if name is None:
                continue
            try:
                (self._directory / name).unlink(missing_ok=True)
            except OSError as error:
                log.warning("cannot remove %s, which is no longer needed: %s", self._directory / name, error)
        if pictures.stem is not None:
            with suppress(OSError):  # not empty
                (self._directory / pictures.stem).parent.rmdir()

    def scan(self) -> Iterator[FoundPictures]:
        """Yield the pictures on disk; files with other names are ignored."""
        sizes_bytes: dict[tuple[str, str], int] = defaultdict(int)
        for file in self._directory.glob("snapshots/*/*.jpg"):
            name = file.name.removesuffix(".jpg").removesuffix("-annotated")
            sizes_bytes[file.parent.name, name] += file.stat().st_size
        for (day, name), size_bytes in sizes_bytes.items():
            if (found := _parse_name(day, name, size_bytes)) is not None:
                yield found


def _parse_name(day: str, name: str, size_bytes: int) -> FoundPictures | None:
    parts = _NAME.fullmatch(name)
    if parts is None:
        return None
    try:
        started_at = datetime.strptime(f"{day} {parts['time']} +0000", "%Y-%m-%d %H%M%S %z")
    except ValueError:  # not a name that hivewatch gives
        return None
    pictures = Pictures(int(parts["revision"]), f"snapshots/{day}/{name}", None, size_bytes)
    return FoundPictures(parts["id"], started_at, pictures)
