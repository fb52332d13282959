"""The simulator's materials: weathered or painted wood, foliage, and uneven light."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Random = np.random.RandomState  # its streams are the same in every NumPy version, unlike those of Generator
Colour = tuple[float, float, float]

WOODS: tuple[tuple[Colour, float], ...] = (  # linear RGB, and the share of paint, which hides the grain
    ((0.46, 0.43, 0.39), 0.0),
    ((0.62, 0.47, 0.30), 0.0),
    ((0.50, 0.27, 0.14), 0.0),
    ((0.32, 0.24, 0.18), 0.0),
    ((0.58, 0.52, 0.46), 0.0),
    ((0.84, 0.83, 0.79), 0.85),
    ((0.40, 0.53, 0.64), 0.8),
    ((0.44, 0.56, 0.40), 0.75),
    ((0.72, 0.55, 0.22), 0.75),
    ((0.54, 0.57, 0.59), 0.8),
)


def noise(rng: Random, height: int, width: int, rows: float, columns: float) -> Floats:
    """Return smooth noise, about -1..1, with ``rows`` waves down and ``columns`` waves across."""
    coarse = rng.uniform(-1, 1, (max(2, round(rows)), max(2, round(columns)))).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


def wood(rng: Random, height: int, width: int, base: Colour, paint_share: float, scale_px: float) -> Floats:
    """Return one plank (RGB) with its grain along x; ``scale_px`` is the frame's width."""
    rows, columns = height / scale_px, width / scale_px
    fibre = 0.5 * noise(rng, height, width, rows * 330, columns * 6)
    fibre += 0.5 * noise(rng, height, width, rows * 600, columns * 16)
    across = np.arange(height, dtype=np.float32)[:, None] / scale_px * rng.uniform(35, 80)
    rings = across + 1.5 * noise(rng, height, width, 1 + rows * 7, 2 + columns * 2)
    rings += 0.25 * noise(rng, height, width, rows * 30, columns * 12)
    ring = rings % 1.0
    late_wood = np.minimum((ring / 0.75) ** 2, (1 - ring) / 0.25) - 0.4
    blotch = noise(rng, height, width, rows * 12, columns * 8)
    grain = 0.22 * fibre - 0.26 * late_wood
    tone = 1 + grain * (1 - 0.8 * paint_share) + 0.10 * blotch + 0.06 * noise(rng, height, width, 3, 4)
    plank = tone[..., None] * np.asarray(base, np.float32)
    if paint_share:
        worn = noise(rng, height, width, rows * 70, columns * 26) + 0.6 * blotch + 0.4 * fibre
        bare = np.clip((worn - rng.uniform(0.95, 1.5)) * 6, 0, 1)[..., None]
        raw = (1 + 1.3 * grain[..., None]) * np.array((0.40, 0.34, 0.27), np.float32)
        plank = plank * (1 - bare) + bare * raw
    _knots(rng, plank, scale_px, 1 - paint_share)
    return np.asarray(plank, np.float32)


def _knots(rng: Random, plank: Floats, scale_px: float, depth: float) -> None:
    """Darken a few knots; paint (a low ``depth``) nearly hides them."""
    height, width = plank.shape[:2]
    shade = np.ones((height, width), np.float32)
    for _ in range(rng.poisson(3 * width / scale_px * height / scale_px * 4)):
        centre, size = (rng.randint(width), rng.randint(height)), rng.uniform(0.003, 0.009) * scale_px
        for ring in (1.0, 0.6, 0.3):
            axes = (max(1, round(size * 1.5 * ring)), max(1, round(size * ring)))
            tone = 1 - 0.45 * depth * (1.2 - ring * 0.6)
            cv2.ellipse(shade, centre, axes, rng.uniform(-15, 15), 0, 360, tone, -1, cv2.LINE_AA)
    plank *= cv2.GaussianBlur(shade, (0, 0), max(0.5, scale_px * 0.0008))[..., None]


