"""Augmentation: simulate the light, lens, motion, sensor and compression of other cameras.

Every function takes uint8 RGB pixels (height x width x 3) and a random generator, and returns new pixels.
"""

from __future__ import annotations

import cv2
import numpy as np

from hivewatch.domain.frames import Pixels
from hivewatch.training.data.cutouts import Cutout

Rng = np.random.Generator

BACKLIT_SHARE = 0.25
"""Share of the pasted insects that are darkened, as against a bright board."""


def augment(pixels: Pixels, rng: Rng) -> Pixels:
    """Return ``pixels`` under random light, through a random lens and sensor, in physical order."""
    if rng.random() < 0.3:
        pixels = cast_shadow(pixels, rng)
    pixels = relight(pixels, rng)
    if rng.random() < 0.25:
        pixels = lose_detail(pixels, rng)
    if rng.random() < 0.2:
        pixels = blur_motion(pixels, rng)
    if rng.random() < 0.3:
        pixels = add_noise(pixels, rng)
    if rng.random() < 0.4:
        pixels = compress(pixels, rng)
    return pixels


def relight(pixels: Pixels, rng: Rng) -> Pixels:
    """Change exposure, contrast, gamma and white balance by a curve per channel, and sometimes saturation."""
    levels = np.linspace(0, 1, 256)
    gain = np.exp(rng.normal(0, 0.2)) * np.exp(rng.normal(0, 0.08, 3))
    gamma = np.exp(rng.normal(0, 0.2))
    contrast, pivot = np.exp(rng.normal(0, 0.15)), rng.uniform(0.3, 0.6)
    curves = [((levels**gamma) * g - pivot) * contrast + pivot for g in gain]
    table = (np.clip(np.stack(curves, 1), 0, 1) * 255).astype(np.uint8)
    pixels = cv2.LUT(pixels, table[None])  # type: ignore[assignment]
    if rng.random() < 0.4:
        grey = cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        colour = 0.0 if rng.random() < 0.08 else rng.uniform(0.4, 1.5)
        pixels = cv2.addWeighted(pixels, colour, grey, 1 - colour, 0)  # type: ignore[assignment]
    return pixels


def cast_shadow(pixels: Pixels, rng: Rng) -> Pixels:
    """Darken one side of a random straight edge, soft or sharp, like a shadow on a hive."""
    height, width = pixels.shape[:2]
    angle, edge_px = rng.uniform(0, 2 * np.pi), rng.uniform(1, 30)
    x, y = np.arange(width) - rng.uniform(0, width), np.arange(height) - rng.uniform(0, height)
    distance = x[None, :] * np.cos(angle) + y[:, None] * np.sin(angle)
    lit = np.clip(distance / edge_px + 0.5, 0, 1)
    dark = rng.uniform(0.35, 0.85)
    return np.asarray(pixels * (dark + (1 - dark) * lit)[..., None], np.uint8)


def lose_detail(pixels: Pixels, rng: Rng) -> Pixels:
    """Blur like a lens out of focus, or like a picture enlarged from fewer pixels."""
    if rng.random() < 0.5:
        return cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.5, 1.6))  # type: ignore[return-value]
    height, width = pixels.shape[:2]
    scale = rng.uniform(0.4, 0.8)
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)  # type: ignore[return-value]


def blur_motion(pixels: Pixels, rng: Rng) -> Pixels:
    """Blur along a random direction by 3 to 9 pixels."""
    length = int(rng.integers(3, 10))
    kernel = np.zeros((length, length), np.float32)
    middle, angle = (length - 1) / 2, rng.uniform(0, np.pi)
    dx, dy = np.cos(angle) * middle, np.sin(angle) * middle
    start, end = (round(middle - dx), round(middle - dy)), (round(middle + dx), round(middle + dy))
    cv2.line(kernel, start, end, (1.0,))
    return cv2.filter2D(pixels, -1, kernel / kernel.sum())  # type: ignore[return-value]


