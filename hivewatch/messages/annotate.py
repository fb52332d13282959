"""Draws a snapshot: the picture with the hornet outlined; below it a close-up, the score and the time.

The animal itself is never tinted or drawn over: a person must be able to tell *V. velutina* from the harmless
*V. crabro* by the colours of thorax and legs.
"""

from __future__ import annotations

from datetime import tzinfo

import cv2
import numpy as np

from hivewatch.domain.frames import Box, Frame, Pixels, Point, Prediction

Colour = tuple[int, int, int]
Area = tuple[int, int, int, int]

# RGB. Cyan stands out from wood, grass, bees and hornets alike, and from the red of the heat.
BOX_COLOUR: Colour = (0, 229, 255)
DARK: Colour = (16, 18, 20)
LIGHT: Colour = (240, 240, 240)
FONT = cv2.FONT_HERSHEY_SIMPLEX
FONT_HEIGHT_PX = 21  # of a capital letter at scale 1
SMALLEST_FOOTER_PX = 18
# A network is never certain, so no picture says 100 %.
_SUREST = 0.99
# The panel's share of the picture's height; a smaller picture gets a footer only.
_PANEL_SHARE = 0.3
_SMALLEST_PICTURE_PX = (240, 160)
# What the close-up shows: the box with a margin, never less than this share of the picture's longer side.
_CLOSE_UP_MARGIN = 1.5
_LEAST_CLOSE_UP = 0.06


def annotate(
    frame: Frame,
    prediction: Prediction,
    *,
    dated: bool = True,
    zone: tzinfo | None = None,
    heat: bool = False,
) -> Pixels:
    """Return the frame's picture with ``prediction`` outlined, above a panel with close-up, score and time.

    The panel is added below, so it hides nothing and coordinates stay valid. The close-up is untouched; with
    ``heat`` the activation map is shown beside it, over the same part of the picture. Without ``dated`` there
    is no time: no time is better than a wrong one. ``zone`` is that of the time, None for this machine's. The
    same arguments give the same pixels. RGB, uint8, (height + panel) x width x 3.
    """
    canvas = frame.pixels.copy()
    line_px = max(1, round(min(canvas.shape[:2]) / 360))
    if prediction.location.box is None:
        _mark_peak(canvas, prediction.location.peak, line_px)
    else:
        _outline(canvas, prediction.location.box.pixels(frame.width_px, frame.height_px), line_px)
    text = f"hornet {min(prediction.score, _SUREST):.0%}"
    least_width_px, least_height_px = _SMALLEST_PICTURE_PX
    if frame.width_px < least_width_px or frame.height_px < least_height_px:
        below = _footer(frame, text, dated, zone)
    else:
        below = _panel(frame, prediction, text, dated=dated, zone=zone, heat=heat)
    return np.asarray(np.vstack([canvas, below]), np.uint8)


def captioned(frame: Frame, text: str, *, dated: bool = True, zone: tzinfo | None = None) -> Pixels:
    """Return the frame's picture above a footer that shows ``text``, without annotations."""
    return np.asarray(np.vstack([frame.pixels, _footer(frame, text, dated, zone)]), np.uint8)