def foliage(rng: Random, width_px: int, height_px: int) -> Floats:
    """Return the background (RGB): soil, then leaves and straw from far to near."""
    width, height = max(64, width_px // 2), max(64, height_px // 2)
    green = np.array((rng.uniform(0.16, 0.40), rng.uniform(0.34, 0.52), rng.uniform(0.06, 0.18)))
    earth = np.array((0.22, 0.17, 0.12)) * rng.uniform(0.6, 1.5)
    mix = np.clip(0.5 + 0.9 * noise(rng, height, width, 5, 8), 0, 1)[..., None]
    picture = np.asarray(green * mix * 0.45 + earth * (1 - mix), np.float32)
    picture *= 1 + 0.35 * noise(rng, height, width, 60, 100)[..., None]
    lushness, near = rng.uniform(0.4, 1.3), rng.uniform(0.6, 1.6)
    for share in (0.35, 0.65, 1.0):
        for _ in range(int(420 * lushness)):
            tone = green * share * rng.uniform(0.4, 1.9) + np.array((0.10, 0.05, 0.0)) * rng.uniform(-0.6, 1)
            size = rng.uniform(0.006, 0.020) * width * near * (0.5 + share)
            _blade(rng, picture, size, np.clip(tone, 0.01, 1))
        for _ in range(60):
            _straw(rng, picture, width, share)
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), width * 0.0016 / share), np.float32)
    for _ in range(rng.randint(0, 12)):  # fallen leaves
        colour = np.array(((0.75, 0.58, 0.12), (0.42, 0.24, 0.10))[rng.randint(2)])
        _blade(rng, picture, rng.uniform(0.010, 0.022) * width, colour)
    picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), width * rng.uniform(0.0008, 0.006)), np.float32)
    return np.asarray(cv2.resize(picture, (width_px, height_px), interpolation=cv2.INTER_LINEAR), np.float32)


def _blade(rng: Random, picture: Floats, size: float, colour: npt.NDArray[np.float64]) -> None:
    """Paint one leaf, pointed at both ends, with one half darker."""
    turn, broad = rng.uniform(0, 2 * np.pi), rng.uniform(0.22, 0.5)
    along = np.array((-1, -0.5, 0.1, 0.6, 1.0)) * size
    bulge = np.array((0, 0.8, 1.0, 0.6, 0)) * size * broad
    centre = np.array((rng.randint(picture.shape[1]), rng.randint(picture.shape[0])))
    axes = np.array(((np.cos(turn), np.sin(turn)), (-np.sin(turn), np.cos(turn))))
    for side, light in ((1, 1.0), (-1, 0.82)):
        outline = np.stack((along, side * bulge), axis=1) @ axes + centre
        cv2.fillPoly(
            picture, [np.round(outline * 16).astype(np.int32)], (colour * light).tolist(), cv2.LINE_AA, 4
        )


def _straw(rng: Random, picture: Floats, width: int, share: float) -> None:
    """Paint one dry or green blade of grass."""
    x, y = rng.randint(width), rng.randint(picture.shape[0])
    tip = (round(x + rng.uniform(-0.08, 0.08) * width), round(y - rng.uniform(0.03, 0.12) * width))
    colour = ((0.60, 0.52, 0.28), (0.30, 0.45, 0.12))[rng.randint(2)]
    tone = (np.array(colour) * share * rng.uniform(0.5, 1.2)).tolist()
    cv2.line(picture, (x, y), tip, tone, max(1, width // 400), cv2.LINE_AA)


def falloff(rng: Random, width_px: int, height_px: int) -> Floats:
    """Return the light over the picture: brighter towards the sun, dimmer in the corners."""
    angle = rng.uniform(0, 2 * np.pi)
    x = np.linspace(-1, 1, width_px, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, height_px, dtype=np.float32)[:, None]
    light = rng.uniform(1.1, 1.5) + 0.22 * (np.cos(angle) * x + np.sin(angle) * y) - 0.10 * (x**2 + y**2)
    return np.asarray(light[..., None], np.float32)
