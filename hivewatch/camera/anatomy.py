"""The animals of the simulator: Vespa velutina nigrithorax and Apis mellifera, view by view, and a leaf.

After the field marks keepers use: V. velutina has a plain black-brown thorax, a dark abdomen with a fine
yellow edge on the first segment and a broad orange-yellow fourth one, an orange face and yellow leg ends.
"""

from __future__ import annotations

from enum import Enum, auto

import cv2
import numpy as np

from hivewatch.camera.insects import (
    Colour,
    Floats,
    Pattern,
    Sheet,
    Sprite,
    beating_wing,
    ellipsoid,
    limb,
    wing,
)


class Look(Enum):
    """What an actor looks like in one frame."""

    HORNET_TOP = auto()
    HORNET_SIDE = auto()
    HORNET_FACE = auto()
    HORNET_REST = auto()
    BEE_TOP = auto()
    BEE_SIDE = auto()
    BEE_REST = auto()
    BEE_FAN = auto()
    LEAF = auto()


PHASES = 3  # drawings per look, which differ in the wings' stroke, or for a leaf in its colour

BLACK: Colour = (0.075, 0.055, 0.05)
DARK_BROWN: Colour = (0.15, 0.075, 0.045)
ORANGE: Colour = (0.96, 0.50, 0.06)
YELLOW: Colour = (0.97, 0.76, 0.16)
SMOKE: Colour = (0.25, 0.17, 0.11)
CLEAR: Colour = (0.80, 0.79, 0.76)

HORNET_WAIST = (
    [0, 0.03, 0.12, 0.28, 0.45, 0.68, 0.88, 0.97, 1],
    [0.16, 0.45, 0.82, 1, 0.98, 0.78, 0.42, 0.16, 0],
)
BEE_WAIST = ([0, 0.05, 0.2, 0.45, 0.7, 0.9, 1], [0.5, 0.78, 1, 1, 0.85, 0.5, 0])


def draw(look: Look, phase: int, length_px: float, bee_amber: float) -> Sprite:
    """Draw one view with the body ``length_px`` long; ``bee_amber`` 0 (dark race) .. 1 (yellow race)."""
    sheet = Sheet()
    if look is Look.HORNET_TOP:
        _hornet_top(sheet, phase)
    elif look is Look.HORNET_SIDE:
        _hornet_side(sheet, phase)
    elif look is Look.HORNET_FACE:
        _hornet_face(sheet, phase)
    elif look is Look.HORNET_REST:
        _hornet_rest(sheet, phase)
    elif look is Look.BEE_SIDE:
        _bee_side(sheet, phase, bee_amber)
    elif look is Look.LEAF:
        _leaf(sheet, phase)
    else:
        _bee_top(sheet, phase, bee_amber, look)
    return sheet.sprite(length_px)


def _hornet_bands(length: Floats, across: Floats) -> Floats:
    """Colour the abdomen: six segments from the waist to the sting, their edges curved."""
    s = length - 0.05 * across**2
    rgb = np.empty((*s.shape, 3), np.float32)
    rgb[:] = BLACK
    rgb[(s > 0.2)] = DARK_BROWN
    rgb[(s > 0.165) & (s < 0.205)] = YELLOW
    rgb[(s > 0.405) & (s < 0.43)] = (0.80, 0.42, 0.08)
    rgb[(s > 0.555) & (s < 0.80)] = ORANGE
    rgb[(s > 0.70) & (s < 0.79)] = YELLOW
    rgb[(s > 0.555) & (s < 0.64) & (np.abs(across) < (0.64 - s) * 4)] = DARK_BROWN
    rgb[s >= 0.80] = (0.30, 0.14, 0.05)
    return rgb


def _hornet_leg(sheet: Sheet, joints: list[tuple[float, float]]) -> None:
    """Thigh and half the shin dark, the rest yellow: joints are hip, knee, mid-shin, heel, toe."""
    colours: list[Colour] = [BLACK, DARK_BROWN, (0.85, 0.62, 0.15), YELLOW]
    limb(sheet, joints, colours, [0.05, 0.04, 0.034, 0.028], solid=True)


