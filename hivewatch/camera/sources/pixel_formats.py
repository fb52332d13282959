"""Conversion of camera buffers to RGB, by libcamera's names for pixel formats.

libcamera names a packed format after the bits of a little-endian word, so the bytes in memory are in reverse
order: "BGR888" is R, G, B, and "XRGB8888" is B, G, R, padding. YUV is read as BT.601 in limited range.
"""

from __future__ import annotations

import cv2
import numpy as np

from hivewatch.domain.frames import Pixels
from hivewatch.errors import CameraError

# Bytes per pixel, and OpenCV's conversion to R, G, B (None if no conversion is needed).
_PACKED: dict[str, tuple[int, int | None]] = {
    "BGR888": (3, None),
    "RGB888": (3, cv2.COLOR_BGR2RGB),
    "XBGR8888": (4, cv2.COLOR_RGBA2RGB),
    "XRGB8888": (4, cv2.COLOR_BGRA2RGB),
}
# Colour is sampled once per 2 x 2 pixels, so the planes have one and a half times the rows of the picture.
_YUV_4_2_0: dict[str, int] = {
    "YUV420": cv2.COLOR_YUV2RGB_I420,
    "YVU420": cv2.COLOR_YUV2RGB_YV12,
    "NV12": cv2.COLOR_YUV2RGB_NV12,
    "NV21": cv2.COLOR_YUV2RGB_NV21,
}


def to_rgb(buffer: Pixels, pixel_format: str, size_px: tuple[int, int], stride_bytes: int) -> Pixels:
    """Return the picture in ``buffer`` as contiguous uint8 RGB, height x width x 3.

    ``buffer`` holds the bytes of all planes in sequence, ``size_px`` is width and height, ``stride_bytes`` is
    the length of a row of the first plane with its padding. The picture may share the buffer's memory. Raises
    CameraError for an unsupported format or a buffer that is too short.
    """
    width_px, height_px = size_px
    if pixel_format in _PACKED:
        pixel_bytes, code = _PACKED[pixel_format]
        rows = _rows(buffer, height_px, stride_bytes)[:, : width_px * pixel_bytes]
        picture = np.ascontiguousarray(rows).reshape(height_px, width_px, pixel_bytes)
        return picture if code is None else _converted(picture, code)
    if pixel_format in _YUV_4_2_0:
        # The colour planes are padded in proportion, so the buffer converts as one wider picture.
        padded = _converted(_rows(buffer, height_px * 3 // 2, stride_bytes), _YUV_4_2_0[pixel_format])
        return np.ascontiguousarray(padded[:, :width_px])
    supported = ", ".join([*_PACKED, *_YUV_4_2_0])
    raise CameraError(
        f"the camera delivers {pixel_format}, which is not supported; supported are {supported}"
    )


def _rows(buffer: Pixels, rows: int, stride_bytes: int) -> Pixels:
    """Return the first ``rows`` rows of the buffer as bytes; anything after them is ignored."""
    if buffer.size < rows * stride_bytes:
        raise CameraError(
            f"the camera delivered {buffer.size} bytes instead of {rows} rows of {stride_bytes} bytes"
        )
    return buffer.reshape(-1)[: rows * stride_bytes].reshape(rows, stride_bytes)


def _converted(picture: Pixels, code: int) -> Pixels:
    """Return the picture in R, G, B order, as uint8."""
    return np.asarray(cv2.cvtColor(picture, code), dtype=np.uint8)
