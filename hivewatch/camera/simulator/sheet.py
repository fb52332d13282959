"""Drawing of the simulator's sprites: small textures, drawn once, then rotated and scaled for each frame.

A texture is premultiplied RGBA. Body coordinates: the unit is the body length (head to sting, without
antennae), x points to the head, y to the animal's right in a view from above and down in a side view.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from hivewatch.domain.frames import Pixels

Floats = npt.NDArray[np.float32]
Reals = npt.NDArray[np.floating[Any]]
Colour = tuple[float, float, float]
Pattern = Callable[[Reals, Reals], Floats]
Joint = tuple[float, float]

REACH = 1.1  # a texture spans -REACH..REACH body lengths on both axes, which leaves room for spread wings
FINER = 1.6  # resolution of the sheet relative to the texture; downscaling antialiases the edges


@dataclass(frozen=True, slots=True, eq=False)
class Sprite:
    """One texture. ``hull`` is the outline of body and legs, n x 2, in body lengths from the centre."""

    texture: Pixels
    hull: Floats
    length_px: float


class Sheet:
    """The canvas of one sprite, for a texture whose body is ``length_px`` long."""

    def __init__(self, length_px: float) -> None:
        self._texture_px = max(8, round(2 * REACH * length_px))
        self._side_px = max(100, round(FINER * self._texture_px))
        self.unit_px = self._side_px / (2 * REACH)
        self._rgba = np.zeros((self._side_px, self._side_px, 4), np.float32)
        self._solid = np.zeros((self._side_px, self._side_px), np.uint8)

    def window(self, centre: Joint, reach: float) -> tuple[int, int, Floats, Floats]:
        """Return the square within ``reach`` of ``centre``: left, top, and the x and y of each pixel."""
        low = [max(0, int((value - reach + REACH) * self.unit_px)) for value in centre]
        high = [min(self._side_px, int((value + reach + REACH) * self.unit_px) + 2) for value in centre]
        x, y = ((np.arange(a, b) + 0.5) / self.unit_px - REACH for a, b in zip(low, high, strict=True))
        grid_x, grid_y = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
        return low[0], low[1], grid_x, grid_y

    def paint(self, left: int, top: int, alpha: Reals, colour: Floats | Colour, *, solid: bool) -> None:
        """Paint ``colour`` with coverage ``alpha`` (rows x columns) over the sheet.

        ``solid`` paint counts as body or leg, and so belongs to the hull.
        """
        window = (slice(top, top + alpha.shape[0]), slice(left, left + alpha.shape[1]))
        target = self._rgba[window]
        cover = alpha.astype(np.float32)[..., None]
        target *= 1 - cover
        target[..., :3] += cover * np.asarray(colour, np.float32)
        target[..., 3:] += cover
        if solid:
            self._solid[window] |= alpha > 0.5

    def sprite(self, blur_px: float) -> Sprite:
        """Return the finished sprite, blurred by ``blur_px`` (standard deviation) as by a lens."""
        size = (self._texture_px, self._texture_px)
        small = cv2.resize(self._rgba, size, interpolation=cv2.INTER_AREA)
        if blur_px > 0.2:
            small = cv2.GaussianBlur(small, (0, 0), blur_px)
        outline = cv2.convexHull(cv2.findNonZero(self._solid))[:, 0, :]
        hull = np.asarray((outline + 0.5) / self.unit_px - REACH, np.float32)
        texture = np.asarray(np.clip(small * 255 + 0.5, 0, 255), np.uint8)
        return Sprite(texture, hull, self._texture_px / (2 * REACH))


def ellipsoid(
    sheet: Sheet,
    centre: Joint,
    radii: tuple[float, float],
    colour: Colour | Pattern,
    *,
    turn_deg: float = 0.0,
    fuzz: float = 0.02,
    profile: tuple[list[float], list[float]] | None = None,
) -> None:
    """Paint a rounded body part, lit from the viewer's side and slightly from above.

    ``profile`` replaces the ellipse by relative widths along the part (0 front to 1 end). A pattern as
    ``colour`` receives that position and the one across (-1..1), and returns RGB.
    """
    left, top, x, y = sheet.window(centre, max(radii) * 1.15 + fuzz)
    along, across = _rotated(x - centre[0], y - centre[1], turn_deg)
    along, across = along / np.float32(radii[0]), across / np.float32(radii[1])
    if profile is None:
        width: Reals = np.sqrt(np.clip(1 - along**2, 1e-6, 1))
    else:
        width = np.maximum(np.interp((1 - along) / 2, *profile, left=0.0, right=0.0), 1e-3)
    alpha = np.clip((width - np.abs(across)) * radii[1] / fuzz + 0.5, 0, 1) * (np.abs(along) <= 1)
    across = np.clip(across / width, -1, 1)
    rgb = colour((1 - along) / 2, across) if callable(colour) else np.asarray(colour, np.float32)
    sheet.paint(left, top, alpha, _lit(rgb, along, across), solid=True)


def _lit(rgb: Floats, along: Reals, across: Reals) -> Floats:
    """Return the colours of a round body in the light: dim at its edges, with a sheen along the back."""
    light = 0.42 + 0.58 * np.sqrt(1 - across**2) * (1 - 0.25 * np.clip(np.abs(along), 0, 1) ** 3)
    sheen = 0.16 * np.exp(-(((across + 0.3) / 0.22) ** 2)) * light
    return np.asarray(rgb * light[..., None] * 1.1 + sheen[..., None] * (0.25 + 0.5 * rgb), np.float32)


def limb(
    sheet: Sheet, joints: Sequence[Joint], colours: Sequence[Colour], widths: Sequence[float], *, solid: bool
) -> None:
    """Paint a leg or antenna: one straight segment per colour, from joint to joint."""
    for ((x0, y0), (x1, y1)), colour, width in zip(pairwise(joints), colours, widths, strict=True):
        dx, dy = x1 - x0, y1 - y0
        left, top, x, y = sheet.window(((x0 + x1) / 2, (y0 + y1) / 2), max(abs(dx), abs(dy)) / 2 + width)
        share = np.clip(((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy), 0, 1)
        gap = np.hypot(x - x0 - share * dx, y - y0 - share * dy)
        alpha = np.clip((width / 2 - gap) * sheet.unit_px / 2 + 0.5, 0, 1)
        sheet.paint(left, top, alpha, colour, solid=solid)


def wing(
    sheet: Sheet, root: Joint, angle_deg: float, size: tuple[float, float], colour: Colour, alpha: float
) -> None:
    """Paint one translucent wing from its root, with darker edges and a few veins."""
    left, top, x, y = sheet.window(_point_along(root, angle_deg, size[0] / 2), size[0] * 0.56)
    along, across = _rotated(x - root[0], y - root[1], angle_deg)
    along, across = along / size[0], across / size[1] * 2
    width = np.interp(along, [0, 0.1, 0.45, 0.8, 0.95, 1], [0.12, 0.3, 0.75, 1, 0.7, 0], left=0, right=0)
    edge = np.clip((width - np.abs(across)) * size[1] * sheet.unit_px / 6, 0, 1)
    veins = 1 + 0.9 * (np.abs(np.abs(across) - 0.85 * width) < 0.09) + 0.5 * (np.abs(across - 0.15) < 0.05)
    sheet.paint(left, top, np.clip(edge * alpha * veins, 0, 0.95), colour, solid=False)


def beating_wing(
    sheet: Sheet,
    root: Joint,
    sweep_deg: tuple[float, float],
    size: tuple[float, float],
    colour: Colour,
    alpha: float,
) -> None:
    """Paint a beating wing: the fan of its whole stroke, because the exposure is longer than a beat.

    It is densest where the wing reverses and is slowest. The stroke is at most 90 degrees.
    """
    middle_deg = sum(sweep_deg) / 2
    half = np.deg2rad(abs(sweep_deg[1] - sweep_deg[0]) / 2) + size[1] / size[0] / 2
    left, top, x, y = sheet.window(_point_along(root, middle_deg, size[0] / 2), size[0] * 0.68)
    along, across = _rotated(x - root[0], y - root[1], middle_deg)
    off = np.abs(np.arctan2(across, along)) / np.float32(half)
    out = np.hypot(along, across) / size[0]
    tip = 1 - 0.10 * np.minimum(off, 1) ** 2
    fan = np.clip((1 - off) * 4, 0, 1) * np.clip((tip - out) * 7, 0, 1) * np.clip(out * 5, 0, 1)
    fan *= alpha * (0.55 + 0.45 * np.minimum(off, 1) ** 2)
    sheet.paint(left, top, fan, colour, solid=False)
    for turn_deg in sweep_deg:
        wing(sheet, root, turn_deg, size, colour, alpha * 0.2)


def _point_along(root: Joint, angle_deg: float, distance: float) -> Joint:
    angle = np.deg2rad(angle_deg)
    return root[0] + float(np.cos(angle)) * distance, root[1] + float(np.sin(angle)) * distance


def _rotated(x: Floats, y: Floats, angle_deg: float) -> tuple[Floats, Floats]:
    """Return the coordinates along and across the direction ``angle_deg``."""
    cos, sin = np.float32(np.cos(np.deg2rad(angle_deg))), np.float32(np.sin(np.deg2rad(angle_deg)))
    return x * cos + y * sin, y * cos - x * sin