def add_noise(pixels: Pixels, rng: Rng) -> Pixels:
    """Add sensor noise, sometimes in grains larger than a pixel, as denoising leaves behind."""
    height, width = pixels.shape[:2]
    grain = int(rng.integers(1, 3))
    noise = rng.normal(0, rng.uniform(2, 12), (height // grain, width // grain, 3)).astype(np.float32)
    return np.asarray(np.clip(pixels + cv2.resize(noise, (width, height)), 0, 255), np.uint8)


def compress(pixels: Pixels, rng: Rng) -> Pixels:
    """Encode as JPEG at a random quality, and decode."""
    quality = int(rng.integers(25, 90))
    _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)  # type: ignore[return-value]


def paste(
    base: Pixels, cutout: Cutout, centre: tuple[float, float], size_px: float, rng: Rng
) -> tuple[Pixels, tuple[float, float, float, float] | None]:
    """Paste ``cutout``, rotated, mirrored and scaled to a longer side of ``size_px``, into ``base``.

    Copy-paste after Ghiasi et al. 2021, section 3; the cutout's brightness is moved part of the way towards
    that of the ground around it, and some cutouts get motion blur. Returns the picture and the box of what
    was pasted, in pixels (left, top, right, bottom), or None if it lies outside the picture.
    """
    height, width = cutout.mask.shape
    scale = size_px / max(height, width)
    rotation = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(0, 360), scale)
    reach = int(np.ceil(np.hypot(width, height) * scale / 2)) + 6
    rotation[:, 2] += reach - width / 2, reach - height / 2
    layers = np.dstack([cutout.pixels, cutout.mask])
    if rng.random() < 0.5:
        layers = layers[:, ::-1]
    if scale < 0.7:
        layers = cv2.GaussianBlur(layers, (0, 0), 0.4 / scale)
    layers = cv2.warpAffine(
        np.ascontiguousarray(layers), rotation, (2 * reach, 2 * reach), borderMode=cv2.BORDER_REPLICATE
    )
    layers[..., 3] *= _inside(cutout.mask.shape, rotation, 2 * reach)
    if rng.random() < 0.3:
        layers = blur_motion(np.asarray(layers, np.uint8), rng)
    if rng.random() < BACKLIT_SHARE:
        layers[..., :3] = layers[..., :3] * rng.uniform(0.3, 0.8)
    return _blend(
        base, layers, (round(centre[0]) - reach, round(centre[1]) - reach), light=rng.uniform(0, 0.6)
    )


def _inside(shape: tuple[int, int], rotation: np.ndarray, side: int) -> np.ndarray:
    """Return 1 for each pixel of the rotated square that lies inside the cutout, else 0."""
    return cv2.warpAffine(np.ones(shape, np.uint8), rotation, (side, side), flags=cv2.INTER_NEAREST)


def _blend(
    base: Pixels, layers: np.ndarray, corner: tuple[int, int], light: float
) -> tuple[Pixels, tuple[float, float, float, float] | None]:
    """Blend ``layers`` (RGB, mask) into ``base`` at ``corner``.

    ``light``: how far to adapt the brightness to the base's, 0..1.
    """
    height, width = base.shape[:2]
    x0, y0 = max(corner[0], 0), max(corner[1], 0)
    x1, y1 = min(corner[0] + layers.shape[1], width), min(corner[1] + layers.shape[0], height)
    if x1 - x0 < 2 or y1 - y0 < 2:
        return base, None
    part = layers[y0 - corner[1] : y1 - corner[1], x0 - corner[0] : x1 - corner[0]].astype(np.float32)
    piece, alpha = part[..., :3], part[..., 3:] / 255
    rows, columns = np.where(alpha[..., 0] > 0.5 * layers[..., 3].max() / 255)
    if len(rows) < 4:
        return base, None
    ground = base[y0:y1, x0:x1].astype(np.float32)
    exposure = (ground.mean() + 20) / (ground.mean() * 0.5 + 70)  # relative to mid-grey ground (100)
    piece = piece * exposure**light
    out = base.copy()
    out[y0:y1, x0:x1] = np.clip(piece * alpha + ground * (1 - alpha), 0, 255).astype(np.uint8)
    box = columns.min() + x0, rows.min() + y0, columns.max() + 1 + x0, rows.max() + 1 + y0
    return out, (float(box[0]), float(box[1]), float(box[2]), float(box[3]))
