"""Draws the simulator's animals and leaves once, as small textures that are turned and scaled per frame.

A texture is premultiplied RGBA. Body coordinates: the unit is the body length (head to sting, without
antennae), x points to the head, y to the animal's right seen from above, or down in a side view.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from hivewatch.domain import Pixels

Floats = npt.NDArray[np.float32]
Colour = tuple[float, float, float]
Pattern = Callable[[Floats, Floats], Floats]

REACH = 1.1  # a texture spans -REACH..REACH body lengths both ways: room for spread wings
DRAWN_LENGTH_PX = 180  # body length while drawing; textures are shrunk from this, which smooths every edge
_SIDE_PX = round(2 * REACH * DRAWN_LENGTH_PX)


@dataclass(frozen=True, slots=True, eq=False)
class Sprite:
    """One drawn view. ``hull`` is the outline of body and legs, n x 2, in body lengths from the centre."""

    texture: Pixels
    hull: Floats
    length_px: float


@dataclass(slots=True)
class Sheet:
    """The paper one view is drawn on: premultiplied RGBA, and where body and legs are."""

    rgba: Floats = field(default_factory=lambda: np.zeros((_SIDE_PX, _SIDE_PX, 4), np.float32))
    solid: Pixels = field(default_factory=lambda: np.zeros((_SIDE_PX, _SIDE_PX), np.uint8))

    def lay(self, left: int, top: int, alpha: Floats, colour: Floats | Colour, *, solid: bool) -> None:
        """Paint ``colour`` with coverage ``alpha`` (rows x columns) over what is there already."""
        height, width = alpha.shape
        place = (slice(top, top + height), slice(left, left + width))
        target = self.rgba[place]
        target *= 1 - alpha[..., None]
        target[..., :3] += alpha[..., None] * np.asarray(colour, np.float32)
        target[..., 3] += alpha
        if solid:
            np.maximum(self.solid[place], (alpha > 0.5).astype(np.uint8), out=self.solid[place])

    def sprite(self, length_px: float, blur_px: float) -> Sprite:
        """Shrink the sheet so that the body is ``length_px`` long, as a lens with that blur shows it."""
        side_px = max(8, round(2 * REACH * length_px))
        small = cv2.resize(self.rgba, (side_px, side_px), interpolation=cv2.INTER_AREA)
        if blur_px > 0.2:
            small = cv2.GaussianBlur(small, (0, 0), blur_px)
        points = cv2.findNonZero(self.solid)
        outline = np.asarray(cv2.convexHull(points)[:, 0, :], np.float32)
        hull = np.asarray((outline + 0.5) / DRAWN_LENGTH_PX - REACH, np.float32)
        texture = np.asarray(np.clip(small * 255 + 0.5, 0, 255), np.uint8)
        return Sprite(texture, hull, side_px / (2 * REACH))


def ellipsoid(
    sheet: Sheet,
    centre: tuple[float, float],
    radii: tuple[float, float],
    colour: Colour | Pattern,
    *,
    turn_deg: float = 0.0,
    fuzz: float = 0.02,
    profile: tuple[list[float], list[float]] | None = None,
) -> None:
    """Paint a rounded body part, shaded as lit from the viewer's side and a little from above.

    ``profile`` gives relative width over the part's length (0 front to 1 end) instead of an ellipse's.
    A ``colour`` that is a pattern gets that length and the position across (-1..1), and returns RGB.
    """
    reach = max(radii) * 1.15 + fuzz
    left, top, x, y = _window(centre, reach)
    angle = np.deg2rad(turn_deg)
    along = (x * np.cos(angle) + y * np.sin(angle)) / radii[0]
    across = (-x * np.sin(angle) + y * np.cos(angle)) / radii[1]
    length = (1 - along) / 2
    if profile is None:
        width = np.sqrt(np.clip(1 - along**2, 0, 1))
    else:
        width = np.interp(length, *profile, left=0.0, right=0.0)
    width = np.maximum(width, 1e-3).astype(np.float32)
    edge = (width - np.abs(across)) * radii[1] / fuzz
    alpha = np.clip(edge + 0.5, 0, 1) * (np.abs(along) <= 1)
    across = np.clip(across / width, -1, 1)
    light = 0.42 + 0.58 * np.sqrt(1 - across**2) * (1 - 0.25 * np.clip(np.abs(along), 0, 1) ** 3)
    paint = colour(length, across) if callable(colour) else np.asarray(colour, np.float32)
    sheen = 0.16 * np.exp(-(((across + 0.3) / 0.22) ** 2)) * light
    rgb = paint * light[..., None] * 1.1 + sheen[..., None] * (0.25 + 0.5 * paint)
    sheet.lay(left, top, alpha.astype(np.float32), rgb.astype(np.float32), solid=True)


def limb(
    sheet: Sheet,
    joints: list[tuple[float, float]],
    colours: list[Colour],
    widths: list[float],
    *,
    solid: bool,
) -> None:
    """Paint a leg or feeler: one straight piece per colour, from joint to joint."""
    for (x0, y0), (x1, y1), colour, width in zip(joints, joints[1:], colours, widths, strict=False):
        middle = ((x0 + x1) / 2, (y0 + y1) / 2)
        left, top, x, y = _window(middle, float(np.hypot(x1 - x0, y1 - y0)) / 2 + width)
        dx, dy = x1 - x0, y1 - y0
        place = np.clip(((x + middle[0] - x0) * dx + (y + middle[1] - y0) * dy) / (dx * dx + dy * dy), 0, 1)
        gap = np.hypot(x + middle[0] - x0 - place * dx, y + middle[1] - y0 - place * dy)
        alpha = np.clip((width / 2 - gap) * DRAWN_LENGTH_PX / 2 + 0.5, 0, 1).astype(np.float32)
        sheet.lay(left, top, alpha, colour, solid=solid)


def wing(
    sheet: Sheet,
    root: tuple[float, float],
    angle_deg: float,
    size: tuple[float, float],
    colour: Colour,
    alpha: float,
) -> None:
    """Paint one wing, see-through, from its root outwards; a darker front edge and a few veins."""
    angle = np.deg2rad(angle_deg)
    middle = (root[0] + np.cos(angle) * size[0] / 2, root[1] + np.sin(angle) * size[0] / 2)
    left, top, x, y = _window(middle, size[0] * 0.56)
    along = (x * np.cos(angle) + y * np.sin(angle)) / size[0] + 0.5
    across = (-x * np.sin(angle) + y * np.cos(angle)) / size[1] * 2
    width = np.interp(along, [0, 0.1, 0.45, 0.8, 0.95, 1], [0.12, 0.3, 0.75, 1, 0.7, 0], left=0, right=0)
    edge = np.clip((width - np.abs(across)) * size[1] * DRAWN_LENGTH_PX / 6, 0, 1)
    veins = 1 + 0.9 * (np.abs(np.abs(across) - 0.85 * width) < 0.09) + 0.5 * (np.abs(across - 0.15) < 0.05)
    sheet.lay(left, top, np.clip(edge * alpha * veins, 0, 0.95).astype(np.float32), colour, solid=False)


def beating_wing(
    sheet: Sheet,
    root: tuple[float, float],
    sweep_deg: tuple[float, float],
    size: tuple[float, float],
    colour: Colour,
    alpha: float,
) -> None:
    """Paint a wing in flight: the fan of its whole stroke, as a shutter slower than the beat shows it.

    It is densest where the wing turns round, for there it rests a moment.
    """
    middle, half = np.deg2rad(sum(sweep_deg) / 2), abs(np.deg2rad(sweep_deg[1] - sweep_deg[0])) / 2
    half += size[1] / size[0] / 2
    left, top, x, y = _window(root, size[0])
    angle = np.arctan2(y, x) - middle
    off = np.abs((angle + np.pi) % (2 * np.pi) - np.pi) / half
    out = np.hypot(x, y) / size[0]
    tip = 1 - 0.10 * np.clip(off, 0, 1) ** 2
    fan = np.clip((1 - off) * 4, 0, 1) * np.clip((tip - out) * 7, 0, 1) * np.clip(out * 5, 0, 1)
    fan *= 0.55 + 0.45 * np.clip(off, 0, 1) ** 2
    sheet.lay(left, top, (fan * alpha).astype(np.float32), colour, solid=False)
    for turn_deg in sweep_deg:
        wing(sheet, root, turn_deg, size, colour, alpha * 0.2)


def _window(centre: tuple[float, float], reach: float) -> tuple[int, int, Floats, Floats]:
    """Return left, top in sheet pixels, and x, y relative to ``centre`` in body lengths, within ``reach``."""
    low = [max(0, int((value - reach + REACH) * DRAWN_LENGTH_PX)) for value in centre]
    high = [min(_SIDE_PX, int((value + reach + REACH) * DRAWN_LENGTH_PX) + 2) for value in centre]
    x = (np.arange(low[0], high[0]) + 0.5) / DRAWN_LENGTH_PX - REACH - centre[0]
    y = (np.arange(low[1], high[1]) + 0.5) / DRAWN_LENGTH_PX - REACH - centre[1]
    grid_x, grid_y = np.meshgrid(x, y)
    return low[0], low[1], grid_x.astype(np.float32), grid_y.astype(np.float32)
