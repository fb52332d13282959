"""The size of a picture from its headers, whether its file is complete, and how a WebP is to be rotated."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence

_PNG = b"\x89PNG\r\n\x1a\n"
# Before a marker of a JPEG there may be padding, FF FF, and coded data: FF 00 is a byte of them, FF D0..D7
# are restart markers. FF 01 has no segment either.
_NEXT_MARKER = re.compile(rb"\xff[^\x00\x01\xff\xd0-\xd7]")
_END_OF_IMAGE = 0xD9
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_UNPACKED_BMP = {0, 3, 6}  # plain pixels, with or without bit masks; others are run-length coded
_TIFF_FORMATS = {3: "H", 4: "I"}
_STRIPS, _TILES = (
    (273, 279),
    (324, 325),
)  # tags of a TIFF: where the pieces of its pixels are, and their sizes
_ORIENTATION = 274  # tag of a TIFF and of EXIF data


def size_of(data: bytes) -> tuple[int, int] | None:
    """Return width and height in pixels; None if ``data`` is not a JPEG, PNG, WebP, BMP or TIFF.

    Raises EOFError, IndexError or struct.error if the file is truncated.
    """
    if data.startswith(b"\xff\xd8"):
        return _jpeg_size(data)
    if data.startswith(_PNG):
        return _png_size(data)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _webp_size(data)
    if data.startswith(b"BM"):
        return _bmp_size(data)
    if data.startswith((b"II*\x00", b"MM\x00*")):
        return _tiff_size(data)
    return None


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """Walk the segments to the end marker; a thumbnail is skipped with the segment that holds it."""
    position, size = 2, (0, 0)
    while True:
        found = _NEXT_MARKER.search(data, position)
        if found is None:
            raise EOFError
        marker, position = found[0][1], found.end()
        if marker == _END_OF_IMAGE:
            return size
        if marker in _FRAME_HEADERS:
            height_px, width_px = struct.unpack_from(">HH", data, position + 3)
            size = max(size, (width_px, height_px), key=lambda side: side[0] * side[1])
        position += struct.unpack_from(">H", data, position)[0]


def _png_size(data: bytes) -> tuple[int, int]:
    """Walk the chunks to the last one, IEND."""
    position, kind = len(_PNG), b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, position)
        position += 12 + length
    _require(data, position)
    width_px, height_px = struct.unpack_from(">II", data, 16)
    return width_px, height_px


def _webp_size(data: bytes) -> tuple[int, int]:
    """Compare the file with the length it states; the size is in its first chunk.

    After a power cut a file may have the right length but end in zeros, which decode without an error.
    """
    _require(data, 8 + struct.unpack_from("<I", data, 4)[0])
    if data.endswith(bytes(64)):
        raise EOFError
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


def webp_orientation(data: bytes) -> int:
    """Return the EXIF orientation of a WebP, 1 (as stored) if it states none."""
    position = 12
    while (kind := data[position : position + 4]) not in (b"", b"EXIF"):
        if len(data) < position + 8:
            return 1
        (length,) = struct.unpack_from("<I", data, position + 4)
        position += 8 + length + length % 2
    exif = data[position + 8 :].removeprefix(b"Exif\0\0") if kind else b""
    try:
        return int(_tiff_tags(exif)[_ORIENTATION][0])
    except (LookupError, struct.error):
        return 1


def _bmp_size(data: bytes) -> tuple[int, int]:
    """Compute where the pixels end; of run-length coded ones only the file's stated length is known."""
    stated, pixels_at, header = struct.unpack_from("<I4xII", data, 2)
    if header < 40:
        width_px, height_px, _, bits = struct.unpack_from("<HHHH", data, 18)
        packing = 0
    else:
        width_px, height_px, _, bits, packing = struct.unpack_from("<iiHHI", data, 18)
    width_px, height_px = abs(width_px), abs(height_px)  # negative: the rows run from top to bottom
    plain = pixels_at + (width_px * bits + 31) // 32 * 4 * height_px
    _require(data, plain if packing in _UNPACKED_BMP else stated)
    return width_px, height_px


def _tiff_size(data: bytes) -> tuple[int, int] | None:
    """Read the first directory; every strip or tile of pixels must end within the file."""
    tags = _tiff_tags(data)
    for places, sizes in (_STRIPS, _TILES):
        for place, size in zip(tags.get(places, ()), tags.get(sizes, ()), strict=False):
            _require(data, place + size)
    widths, heights = tags.get(256), tags.get(257)
    return (widths[0], heights[0]) if widths and heights else None


def _tiff_tags(data: bytes) -> dict[int, Sequence[int]]:
    """Return the tags of the first directory."""
    order = "<" if data.startswith(b"II") else ">"
    (start,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, start)
    return dict(_tiff_entry(data, start + 2 + 12 * number, order) for number in range(count))


def _tiff_entry(data: bytes, position: int, order: str) -> tuple[int, Sequence[int]]:
    """Return a tag and its values; none if they are not whole numbers."""
    tag, kind, count = struct.unpack_from(f"{order}HHI", data, position)
    if kind not in _TIFF_FORMATS:
        return tag, ()
    form = f"{order}{count}{_TIFF_FORMATS[kind]}"
    place = position + 8
    if struct.calcsize(form) > 4:
        (place,) = struct.unpack_from(f"{order}I", data, place)
    return tag, struct.unpack_from(form, data, place)


def _require(data: bytes, length: int) -> None:
    if length > len(data):
        raise EOFError
