"""The simulator's sprites: Vespa velutina nigrithorax and Apis mellifera from several sides, and a leaf.

They follow the field marks that beekeepers use. V. velutina has a plain black-brown thorax, a dark abdomen
with a thin yellow edge on the first segment and a broad orange-yellow fourth segment, an orange face and
yellow leg tips.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto

import cv2
import numpy as np

from hivewatch.camera.simulator.sheet import (
    Colour,
    Floats,
    Pattern,
    Reals,
    Sheet,
    Sprite,
    beating_wing,
    ellipsoid,
    limb,
    wing,
)

Joints = Sequence[tuple[float, float]]


class SpriteKind(Enum):
    """Which drawing shows an actor: the animal, the side it is seen from, and what it does."""

    HORNET_TOP = auto()
    HORNET_SIDE = auto()
    HORNET_FACE = auto()
    HORNET_REST = auto()
    BEE_TOP = auto()
    BEE_SIDE = auto()
    BEE_REST = auto()
    BEE_FAN = auto()
    LEAF = auto()


HORNETS = (SpriteKind.HORNET_TOP, SpriteKind.HORNET_SIDE, SpriteKind.HORNET_FACE, SpriteKind.HORNET_REST)
STANDING = (SpriteKind.BEE_REST, SpriteKind.BEE_FAN, SpriteKind.HORNET_REST)
PHASES = 3  # drawings per kind: stages of a wing beat or a step, or the colours of a leaf

BLACK: Colour = (0.085, 0.065, 0.06)
DARK_BROWN: Colour = (0.16, 0.085, 0.05)
EYE: Colour = (0.19, 0.09, 0.05)
ORANGE: Colour = (0.93, 0.50, 0.08)
YELLOW: Colour = (0.94, 0.74, 0.20)
SMOKE: Colour = (0.27, 0.19, 0.13)
CLEAR: Colour = (0.80, 0.79, 0.76)
BEE_DARK: Colour = (0.13, 0.09, 0.06)
BEE_FUR: Colour = (0.47, 0.35, 0.20)

# Relative width of the abdomen along its length, from the waist to the sting.
HORNET_ABDOMEN = (
    [0, 0.03, 0.12, 0.28, 0.45, 0.68, 0.88, 0.97, 1],
    [0.16, 0.45, 0.82, 1, 0.98, 0.78, 0.42, 0.16, 0],
)
BEE_ABDOMEN = ([0, 0.05, 0.2, 0.45, 0.7, 0.9, 1], [0.5, 0.78, 1, 1, 0.85, 0.5, 0])

# Legs of one side: hind, middle, front; the joints of each from hip to toe.
HORNET_LEGS_FLYING = (
    ((0.08, 0.08), (-0.06, 0.18), (-0.20, 0.22), (-0.32, 0.24), (-0.47, 0.22)),
    ((0.16, 0.10), (0.08, 0.21), (-0.02, 0.25), (-0.10, 0.28), (-0.22, 0.30)),
    ((0.27, 0.09), (0.35, 0.15), (0.34, 0.20), (0.30, 0.23), (0.23, 0.26)),
)
HORNET_LEGS_STANDING = (
    ((0.08, 0.08), (-0.05, 0.26), (-0.18, 0.32), (-0.30, 0.37), (-0.42, 0.42)),
    ((0.16, 0.10), (0.17, 0.28), (0.12, 0.36), (0.06, 0.42), (-0.02, 0.48)),
    ((0.27, 0.10), (0.38, 0.22), (0.46, 0.24), (0.52, 0.27), (0.60, 0.28)),
)
HORNET_LEGS_HANGING = (
    ((0.06, 0.09), (-0.06, 0.20), (-0.16, 0.28), (-0.22, 0.34), (-0.30, 0.41)),
    ((0.15, 0.09), (0.08, 0.21), (0.02, 0.29), (0.00, 0.35), (-0.06, 0.42)),
    ((0.25, 0.09), (0.24, 0.20), (0.21, 0.27), (0.22, 0.32), (0.19, 0.37)),
)
HORNET_LEGS_AHEAD = (
    ((-0.04, 0.10), (-0.02, 0.31), (-0.20, 0.36), (-0.34, 0.35), (-0.48, 0.32)),
    ((0.02, 0.10), (0.04, 0.29), (-0.10, 0.33), (-0.22, 0.32), (-0.33, 0.29)),
    ((0.06, 0.10), (0.06, 0.22), (-0.02, 0.25), (-0.08, 0.24), (-0.15, 0.20)),
)
BEE_LEGS = (
    ((0.05, 0.10), (-0.06, 0.27), (-0.25, 0.34), (-0.36, 0.38)),
    ((0.14, 0.10), (0.14, 0.30), (0.04, 0.40), (-0.04, 0.45)),
    ((0.24, 0.10), (0.34, 0.25), (0.44, 0.27), (0.50, 0.30)),
)
BEE_LEGS_HANGING = (
    ((0.05, 0.10), (-0.01, 0.23), (-0.11, 0.31), (-0.17, 0.36)),
    ((0.14, 0.10), (0.10, 0.23), (0.04, 0.31), (-0.02, 0.36)),
    ((0.23, 0.10), (0.22, 0.23), (0.21, 0.31), (0.16, 0.35)),
)


def draw(kind: SpriteKind, phase: int, length_px: float, *, blur_px: float, bee_amber: float) -> Sprite:
    """Return a sprite whose body is ``length_px`` long; ``bee_amber`` is 0 for a dark race, 1 for yellow."""
    sheet = Sheet(length_px)
    match kind:
        case SpriteKind.HORNET_TOP:
            _hornet_top(sheet, phase)
        case SpriteKind.HORNET_SIDE:
            _hornet_side(sheet, phase)
        case SpriteKind.HORNET_FACE:
            _hornet_face(sheet, phase)
        case SpriteKind.HORNET_REST:
            _hornet_rest(sheet, phase)
        case SpriteKind.BEE_SIDE:
            _bee_side(sheet, phase, bee_amber)
        case SpriteKind.BEE_TOP | SpriteKind.BEE_REST | SpriteKind.BEE_FAN:
            _bee_top(sheet, phase, bee_amber, kind)
        case SpriteKind.LEAF:
            _leaf(sheet, phase)
    return sheet.sprite(blur_px)


def shadow_of(sprite: Sprite) -> Sprite:
    """Return the soft shadow of ``sprite`` on a surface behind it."""
    alpha = np.asarray(cv2.GaussianBlur(sprite.texture[..., 3], (0, 0), sprite.length_px * 0.05))
    texture = np.zeros_like(sprite.texture)
    texture[..., 3] = (alpha * 0.5).astype(np.uint8)
    return Sprite(texture, sprite.hull, sprite.length_px)


def _hornet_bands(length: Reals, across: Reals) -> Floats:
    """Return the colours of the abdomen: six segments with curved edges, from the waist to the sting."""
    s = length - 0.05 * across**2
    rgb = np.empty((*s.shape, 3), np.float32)
    rgb[:] = BLACK
    rgb[s > 0.20] = DARK_BROWN
    rgb[(s > 0.165) & (s < 0.205)] = YELLOW
    rgb[(s > 0.400) & (s < 0.430)] = (0.80, 0.45, 0.10)
    rgb[(s > 0.555) & (s < 0.80)] = ORANGE
    rgb[(s > 0.73) & (s < 0.79)] = (0.95, 0.62, 0.14)
    rgb[(s > 0.555) & (s < 0.62) & (np.abs(across) < (0.62 - s) * 4)] = DARK_BROWN
    rgb[s >= 0.80] = (0.33, 0.16, 0.06)
    return rgb


def _hornet_legs(sheet: Sheet, legs: Sequence[Joints], sides: tuple[int, ...], swing: float = 0.0) -> None:
    """Draw legs, dark above and yellow below; ``swing`` moves neighbouring feet in opposite directions."""
    colours: list[Colour] = [BLACK, DARK_BROWN, (0.85, 0.63, 0.18), YELLOW]
    for side in sides:
        for number, joints in enumerate(legs):
            step = swing * side * (-1) ** number
            placed = [(x + step * (i > 1), y * side) for i, (x, y) in enumerate(joints)]
            limb(sheet, placed, colours, [0.045, 0.038, 0.034, 0.030], solid=True)


def _hornet_trunk(sheet: Sheet) -> None:
    """Draw abdomen, thorax and head from above."""
    ellipsoid(sheet, (-0.235, 0), (0.285, 0.150), _hornet_bands, profile=HORNET_ABDOMEN)
    ellipsoid(sheet, (0.185, 0), (0.165, 0.128), BLACK, fuzz=0.035)
    ellipsoid(sheet, (0.40, 0), (0.085, 0.120), BLACK)
    ellipsoid(sheet, (0.455, 0), (0.045, 0.070), ORANGE)
    for side in (-1, 1):
        ellipsoid(sheet, (0.415, side * 0.092), (0.062, 0.030), EYE, turn_deg=side * 20)
        feeler = [(0.46, side * 0.04), (0.53, side * 0.10), (0.66, side * 0.17)]
        limb(sheet, feeler, [BLACK, DARK_BROWN], [0.030, 0.024], solid=False)


def _hornet_top(sheet: Sheet, phase: int) -> None:
    """Draw a hovering hornet from above; foreshortened, it is one seen from behind."""
    _hornet_legs(sheet, HORNET_LEGS_FLYING, (-1, 1))
    _hornet_trunk(sheet)
    for side in (-1, 1):
        fore, hind = side * (84 + 14 * phase), side * (106 + 14 * phase)
        beating_wing(sheet, (0.20, side * 0.10), (fore - 34, fore + 34), (0.78, 0.20), SMOKE, 0.40)
        beating_wing(sheet, (0.12, side * 0.10), (hind - 24, hind + 24), (0.52, 0.18), SMOKE, 0.32)


def _hornet_rest(sheet: Sheet, phase: int) -> None:
    """Draw a standing hornet from above."""
    _hornet_legs(sheet, HORNET_LEGS_STANDING, (-1, 1), swing=0.03 * (phase - 1))
    _hornet_trunk(sheet)
    for side in (-1, 1):  # folded lengthwise beside the abdomen, so that its bands stay visible
        wing(sheet, (0.17, side * 0.11), side * (170 - 4 * phase), (0.68, 0.10), SMOKE, 0.62)


def _hornet_side(sheet: Sheet, phase: int) -> None:
    """Draw a hovering hornet from its right, with hanging legs."""
    beating_wing(sheet, (0.16, -0.09), (8 * phase - 150, -80), (0.72, 0.19), SMOKE, 0.30)
    _hornet_legs(sheet, HORNET_LEGS_HANGING, (1,), swing=0.015 * (phase - 1))
    ellipsoid(sheet, (-0.225, 0.055), (0.29, 0.145), _hornet_bands, turn_deg=-14, profile=HORNET_ABDOMEN)
    ellipsoid(sheet, (0.175, -0.01), (0.165, 0.140), BLACK, fuzz=0.035)
    ellipsoid(sheet, (0.385, 0.03), (0.085, 0.115), BLACK, turn_deg=12)
    ellipsoid(sheet, (0.435, 0.055), (0.050, 0.095), ORANGE, turn_deg=12)
    ellipsoid(sheet, (0.385, 0.015), (0.036, 0.070), EYE, turn_deg=10)
    limb(
        sheet, [(0.45, -0.02), (0.53, -0.09), (0.66, -0.06)], [BLACK, DARK_BROWN], [0.03, 0.024], solid=False
    )
    beating_wing(sheet, (0.18, -0.10), (10 * phase - 128, -58), (0.78, 0.21), SMOKE, 0.34)


def _hornet_face(sheet: Sheet, phase: int) -> None:
    """Draw a hovering hornet from the front and above: face, thorax behind it, abdomen below. x points up."""
    for side in (-1, 1):
        middle = side * (78 + 10 * phase)
        beating_wing(sheet, (0.10, side * 0.10), (middle - 38, middle + 38), (0.72, 0.21), SMOKE, 0.40)
    ellipsoid(sheet, (-0.22, 0), (0.23, 0.145), _hornet_bands, profile=HORNET_ABDOMEN)
    _hornet_legs(sheet, HORNET_LEGS_AHEAD, (-1, 1))
    ellipsoid(sheet, (0.06, 0), (0.15, 0.165), BLACK, fuzz=0.035)
    ellipsoid(sheet, (0.10, 0), (0.125, 0.135), BLACK)
    ellipsoid(sheet, (0.075, 0), (0.095, 0.085), ORANGE)
    for side in (-1, 1):
        ellipsoid(sheet, (0.12, side * 0.098), (0.085, 0.036), EYE, turn_deg=side * 12)
        ellipsoid(sheet, (-0.01, side * 0.03), (0.035, 0.028), DARK_BROWN)
        feeler = [(0.14, side * 0.03), (0.27, side * 0.09), (0.34, side * 0.22)]
        limb(sheet, feeler, [BLACK, DARK_BROWN], [0.030, 0.024], solid=False)


def _bee_bands(amber: float) -> Pattern:
    """Return the pattern of a worker's abdomen: amber and dark rings, darker towards the sting."""
    warm = np.array((0.72, 0.44, 0.15)) * amber + np.array((0.40, 0.29, 0.17)) * (1 - amber)
    dark = np.array((0.17, 0.11, 0.07))

    def paint(length: Reals, across: Reals) -> Floats:
        s = length - 0.06 * across**2
        ring = np.clip(0.5 + 1.6 * np.cos(2 * np.pi * (s * 5.2 - 0.15)), 0, 1)
        ring *= np.clip((0.95 - s) * 6, 0, 1) * np.clip(1.25 - s * 0.9, 0, 1)
        return np.asarray(dark + ring[..., None] * (warm - dark), np.float32)

    return paint


