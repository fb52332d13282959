"""Reading of picture files, complete or not at all."""

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
"""Larger pictures are rejected before decoding: 300 MB, from a file that may have a few kilobytes."""

_PNG = b"\x89PNG\r\n\x1a\n"
# In the coded data of a JPEG, FF 00 is a data byte, FF FF is padding, and FF D0..D7 are restart markers.
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


class PictureError(CameraError):
    """One picture cannot be used; others may still be."""


def read_picture(path: Path) -> Pixels:
    """Return a JPEG, PNG or WebP as RGB, uint8, height x width x 3, rotated as its EXIF data says.

    Grey, palette, 16-bit and CMYK pictures become 8-bit RGB. Transparency is ignored: the stored colours
    count. Of an animation, the first picture is read. Raises PictureError for a file that cannot be read, is
    of another type, has more than LARGEST_PX pixels, is truncated (checked first, because some decoders fill
    a truncated JPEG with grey), or cannot be decoded. Damage within the coded data of a JPEG or WebP is not
    detected: these formats have no checksums.
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
    """Return the modification time of a file in UTC, which serves as the time its pictures were taken."""
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, tz=UTC)
    except (OSError, OverflowError, ValueError) as error:
        raise PictureError(f"{path} has no usable modification time: {error}") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PictureError(f"{path} cannot be read: {error.strerror}") from error


def _size(path: Path, data: bytes) -> tuple[int, int]:
    """Return width and height in pixels from the headers, after checking that the file is complete."""
    try:
        if data.startswith(b"\xff\xd8"):
            return _jpeg_size(data)
        if data.startswith(_PNG):
            return _png_size(data)
        if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            return _webp_size(data)
    except (EOFError, IndexError, struct.error):
        raise PictureError(f"{path} is truncated: its end is missing") from None
    raise PictureError(f"{path} is not a JPEG, PNG or WebP picture" if data else f"{path} is empty")


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """Walk the segments to the end marker; a thumbnail is skipped with the segment that holds it."""
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
    """Walk the chunks to the last one, IEND."""
    position, kind = len(_PNG), b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, position)
        position += 12 + length
    if position > len(data):
        raise EOFError
    width_px, height_px = struct.unpack_from(">II", data, 16)
    return width_px, height_px


def _webp_size(data: bytes) -> tuple[int, int]:
    """Compare the file with the length it states; the size is in its first chunk.

    After a power cut a file may have the right length but end in zeros, which decode without an error.
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
