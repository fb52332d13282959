"""Draws a snapshot's annotations: box, heat map, peak, and a footer with score and time."""

from __future__ import annotations

from datetime import UTC

import cv2
import numpy as np
import numpy.typing as npt

from hivewatch.domain.frames import Frame, Pixels, Point, Prediction

Colour = tuple[int, int, int]
Area = tuple[int, int, int, int]

# RGB. Cyan stands out from wood, grass, bees and hornets alike, and from the red of the heat.
BOX_COLOUR: Colour = (0, 229, 255)
DARK: Colour = (16, 18, 20)
LIGHT: Colour = (240, 240, 240)
HEAT_COLOUR: Colour = (255, 40, 0)
HEAT_OPACITY = 0.22  # the hornet must stay visible under it
FONT = cv2.FONT_HERSHEY_SIMPLEX
FONT_HEIGHT_PX = 21  # of a capital letter at scale 1
SMALLEST_FOOTER_PX = 18


def annotate(frame: Frame, prediction: Prediction, *, dated: bool = True) -> Pixels:
    """Return a copy of the frame's pixels with ``prediction`` drawn on it.

    The footer is added below the picture, so it hides nothing and coordinates stay valid. Without ``dated``
    it shows no time: no time is better than a wrong one. The same frame and prediction give the same pixels.
    RGB, uint8, (height + footer) x width x 3.
    """
    canvas = frame.pixels.copy()
    _overlay_heat(canvas, prediction)
    line_px = max(1, round(min(canvas.shape[:2]) / 360))
    _mark_peak(canvas, prediction.location.peak, line_px)
    if prediction.location.box is not None:
        _outline(canvas, prediction.location.box.pixels(frame.width_px, frame.height_px), line_px)
    footer = _footer(frame, f"hornet {prediction.score:.0%}", dated)
    return np.asarray(np.vstack([canvas, footer]), np.uint8)


def captioned(frame: Frame, text: str, *, dated: bool = True) -> Pixels:
    """Return a copy of the frame's pixels with a footer that shows ``text``, without annotations."""
    return np.asarray(np.vstack([frame.pixels, _footer(frame, text, dated)]), np.uint8)


def _overlay_heat(canvas: Pixels, prediction: Prediction) -> None:
    height_px, width_px = canvas.shape[:2]
    x0, y0, x1, y1 = prediction.extent.pixels(width_px, height_px)
    peak = float(prediction.cam.max())
    if peak <= 0 or x1 <= x0 or y1 <= y0:
        return
    heat = cv2.resize(
        np.maximum(prediction.cam, 0) / peak, (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR
    )
    area = _bounds(heat > 0.02)
    if area is None:
        return
    left, top, right, bottom = area
    opacity = (heat[top:bottom, left:right, np.newaxis] * HEAT_OPACITY).astype(np.float32)
    part = canvas[y0 + top : y0 + bottom, x0 + left : x0 + right]
    part[:] = np.rint(part + (np.asarray(HEAT_COLOUR, np.float32) - part) * opacity)


def _bounds(mask: npt.NDArray[np.bool_]) -> Area | None:
    """Return left, top, right and bottom of the set pixels in ``mask``, None if there are none."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _outline(canvas: Pixels, area: Area, line_px: int) -> None:
    left, top, right, bottom = area
    for colour, width_px in ((DARK, 3 * line_px), (BOX_COLOUR, line_px)):
        cv2.rectangle(canvas, (left, top), (right - 1, bottom - 1), colour, width_px, cv2.LINE_AA)


def _mark_peak(canvas: Pixels, peak: Point, line_px: int) -> None:
    centre = (int(peak.x * canvas.shape[1]), int(peak.y * canvas.shape[0]))
    for colour, width_px in ((DARK, 3 * line_px), (LIGHT, line_px)):
        cv2.drawMarker(canvas, centre, colour, cv2.MARKER_CROSS, 6 * line_px, width_px, cv2.LINE_AA)


def _footer(frame: Frame, text: str, dated: bool) -> Pixels:
    height_px = max(SMALLEST_FOOTER_PX, frame.height_px // 18)
    footer: Pixels = np.full((height_px, frame.width_px, 3), DARK, np.uint8)
    taken = frame.taken_at.astimezone(UTC)
    # The full time, the time of day, or none: a clipped time could be misread.
    times = [f"{taken:%Y-%m-%d %H:%M:%S} UTC", f"{taken:%H:%M:%S} UTC", ""] if dated else [""]
    for time in times:
        if (
            _text_width_px(text, height_px) + _text_width_px(time, height_px) + 2 * height_px
            <= frame.width_px
        ):
            _write(footer, text, height_px // 2, BOX_COLOUR)
            _write(footer, time, frame.width_px - height_px // 2 - _text_width_px(time, height_px), LIGHT)
            break
    return footer


def _font(height_px: int) -> tuple[float, int]:
    """Return font scale and stroke width for a footer of that height."""
    scale = 0.45 * height_px / FONT_HEIGHT_PX
    return scale, max(1, round(1.6 * scale))


def _text_width_px(text: str, height_px: int) -> int:
    (width_px, _), _ = cv2.getTextSize(text, FONT, *_font(height_px))
    return int(width_px)


def _write(footer: Pixels, text: str, left_px: int, colour: Colour) -> None:
    height_px = footer.shape[0]
    scale, stroke_px = _font(height_px)
    baseline_px = round((height_px + scale * FONT_HEIGHT_PX) / 2)
    cv2.putText(footer, text, (left_px, baseline_px), FONT, scale, colour, stroke_px, cv2.LINE_AA)
