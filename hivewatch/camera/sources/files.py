"""The files below a folder: the one walk for camera, replay, training and evaluation."""

from __future__ import annotations

import logging
import os
import re
from collections import Counter, deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from hivewatch.domain.names import printable
from hivewatch.errors import CameraError

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
"""File name suffixes of pictures, see ``picture.read_picture``."""

CLIP_SUFFIXES = frozenset(
    {".mp4", ".avi", ".mkv", ".mov", ".m4v", ".webm", ".mjpg", ".mjpeg", ".ts", ".h264"}
)
"""File name suffixes of clips."""

# Labels and notes lie beside pictures; nobody expects them to be read as pictures.
_COMPANIONS = frozenset(
    {".txt", ".csv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".toml", ".ini", ".md", ".rst", ".html"}
    | {".pdf", ".log", ".py", ".ipynb", ".sh", ".cache", ".srt", ".db"}
)
# Folders that systems hide without a dot: thumbnails, deleted files, recovered pieces.
_SYSTEM_FOLDERS = frozenset(
    {"@eadir", "__macosx", "#recycle", "$recycle.bin", "system volume information", "lost+found"}
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Listing:
    """The files below a folder.

    ``files`` are pictures and clips, in natural order. ``others`` counts the files of kinds that are not
    read, by suffix. ``problems`` has a sentence for each folder that cannot be listed, ``loops`` one for
    each link that is not followed.
    """

    files: tuple[Path, ...]
    others: Counter[str]
    problems: tuple[str, ...]
    loops: tuple[str, ...] = ()

    def of(self, suffixes: Collection[str]) -> list[Path]:
        """Return the files of these kinds."""
        return [file for file in self.files if file.suffix.lower() in suffixes]

    def passed_over(self, suffixes: Collection[str]) -> str:
        """Return how many files are not of these kinds, such as ``passed over 4 .heic``; empty if none."""
        counts = self.others + Counter(suffix_of(file.name) for file in self.files)
        left = sorted((suffix, count) for suffix, count in counts.items() if suffix not in suffixes)
        return "passed over " + ", ".join(f"{count} {suffix}" for suffix, count in left) if left else ""


def list_files(folder: Path) -> Listing:
    """Return the pictures and clips below a folder, and what else is there.

    Hidden files and folders are passed over. Links are followed, but no file is listed twice: one that is
    below the folder itself is listed by its own name, and a link to a folder that holds ``folder`` is not
    followed. Nothing is opened: a file that cannot be read is listed like any other.
    """
    return _Walk(folder).run()


def list_readable(folder: Path) -> Listing:
    """Return what ``list_files`` does, and log the links that are not followed.

    Raises CameraError if ``folder`` or one below it cannot be listed: what is in it would be missed.
    """
    listing = list_files(folder)
    if listing.problems:
        raise CameraError("; ".join(listing.problems))
    for loop in listing.loops:
        log.warning("%s", loop)
    return listing


def is_file(path: Path) -> bool:
    """Return whether there is a regular file that this user may look at; a pipe or device is none."""
    try:
        return path.is_file()
    except OSError:  # a folder above it is not open to this user
        return False


def natural_order(path: Path) -> tuple[list[tuple[int, str]], str]:
    """Return a case-insensitive sort key that puts ``img2`` before ``img10``."""
    parts = re.split(r"(\d+)", str(path).lower())
    return [(int(part), part) if part.isdecimal() else (-1, part) for part in parts], str(path)


def suffix_of(name: str) -> str:
    """Return the kind of a file, for counting."""
    return printable(Path(name).suffix.lower()) or "without a suffix"


@dataclass(slots=True)
class _Walk:
    """Lists what is really below the root first, then what links lead to."""

    root: Path
    files: list[Path] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    loops: list[str] = field(default_factory=list)
    folders: deque[Path] = field(default_factory=deque)
    links: deque[Path] = field(default_factory=deque)
    seen: set[Path] = field(default_factory=set)

    def run(self) -> Listing:
        self.folders.append(self.root)
        while self.folders or self.links:
            if self.folders:
                self._list(self.folders.popleft())
            else:
                self._follow(self.links.popleft())
        files = tuple(sorted(self.files, key=natural_order))
        return Listing(files, self.others, tuple(self.problems), tuple(self.loops))

    def _list(self, folder: Path) -> None:
        real = Path(os.path.realpath(folder))
        if real in self.seen:
            return
        self.seen.add(real)
        for entry in self._entries(folder):
            path = folder / entry.name
            if entry.is_symlink():
                self.links.append(path)
            elif entry.is_dir(follow_symlinks=False):
                self.folders.append(path)
            else:
                self._add(path, real / entry.name)

    def _entries(self, folder: Path) -> Iterable[os.DirEntry[str]]:
        try:
            with os.scandir(folder) as entries:
                visible = [entry for entry in entries if not _is_hidden(entry.name)]
        except OSError as error:
            self.problems.append(f"folder {printable(folder)} cannot be listed: {error.strerror}")
            return []
        return sorted(visible, key=lambda entry: entry.name)

    def _follow(self, link: Path) -> None:
        real = Path(os.path.realpath(link))
        try:
            is_folder = real.is_dir()
        except OSError as error:
            self.problems.append(f"the link {printable(link)} cannot be followed: {error.strerror}")
            return
        if not is_folder:
            self._add(link, real)
        elif real in Path(os.path.realpath(self.root)).parents:
            # What lies beside the root is not meant: beside presence/ there is absence/.
            self.loops.append(
                f"the link {printable(link)} is not followed: it leads to a folder that it is in itself"
            )
        else:
            self.folders.append(link)

    def _add(self, path: Path, real: Path) -> None:
        if real in self.seen:
            return
        self.seen.add(real)
        suffix = path.suffix.lower()
        if suffix in PICTURE_SUFFIXES or suffix in CLIP_SUFFIXES:
            self.files.append(path)
        elif suffix not in _COMPANIONS:
            self.others[suffix_of(path.name)] += 1


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in _SYSTEM_FOLDERS