def _hornet_trunk(sheet: Sheet) -> None:
    """Abdomen, thorax and head seen from above."""
    ellipsoid(sheet, (-0.235, 0), (0.285, 0.150), _hornet_bands, profile=HORNET_WAIST)
    ellipsoid(sheet, (0.185, 0), (0.165, 0.128), BLACK, fuzz=0.035)
    ellipsoid(sheet, (0.40, 0), (0.085, 0.120), BLACK)
    ellipsoid(sheet, (0.455, 0), (0.045, 0.070), ORANGE)
    for side in (-1, 1):
        ellipsoid(sheet, (0.415, side * 0.092), (0.062, 0.030), (0.20, 0.09, 0.04), turn_deg=side * 20)
        feeler = [(0.46, side * 0.04), (0.53, side * 0.10), (0.66, side * 0.17)]
        limb(sheet, feeler, [BLACK, (0.20, 0.10, 0.05)], [0.03, 0.024], solid=False)


def _hornet_top(sheet: Sheet, phase: int) -> None:
    for side in (-1, 1):
        _hornet_leg(
            sheet,
            [
                (0.08, side * 0.08),
                (-0.06, side * 0.22),
                (-0.20, side * 0.27),
                (-0.32, side * 0.29),
                (-0.48, side * 0.27),
            ],
        )
        _hornet_leg(
            sheet,
            [
                (0.16, side * 0.10),
                (0.10, side * 0.24),
                (0.00, side * 0.31),
                (-0.08, side * 0.35),
                (-0.20, side * 0.37),
            ],
        )
        _hornet_leg(
            sheet,
            [
                (0.27, side * 0.10),
                (0.36, side * 0.19),
                (0.34, side * 0.25),
                (0.30, side * 0.29),
                (0.22, side * 0.32),
            ],
        )
    _hornet_trunk(sheet)
    for side in (-1, 1):
        middle = side * (98 + 14 * (phase - 1))
        beating_wing(sheet, (0.20, side * 0.10), (middle - 34, middle + 34), (0.80, 0.20), SMOKE, 0.42)
        beating_wing(
            sheet,
            (0.12, side * 0.10),
            (middle + side * 22 - 24, middle + side * 22 + 24),
            (0.52, 0.18),
            SMOKE,
            0.32,
        )


def _hornet_rest(sheet: Sheet, phase: int) -> None:
    swing = 0.03 * (phase - 1)
    for side in (-1, 1):
        step = swing * side
        _hornet_leg(
            sheet,
            [
                (0.08, side * 0.08),
                (-0.05, side * 0.26),
                (-0.18 + step, side * 0.32),
                (-0.30 + step, side * 0.37),
                (-0.42 + step, side * 0.42),
            ],
        )
        _hornet_leg(
            sheet,
            [
                (0.16, side * 0.10),
                (0.17, side * 0.28),
                (0.12 - step, side * 0.36),
                (0.06 - step, side * 0.42),
                (-0.02 - step, side * 0.48),
            ],
        )
        _hornet_leg(
            sheet,
            [
                (0.27, side * 0.10),
                (0.38, side * 0.22),
                (0.46 + step, side * 0.24),
                (0.52 + step, side * 0.27),
                (0.60 + step, side * 0.28),
            ],
        )
    _hornet_trunk(sheet)
    for side in (-1, 1):  # folded lengthwise, they lie narrow beside the abdomen and leave its bands in sight
        wing(sheet, (0.17, side * 0.11), side * (170 - 4 * phase), (0.68, 0.10), SMOKE, 0.62)


def _hornet_side(sheet: Sheet, phase: int) -> None:
    swing = 0.02 * (phase - 1)
    beating_wing(sheet, (0.16, -0.09), (-150 + 8 * phase, -80), (0.74, 0.19), SMOKE, 0.30)
    for hip, back in ((0.06, 0.30), (0.15, 0.16), (0.25, 0.00)):
        knee = (hip - back * 0.35 - 0.02, 0.21)
        _hornet_leg(
            sheet,
            [
                (hip, 0.09),
                knee,
                (knee[0] - back * 0.35, 0.29 + swing),
                (knee[0] - back * 0.7 - 0.02, 0.35 + swing),
                (knee[0] - back - 0.05, 0.42 + swing),
            ],
        )
    ellipsoid(sheet, (-0.225, 0.055), (0.29, 0.145), _hornet_bands, turn_deg=-14, profile=HORNET_WAIST)
    ellipsoid(sheet, (0.175, -0.01), (0.165, 0.140), BLACK, fuzz=0.035)
    ellipsoid(sheet, (0.385, 0.03), (0.085, 0.115), BLACK, turn_deg=12)
    ellipsoid(sheet, (0.435, 0.055), (0.050, 0.095), ORANGE, turn_deg=12)
    ellipsoid(sheet, (0.385, 0.015), (0.036, 0.070), (0.17, 0.07, 0.04), turn_deg=10)
    limb(
        sheet,
        [(0.45, -0.02), (0.53, -0.09), (0.66, -0.06)],
        [BLACK, (0.20, 0.10, 0.05)],
        [0.03, 0.024],
        solid=False,
    )
    beating_wing(sheet, (0.18, -0.10), (-128 + 10 * phase, -58), (0.80, 0.21), SMOKE, 0.36)