def _bee_legs(
    sheet: Sheet, legs: Sequence[Joints], sides: tuple[int, ...], *, swing: float, out: float
) -> None:
    for side in sides:
        for number, joints in enumerate(legs):
            step = swing * side * (-1) ** number
            placed = [(x + step * (i > 1), y * side * (out if i else 1)) for i, (x, y) in enumerate(joints)]
            limb(sheet, placed, [BEE_DARK] * 3, [0.055, 0.05, 0.035], solid=True)


def _bee_top(sheet: Sheet, phase: int, amber: float, kind: SpriteKind) -> None:
    """Draw a bee from above: flying, resting with folded wings, or fanning."""
    flying = kind is SpriteKind.BEE_TOP
    _bee_legs(sheet, BEE_LEGS, (-1, 1), swing=0.035 * (phase - 1), out=0.7 if flying else 1.0)
    ellipsoid(sheet, (-0.225, 0), (0.285, 0.185), _bee_bands(amber), profile=BEE_ABDOMEN)
    ellipsoid(sheet, (0.165, 0), (0.170, 0.170), BEE_FUR, fuzz=0.10)
    ellipsoid(sheet, (0.165, 0), (0.090, 0.085), (0.24, 0.17, 0.10), fuzz=0.08)
    ellipsoid(sheet, (0.385, 0), (0.085, 0.120), (0.20, 0.15, 0.10), fuzz=0.03)
    for side in (-1, 1):
        ellipsoid(sheet, (0.39, side * 0.095), (0.060, 0.030), (0.08, 0.06, 0.05), turn_deg=side * 15)
        feeler = [(0.45, side * 0.03), (0.52, side * 0.07), (0.60, side * 0.13)]
        limb(sheet, feeler, [BEE_DARK] * 2, [0.030, 0.026], solid=False)
        if kind is SpriteKind.BEE_REST:
            wing(sheet, (0.14, side * 0.12), side * (160 - 3 * phase), (0.62, 0.19), CLEAR, 0.30)
            continue
        middle, half = side * ((90 if flying else 118) + 10 * phase), 36 if flying else 22
        beating_wing(sheet, (0.18, side * 0.13), (middle - half, middle + half), (0.68, 0.22), CLEAR, 0.36)