def close_up_area(frame: Frame, prediction: Prediction) -> Area:
    """Return left, top, right and bottom of the square that the close-up shows, in pixels of the frame."""
    width_px, height_px = frame.width_px, frame.height_px
    peak = prediction.location.peak
    left, top, right, bottom = (prediction.location.box or Box(*peak, *peak)).pixels(width_px, height_px)
    side_px = round(
        max(_CLOSE_UP_MARGIN * max(right - left, bottom - top), _LEAST_CLOSE_UP * max(width_px, height_px))
    )
    side_px = min(side_px, width_px, height_px)
    x = min(max((left + right - side_px) // 2, 0), width_px - side_px)
    y = min(max((top + bottom - side_px) // 2, 0), height_px - side_px)
    return x, y, x + side_px, y + side_px


def _panel(
    frame: Frame, prediction: Prediction, text: str, *, dated: bool, zone: tzinfo | None, heat: bool
) -> Pixels:
    height_px = round(_PANEL_SHARE * frame.height_px)
    margin_px = max(2, height_px // 24)
    side_px = height_px - 2 * margin_px
    panel: Pixels = np.full((height_px, frame.width_px, 3), DARK, np.uint8)
    area = close_up_area(frame, prediction)
    squares = [_cut(frame.pixels, area)]
    if heat:
        squares.append(_heat(frame, prediction, area))
    left_px = margin_px
    for square in squares:
        if left_px + side_px <= frame.width_px:
            shown = cv2.resize(square, (side_px, side_px), interpolation=cv2.INTER_CUBIC)
            panel[margin_px : margin_px + side_px, left_px : left_px + side_px] = shown
            left_px += side_px + margin_px
    line_height_px = max(SMALLEST_FOOTER_PX, frame.height_px // 18)
    lines = [(text, BOX_COLOUR), *((time, LIGHT) for time in _times(frame, dated, zone))]
    top_px = margin_px
    for line, colour in lines:
        fits = left_px + _text_width_px(line, line_height_px) + margin_px <= frame.width_px
        if fits and top_px + line_height_px <= height_px:
            _write(panel[top_px : top_px + line_height_px], line, left_px + margin_px, colour)
            top_px += line_height_px
            if colour is LIGHT:
                break
    return panel


def _cut(pixels: Pixels, area: Area) -> Pixels:
    left, top, right, bottom = area
    return pixels[top:bottom, left:right]


def _heat(frame: Frame, prediction: Prediction, area: Area) -> Pixels:
    """Return ``area`` of the picture in grey with the positive part of the activation map over it."""
    height_px, width_px = frame.height_px, frame.width_px
    x0, y0, x1, y1 = prediction.extent.pixels(width_px, height_px)
    heat = np.zeros((height_px, width_px), np.float32)
    peak = float(prediction.cam.max())
    if peak > 0 and x1 > x0 and y1 > y0:
        positive = np.maximum(prediction.cam, 0) / peak
        heat[y0:y1, x0:x1] = cv2.resize(positive, (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR)
    grey = cv2.cvtColor(_cut(frame.pixels, area), cv2.COLOR_RGB2GRAY)
    left, top, right, bottom = area
    levels = np.rint(np.clip(heat[top:bottom, left:right], 0, 1) * 255).astype(np.uint8)
    coloured = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    under = cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)
    return np.asarray(cv2.addWeighted(under, 0.5, coloured, 0.5, 0), np.uint8)


def _outline(canvas: Pixels, area: Area, line_px: int) -> None:
    """Draw a frame around ``area``, leaving what is in it untouched."""
    left, top, right, bottom = area
    gap_px = 2 * line_px + 2  # half the dark line, and the soft edge of an anti-aliased one
    corners = (left - gap_px, top - gap_px), (right - 1 + gap_px, bottom - 1 + gap_px)
    for colour, width_px in ((DARK, 3 * line_px), (BOX_COLOUR, line_px)):
        cv2.rectangle(canvas, *corners, colour, width_px, cv2.LINE_AA)


def _mark_peak(canvas: Pixels, peak: Point, line_px: int) -> None:
    centre = (int(peak.x * canvas.shape[1]), int(peak.y * canvas.shape[0]))
    for colour, width_px in ((DARK, 3 * line_px), (LIGHT, line_px)):
        cv2.drawMarker(canvas, centre, colour, cv2.MARKER_CROSS, 6 * line_px, width_px, cv2.LINE_AA)


def _times(frame: Frame, dated: bool, zone: tzinfo | None) -> list[str]:
    """Return the frame's full time and its time of day, with the offset from UTC; [] if not ``dated``."""
    if not dated:
        return []
    taken = frame.taken_at.astimezone(zone)
    offset = taken.isoformat()[-6:]
    return [f"{taken:%Y-%m-%d %H:%M:%S} {offset}", f"{taken:%H:%M:%S} {offset}"]


def _footer(frame: Frame, text: str, dated: bool, zone: tzinfo | None) -> Pixels:
    height_px = max(SMALLEST_FOOTER_PX, frame.height_px // 18)
    footer: Pixels = np.full((height_px, frame.width_px, 3), DARK, np.uint8)
    # The full time, the time of day, or none: a clipped time could be misread.
    for time in (*_times(frame, dated, zone), ""):
        if (
            _text_width_px(text, height_px) + _text_width_px(time, height_px) + 2 * height_px
            <= frame.width_px
        ):
            _write(footer, text, height_px // 2, BOX_COLOUR)
            _write(footer, time, frame.width_px - height_px // 2 - _text_width_px(time, height_px), LIGHT)
            break
    return footer


def _font(height_px: int) -> tuple[float, int]:
    """Return font scale and stroke width for a line of that height."""
    scale = 0.45 * height_px / FONT_HEIGHT_PX
    return scale, max(1, round(1.6 * scale))


def _text_width_px(text: str, height_px: int) -> int:
    (width_px, _), _ = cv2.getTextSize(text, FONT, *_font(height_px))
    return int(width_px)


def _write(line: Pixels, text: str, left_px: int, colour: Colour) -> None:
    """Write ``text`` into ``line``, a strip of the canvas as high as the line."""
    height_px = line.shape[0]
    scale, stroke_px = _font(height_px)
    baseline_px = round((height_px + scale * FONT_HEIGHT_PX) / 2)
    cv2.putText(line, text, (left_px, baseline_px), FONT, scale, colour, stroke_px, cv2.LINE_AA)
