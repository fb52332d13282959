"""Real disks of a few megabytes that fill up and fail. Only root can mount them; others skip such tests."""

from __future__ import annotations

import os
import subprocess
import unittest
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

NOBODY = 65534


class NoDiskError(unittest.SkipTest):
    """No disk can be mounted here; pytest skips a test that raises this."""


def fill(folder: Path) -> Path:
    """Fill the disk to its last byte with a file in ``folder``; return the file."""
    ballast = folder / "ballast"
    with ballast.open("ab", buffering=0) as file:
        for size_bytes in (65536, 4096, 1):
            with suppress(OSError):
                while True:
                    file.write(bytes(size_bytes))
    return ballast


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Run as an ordinary user: file permissions do not apply to root."""
    user = os.geteuid()
    os.seteuid(NOBODY if user == 0 else user)
    try:
        yield
    finally:
        os.seteuid(user)


@contextmanager
def small_disk(folder: Path, largest_mb: float) -> Iterator[Path]:
    """Mount a file system in memory at ``folder``."""
    folder.mkdir()
    _as_root("mount", "-t", "tmpfs", "-o", f"size={int(largest_mb * 1024)}k", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def full_disk(folder: Path, largest_mb: float) -> Iterator[Path]:
    """Mount a file system that is full to its last byte at ``folder``."""
    with small_disk(folder, largest_mb):
        fill(folder)
        yield folder


@contextmanager
def card(folder: Path) -> Iterator[Path]:
    """Mount an ext4 file system in a file at ``folder``, like that of an SD card."""
    folder.mkdir()
    image = folder.with_suffix(".img")
    with image.open("wb") as file:
        file.truncate(16 * 1024 * 1024)
    _as_root("mkfs.ext4", "-q", str(image))
    _as_root("mount", "-o", "loop", str(image), str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def wear_out(folder: Path) -> None:
    """Make the card read-only while it is in use, as the kernel does when writing to it fails."""
    subprocess.run(["mount", "-o", "remount,abort", str(folder)], check=True)


def _as_root(*command: str) -> None:
    if os.geteuid() != 0:
        raise NoDiskError("only root may mount a disk")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoDiskError(f"no disk can be mounted here: {done.stderr.strip()}")