def _bee_side(sheet: Sheet, phase: int, amber: float) -> None:
    """Draw a flying bee from its right."""
    _bee_legs(sheet, BEE_LEGS_HANGING, (1,), swing=0.0, out=1.0)
    ellipsoid(sheet, (-0.205, 0.06), (0.285, 0.175), _bee_bands(amber), turn_deg=-16, profile=BEE_ABDOMEN)
    ellipsoid(sheet, (0.165, -0.01), (0.165, 0.170), BEE_FUR, fuzz=0.10)
    ellipsoid(sheet, (0.375, 0.04), (0.078, 0.125), (0.20, 0.15, 0.10), turn_deg=12, fuzz=0.03)
    ellipsoid(sheet, (0.385, 0.02), (0.036, 0.070), (0.07, 0.05, 0.04), turn_deg=12)
    limb(sheet, [(0.43, 0.0), (0.50, -0.04), (0.57, 0.03)], [BEE_DARK] * 2, [0.030, 0.026], solid=False)
    beating_wing(sheet, (0.16, -0.12), (10 * phase - 140, -62), (0.66, 0.23), CLEAR, 0.36)


def _leaf(sheet: Sheet, phase: int) -> None:
    """Draw a dead leaf, pointed at both ends: yellow, brown or faded green."""
    colour = ((0.80, 0.66, 0.22), (0.48, 0.31, 0.16), (0.50, 0.56, 0.24))[phase]
    blade = ([0, 0.08, 0.3, 0.55, 0.8, 1], [0.05, 0.42, 0.95, 1, 0.55, 0])
    ellipsoid(sheet, (0, 0), (0.5, 0.24), colour, fuzz=0.015, profile=blade)
    rib: Colour = (colour[0] * 0.7, colour[1] * 0.7, colour[2] * 0.7)
    limb(sheet, [(-0.45, 0), (0.45, 0), (0.66, 0.05)], [rib, rib], [0.02, 0.03], solid=True)
