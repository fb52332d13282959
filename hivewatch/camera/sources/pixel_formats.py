"""Camera buffers as RGB pictures, by libcamera's names for their formats.

libcamera names a packed format after the bits of a little-endian word, so in memory the bytes stand the other
way round: "BGR888" is R, G, B, and "XRGB8888" is B, G, R, padding. YUV is read as BT.601 in limited range.
"""

from __future__ import annotations

import cv2
import numpy as np

from hivewatch.domain.frames import Pixels
from hivewatch.errors import CameraError

# Bytes of a pixel, and how OpenCV makes R, G, B of them (None: they are that already).
_PACKED: dict[str, tuple[int, int | None]] = {
    "BGR888": (3, None),
    "RGB888": (3, cv2.COLOR_BGR2RGB),
    "XBGR8888": (4, cv2.COLOR_RGBA2RGB),
    "XRGB8888": (4, cv2.COLOR_BGRA2RGB),
}
# Colour is sampled once in 2 x 2 pixels, so the planes take one and a half times the rows of the picture.
_YUV_4_2_0: dict[str, int] = {
    "YUV420": cv2.COLOR_YUV2RGB_I420,
    "YVU420": cv2.COLOR_YUV2RGB_YV12,
    "NV12": cv2.COLOR_YUV2RGB_NV12,
    "NV21": cv2.COLOR_YUV2RGB_NV21,
}


def to_rgb(buffer: Pixels, pixel_format: str, size_px: tuple[int, int], stride_bytes: int) -> Pixels:
    """Return the picture in ``buffer`` as contiguous uint8 RGB, height x width x 3.

    ``buffer`` holds the bytes of all planes one after the other, ``size_px`` is width and height, and
    ``stride_bytes`` the length of a row of the first plane, its padding included. The picture may share the
    buffer's memory. Raises CameraError for a format that is not known here, or a buffer that is too short.
    """
    width_px, height_px = size_px
    if pixel_format in _PACKED:
        pixel_bytes, code = _PACKED[pixel_format]
        rows = _rows(buffer, height_px, stride_bytes)[:, : width_px * pixel_bytes]
        picture = np.ascontiguousarray(rows).reshape(height_px, width_px, pixel_bytes)
        return picture if code is None else _converted(picture, code)
    if pixel_format in _YUV_4_2_0:
        # The colour planes are padded in proportion, so the whole converts as one wider picture.
        padded = _converted(_rows(buffer, height_px * 3 // 2, stride_bytes), _YUV_4_2_0[pixel_format])
        return np.ascontiguousarray(padded[:, :width_px])
    known = ", ".join([*_PACKED, *_YUV_4_2_0])
    raise CameraError(f"the camera gives pictures as {pixel_format}, which cannot be read; known are {known}")


def _rows(buffer: Pixels, rows: int, stride_bytes: int) -> Pixels:
    """Return the buffer as ``rows`` rows of bytes, without what may follow them."""
    if buffer.size < rows * stride_bytes:
        raise CameraError(
            f"the camera gave {buffer.size} bytes where {rows} rows of {stride_bytes} bytes were announced"
        )
    return buffer.reshape(-1)[: rows * stride_bytes].reshape(rows, stride_bytes)


def _converted(picture: Pixels, code: int) -> Pixels:
    """Return the picture in R, G, B order, as uint8."""
    return np.asarray(cv2.cvtColor(picture, code), dtype=np.uint8)