def _hornet_face(sheet: Sheet, phase: int) -> None:
    """Seen from ahead and above as it faces the camera; here x is up and y across."""
    for side in (-1, 1):
        middle = side * (88 + 10 * (phase - 1))
        beating_wing(sheet, (0.10, side * 0.10), (middle - 38, middle + 38), (0.72, 0.21), SMOKE, 0.40)
        for hip, low in ((0.10, -0.06), (0.02, -0.22), (-0.04, -0.36)):
            spread = 0.24 + 0.25 * abs(low)
            _hornet_leg(
                sheet,
                [
                    (hip, side * 0.10),
                    (hip + 0.02, side * spread),
                    ((hip + low) / 2, side * (spread + 0.04)),
                    (low - 0.02, side * (spread + 0.03)),
                    (low - 0.12, side * spread),
                ],
            )
    ellipsoid(sheet, (-0.22, 0), (0.23, 0.145), _hornet_bands, profile=HORNET_WAIST)
    ellipsoid(sheet, (0.06, 0), (0.15, 0.165), BLACK, fuzz=0.035)
    ellipsoid(sheet, (0.10, 0), (0.125, 0.135), BLACK)
    ellipsoid(sheet, (0.075, 0), (0.095, 0.085), ORANGE)
    for side in (-1, 1):
        ellipsoid(sheet, (0.12, side * 0.098), (0.085, 0.036), (0.16, 0.07, 0.04), turn_deg=side * 12)
        limb(
            sheet,
            [(0.14, side * 0.03), (0.27, side * 0.09), (0.34, side * 0.22)],
            [BLACK, DARK_BROWN],
            [0.03, 0.024],
            solid=False,
        )
        ellipsoid(sheet, (-0.01, side * 0.03), (0.035, 0.028), DARK_BROWN)


def _bee_bands(amber: float) -> Pattern:
    """Return the colouring of a worker's abdomen: amber and dark rings, darker to the end."""
    warm = np.array((0.72, 0.44, 0.15)) * amber + np.array((0.40, 0.29, 0.17)) * (1 - amber)

    def paint(length: Floats, across: Floats) -> Floats:
        s = length - 0.06 * across**2
        ring = np.clip(0.5 + 1.6 * np.cos(2 * np.pi * (s * 5.2 - 0.15)), 0, 1) * np.clip((0.95 - s) * 6, 0, 1)
        ring *= np.clip(1.25 - s * 0.9, 0, 1)
        dark = np.array((0.17, 0.11, 0.07))
        return np.asarray(dark + ring[..., None] * (warm - dark), np.float32)

    return paint


def _bee_leg(sheet: Sheet, joints: list[tuple[float, float]]) -> None:
    limb(sheet, joints, [(0.13, 0.09, 0.06)] * 3, [0.055, 0.05, 0.035], solid=True)


