"""Reading of picture files, complete or not at all: the only module that opens a picture.

Files are read as bytes and decoded from memory: OpenCV ends the process at a name that is not UTF-8.
"""

from __future__ import annotations

import stat
import struct
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from hivewatch.camera.sources.opencv import prepare_opencv, to_rgb
from hivewatch.camera.sources.picture_size import size_of, webp_orientation
from hivewatch.domain.frames import Pixels
from hivewatch.domain.names import printable
from hivewatch.errors import CameraError

LARGEST_PX = 100_000_000
"""Larger pictures are rejected before decoding: 300 MB, from a file that may have a few kilobytes."""
LARGEST_BYTES = 1_000_000_000
"""Larger files are rejected before reading; no picture of LARGEST_PX needs so much."""

KINDS = "JPEG, PNG, WebP, BMP or TIFF"


class PictureError(CameraError):
    """One picture cannot be used; others may still be."""


def read_picture(path: Path) -> Pixels:
    """Return a picture as RGB, uint8, height x width x 3, rotated as its EXIF data says.

    Grey, palette, 16-bit and CMYK pictures become 8-bit RGB. Transparency is ignored: the stored colours
    count. Of an animation, the first picture is read. Raises PictureError as ``load_picture`` does, and for
    one that cannot be decoded. Damage within the coded data of a JPEG or WebP is not detected: these formats
    have no checksums.
    """
    return to_rgb(decode_picture(path, load_picture(path), cv2.IMREAD_COLOR))


def load_picture(path: Path) -> bytes:
    """Return the content of a picture file, after checking its headers.

    Raises PictureError for a file that cannot be read, is of another kind than KINDS, has more than
    LARGEST_PX pixels, or is truncated (checked first, because some decoders fill a truncated JPEG with grey).
    """
    data = _read(path)
    width_px, height_px = _size(path, data)
    if width_px * height_px > LARGEST_PX:
        raise PictureError(f"{printable(path)} is too large: {width_px} x {height_px} pixels")
    return data


def decode_picture(path: Path, data: bytes, mode: int) -> npt.NDArray[Any]:
    """Return the pixels of ``data``, which ``load_picture`` has read from ``path``, in OpenCV's ``mode``."""
    prepare_opencv()
    # Only some versions of OpenCV rotate a WebP, so none does.
    is_webp = data.startswith(b"RIFF")
    try:
        decoded = cv2.imdecode(
            np.frombuffer(data, np.uint8), mode | cv2.IMREAD_IGNORE_ORIENTATION if is_webp else mode
        )
    except cv2.error as error:
        raise PictureError(f"{printable(path)} cannot be decoded: {error.err}") from error
    if decoded is None:
        raise PictureError(f"{printable(path)} cannot be decoded: it is damaged")
    return _rotated(decoded, webp_orientation(data)) if is_webp else decoded


def _rotated(pixels: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """Return the pixels as the viewer of an EXIF ``orientation``, 1 to 8, shows them; others mean nothing."""
    if orientation in {5, 6, 7, 8}:
        pixels = pixels.swapaxes(0, 1)
    rows = slice(None, None, -1 if orientation in {3, 4, 7, 8} else 1)
    columns = slice(None, None, -1 if orientation in {2, 3, 6, 7} else 1)
    return np.ascontiguousarray(pixels[rows, columns])


def modified_at(path: Path) -> datetime:
    """Return the modification time of a file in UTC, which serves as the time its pictures were taken."""
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, tz=UTC)
    except (OSError, OverflowError, ValueError) as error:
        # Of an OSError only the reason: its text repeats the name, as Python code.
        reason = getattr(error, "strerror", None) or error
        raise PictureError(f"{printable(path)} has no usable modification time: {reason}") from error


def _read(path: Path) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise PictureError(f"{printable(path)} is not a file")  # reading a pipe would never end
        if status.st_size > LARGEST_BYTES:
            raise PictureError(f"{printable(path)} is too large: {status.st_size} bytes")
        return path.read_bytes()
    except OSError as error:
        raise PictureError(f"{printable(path)} cannot be read: {error.strerror}") from error


def _size(path: Path, data: bytes) -> tuple[int, int]:
    """Return width and height in pixels from the headers, after checking that the file is complete."""
    try:
        size = size_of(data)
    except (EOFError, IndexError, struct.error):
        raise PictureError(f"{printable(path)} is truncated: its end is missing") from None
    if size is None:
        raise PictureError(f"{printable(path)} is {f'not a {KINDS} picture' if data else 'empty'}")
    return size
