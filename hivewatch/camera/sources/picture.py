"""Read one picture file, whole or not at all."""

from __future__ import annotations

import re
import struct
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np

from hivewatch.camera.sources.opencv import to_rgb
from hivewatch.domain.frames import Pixels
from hivewatch.errors import CameraError

LARGEST_PX = 100_000_000
"""More pixels than this are refused before decoding: 300 MB, of a file that may be a few kilobytes."""

_PNG = b"\x89PNG\r\n\x1a\n"
# Within the coded data of a JPEG, FF 00 is a byte of data, FF FF padding and D0..D7 are restarts.
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


class PictureError(CameraError):
    """This one picture cannot be used; the next one may."""


def read_picture(path: Path) -> Pixels:
    """Return a JPEG, PNG or WebP as RGB, uint8, height x width x 3, turned upright as its EXIF data says.

    Grey, palette, 16-bit and CMYK pictures become 8-bit RGB. Transparency is ignored: the stored colours
    count. Of an animation the first picture is taken. Raises PictureError for a file that cannot be read, is
    of another kind, has more than LARGEST_PX pixels, ends early (some decoders fill up a cut JPEG with
    grey, so the end is looked for first), or cannot be decoded. Of damage amid the coded data of a JPEG or
    WebP the formats leave no trace to find.
    """
    data = _read(path)
    width_px, height_px = _size(path, data)
    if width_px * height_px > LARGEST_PX:
        raise PictureError(f"{path} is too large: {width_px} x {height_px} pixels")
    try:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise PictureError(f"{path} cannot be decoded: {error.err}") from error
    if decoded is None:
        raise PictureError(f"{path} cannot be decoded: it is damaged")
    return to_rgb(decoded)


def modified_at(path: Path) -> datetime:
    """Return when a file was last written, in UTC: the time its pictures are taken to have been made."""
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, tz=UTC)
    except (OSError, OverflowError, ValueError) as error:
        raise PictureError(f"{path} has no usable time of last change: {error}") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PictureError(f"{path} cannot be read: {error.strerror}") from error


def _size(path: Path, data: bytes) -> tuple[int, int]:
    """Return width and height in pixels as the file states them, once its end has been found."""
    try:
        if data.startswith(b"\xff\xd8"):
            return _jpeg_size(data)
        if data.startswith(_PNG):
            return _png_size(data)
        if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            return _webp_size(data)
    except (EOFError, IndexError, struct.error):
        raise PictureError(f"{path} is cut off: its end is missing") from None
    raise PictureError(f"{path} is not a JPEG, PNG or WebP picture" if data else f"{path} is empty")


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """Walk the segments to the end marker; a preview inside a segment is stepped over with it."""
    position, size = 2, (0, 0)
    while (marker := data[position + 1]) != _END_OF_IMAGE:
        if marker in _FRAME_HEADERS:
            height_px, width_px = struct.unpack_from(">HH", data, position + 5)
            size = (width_px, height_px)
        position += 2 + struct.unpack_from(">H", data, position + 2)[0]
        if marker == _START_OF_SCAN:
            found = _NEXT_MARKER.search(data, position)
            if found is None:
                raise EOFError
            position = found.start()
    return size


def _png_size(data: bytes) -> tuple[int, int]:
    """Walk the chunks to the last one."""
    position, kind = len(_PNG), b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, position)
        position += 12 + length
    if position > len(data):
        raise EOFError
    width_px, height_px = struct.unpack_from(">II", data, 16)
    return width_px, height_px


def _webp_size(data: bytes) -> tuple[int, int]:
    """Hold the file against the length it states; the size stands in its first chunk.

    A file system that lost power may leave the right length with zeros in it, which decode without complaint.
    """
    if 8 + struct.unpack_from("<I", data, 4)[0] > len(data) or data.endswith(bytes(64)):
        raise EOFError
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF
