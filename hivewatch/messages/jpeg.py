"""The one JPEG encoder."""

from __future__ import annotations

import cv2

from hivewatch.domain.frames import Pixels
from hivewatch.errors import StoreError


def encode_jpeg(pixels: Pixels, quality: int) -> bytes:
    """Return RGB ``pixels`` as a JPEG of ``quality``, 0 to 100. Raises StoreError if encoding fails."""
    try:
        bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
        is_encoded, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    except cv2.error as error:
        is_encoded, reason = False, f"{error}"
    else:
        reason = "the encoder gave no reason"
    if not is_encoded:
        height_px, width_px = pixels.shape[:2]
        raise StoreError(f"cannot encode a picture of {width_px} x {height_px} pixels as JPEG: {reason}")
    return encoded.tobytes()