def _bee_top(sheet: Sheet, phase: int, amber: float, look: Look) -> None:
    flying = look is Look.BEE_TOP
    step = 0.035 * (phase - 1)
    for side in (-1, 1):
        out = 0.7 if flying else 1.0
        swing = step * side
        _bee_leg(
            sheet,
            [
                (0.05, side * 0.1),
                (-0.06, side * 0.27 * out),
                (-0.25 + swing, side * 0.34 * out),
                (-0.36 + swing, side * 0.38 * out),
            ],
        )
        _bee_leg(
            sheet,
            [
                (0.14, side * 0.1),
                (0.14, side * 0.30 * out),
                (0.04 - swing, side * 0.40 * out),
                (-0.04 - swing, side * 0.45 * out),
            ],
        )
        _bee_leg(
            sheet,
            [
                (0.24, side * 0.1),
                (0.34, side * 0.25 * out),
                (0.44 + swing, side * 0.27 * out),
                (0.50 + swing, side * 0.30 * out),
            ],
        )
    ellipsoid(sheet, (-0.225, 0), (0.285, 0.185), _bee_bands(amber), profile=BEE_WAIST)
    ellipsoid(sheet, (0.165, 0), (0.170, 0.170), (0.47, 0.35, 0.20), fuzz=0.10)
    ellipsoid(sheet, (0.165, 0), (0.090, 0.085), (0.24, 0.17, 0.10), fuzz=0.08)
    ellipsoid(sheet, (0.385, 0), (0.085, 0.120), (0.20, 0.15, 0.10), fuzz=0.03)
    for side in (-1, 1):
        ellipsoid(sheet, (0.39, side * 0.095), (0.060, 0.030), (0.08, 0.06, 0.05), turn_deg=side * 15)
        limb(
            sheet,
            [(0.45, side * 0.03), (0.52, side * 0.07), (0.60, side * 0.13)],
            [(0.12, 0.09, 0.06)] * 2,
            [0.03, 0.026],
            solid=False,
        )
        if look is Look.BEE_REST:
            wing(sheet, (0.14, side * 0.12), side * (160 - 3 * phase), (0.62, 0.19), CLEAR, 0.30)
        else:
            middle = side * ((100 if flying else 128) + 10 * (phase - 1))
            width = 36 if flying else 22
            beating_wing(
                sheet, (0.18, side * 0.13), (middle - width, middle + width), (0.68, 0.22), CLEAR, 0.34
            )


def _bee_side(sheet: Sheet, phase: int, amber: float) -> None:
    for hip, back in ((0.05, 0.16), (0.14, 0.10), (0.23, 0.02)):
        _bee_leg(sheet, [(hip, 0.1), (hip - back * 0.4, 0.23), (hip - back, 0.31), (hip - back - 0.06, 0.36)])
    ellipsoid(sheet, (-0.205, 0.06), (0.285, 0.175), _bee_bands(amber), turn_deg=-16, profile=BEE_WAIST)
    ellipsoid(sheet, (0.165, -0.01), (0.165, 0.170), (0.47, 0.35, 0.20), fuzz=0.10)
    ellipsoid(sheet, (0.375, 0.04), (0.078, 0.125), (0.20, 0.15, 0.10), turn_deg=12, fuzz=0.03)
    ellipsoid(sheet, (0.385, 0.02), (0.036, 0.070), (0.07, 0.05, 0.04), turn_deg=12)
    limb(
        sheet,
        [(0.43, 0.0), (0.50, -0.04), (0.57, 0.03)],
        [(0.12, 0.09, 0.06)] * 2,
        [0.03, 0.026],
        solid=False,
    )
    beating_wing(sheet, (0.16, -0.12), (-140 + 10 * phase, -62), (0.66, 0.23), CLEAR, 0.36)


def _leaf(sheet: Sheet, phase: int) -> None:
    """A fallen leaf, pointed at both ends: yellow, brown or faded green."""
    colour = ((0.80, 0.66, 0.22), (0.48, 0.31, 0.16), (0.50, 0.56, 0.24))[phase]
    blade = ([0, 0.08, 0.3, 0.55, 0.8, 1], [0.05, 0.42, 0.95, 1, 0.55, 0])
    ellipsoid(sheet, (0, 0), (0.5, 0.24), colour, fuzz=0.015, profile=blade)
    darker: Colour = (colour[0] * 0.7, colour[1] * 0.7, colour[2] * 0.7)
    limb(sheet, [(-0.45, 0), (0.45, 0), (0.66, 0.05)], [darker, darker], [0.02, 0.03], solid=True)


def shadow_of(sprite: Sprite) -> Sprite:
    """Return the soft dark shape the same view throws on a surface close behind it."""
    alpha = np.asarray(cv2.GaussianBlur(sprite.texture[..., 3], (0, 0), sprite.length_px * 0.05))
    texture = np.zeros_like(sprite.texture)
    texture[..., 3] = (alpha * 0.5).astype(np.uint8)
    return Sprite(texture, sprite.hull, sprite.length_px)
