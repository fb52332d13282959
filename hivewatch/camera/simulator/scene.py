"""The simulator's renderer: scenery, light, shadows and actors at any moment of a seed."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from hivewatch.camera.simulator.actors import BEE_LENGTH, HORNET_LENGTHS, Bee, Hornets, Leaves
from hivewatch.camera.simulator.animals import HORNETS, STANDING, SpriteKind, draw, shadow_of
from hivewatch.camera.simulator.backdrop import paint
from hivewatch.camera.simulator.sheet import REACH, Sprite
from hivewatch.camera.simulator.surfaces import noise
from hivewatch.camera.simulator.tracks import Pose
from hivewatch.domain.frames import Box, Pixels

EXPOSURE_S = 1 / 120
NOISE_LEVELS = 40  # sensor noise is stored as 0..40, with 20 as zero

Matrix = npt.NDArray[np.float32]


class Scene:
    """A simulated hive entrance. The same seed, size and time give the same picture, bit for bit.

    OpenCV rounds differently on other processor types: there, one pixel in 100,000 may be one level off.
    """

    def __init__(
        self,
        seed: int,
        width_px: int,
        height_px: int,
        *,
        bees: int,
        hornet_every_s: float,
        hornet_stay_s: float,
    ) -> None:
        rng = np.random.RandomState([seed, 2])
        self._seed = seed
        self._size = (width_px, height_px)
        self._margin_px = max(2, round(width_px * 0.004))
        self._blur_px = float(rng.uniform(0.0, 1.1)) * width_px / 1280
        self._backdrop = paint(seed, width_px, height_px, self._margin_px, self._blur_px)
        site = self._backdrop.site
        self._bees = [Bee(seed, number, site) for number in range(bees)]
        self._hornets = Hornets(seed, site, hornet_every_s, hornet_stay_s)
        self._leaves = Leaves(seed, site.height)
        self._amber = float(rng.uniform(0.2, 1.0))
        self._light = _Light(rng, width_px, height_px)
        self._noise = _sensor_noise(rng, width_px, height_px)
        self._sprites: dict[tuple[SpriteKind, int], tuple[Sprite, Sprite]] = {}
        self._sun = (float(rng.uniform(-0.5, 0.5)), float(rng.uniform(0.25, 0.5)))

    def render(self, t: float, number: int) -> tuple[Pixels, tuple[Box, ...]]:
        """Return frame ``number`` at ``t`` seconds: RGB, and the boxes of hornets at least half in view."""
        rng = np.random.RandomState([self._seed, 3, number])
        shake_x, shake_y = self._shake(t)
        width, height = self._size
        top, left = self._margin_px + shake_y, self._margin_px + shake_x
        picture = self._backdrop.pixels[top : top + height, left : left + width].copy()
        hornets = list(self._hornets.poses(t))
        bees = [pose for pose in (bee.pose(t) for bee in self._bees) if pose is not None]
        for pose in sorted([*bees, *hornets], key=lambda pose: (pose.kind not in STANDING, pose.length)):
            self._draw(picture, pose, (shake_x, shake_y))
        for pose in self._leaves.poses(t):
            self._draw(picture, pose, (shake_x, shake_y))
        cv2.multiply(picture, self._light.at(t), dst=picture, scale=1 / 255)
        dy, dx = rng.randint(64, size=2)
        cv2.add(picture, self._noise[dy : dy + height, dx : dx + width], dst=picture)
        cv2.subtract(picture, np.full(4, NOISE_LEVELS / 2), dst=picture)
        boxes = (self._box(pose, (shake_x, shake_y)) for pose in hornets)
        return picture, tuple(box for box in boxes if box is not None)

    def _shake(self, t: float) -> tuple[int, int]:
        """Return the camera's displacement by wind, in whole pixels."""
        sway = self._margin_px * 0.5
        gust = 0.5 + 0.5 * np.sin(t * 0.31 + self._seed)
        return round(sway * gust * np.sin(t * 5.3)), round(sway * gust * np.sin(t * 7.1 + 1))

    def _sprite(self, kind: SpriteKind, phase: int) -> tuple[Sprite, Sprite]:
        """Return sprite and shadow, drawn on first use."""
        if (kind, phase) not in self._sprites:
            largest_px = self._size[0] * (HORNET_LENGTHS[1] if kind in HORNETS else 1.3 * BEE_LENGTH)
            length_px = min(180.0, 1.3 * largest_px)
            blur_px = self._blur_px * length_px / largest_px
            sprite = draw(kind, phase, length_px, blur_px=blur_px, bee_amber=self._amber)
            self._sprites[kind, phase] = (sprite, shadow_of(sprite))
        return self._sprites[kind, phase]

    def _matrix(self, pose: Pose) -> Matrix:
        """Return the 2 x 2 matrix from body lengths to pixels."""
        cos, sin = np.cos(pose.heading), np.sin(pose.heading)
        turn = np.array([[cos, -sin], [sin, cos]])
        squash = pose.squash * (-1 if pose.mirrored else 1)
        return (turn * (squash, 1) * pose.length * self._size[0]).astype(np.float32)

    def _draw(self, picture: Pixels, pose: Pose, shake: tuple[int, int]) -> None:
        """Draw an actor with shadow and motion blur."""
        width = self._size[0]
        sprite, shadow = self._sprite(pose.kind, pose.phase)
        matrix = self._matrix(pose)
        x, y = pose.x * width - shake[0], pose.y * width - shake[1]
        distance = pose.length * width * (0.12 if pose.kind in STANDING else 0.9)
        shadow_at = (x + self._sun[0] * distance, y + self._sun[1] * distance)
        _composite(picture, shadow, matrix, shadow_at, (0, 0), pose.opacity)
        blur = (pose.speed_x * width * EXPOSURE_S, pose.speed_y * width * EXPOSURE_S)
        _composite(picture, sprite, matrix, (x, y), blur, pose.opacity)

    def _box(self, pose: Pose, shake: tuple[int, int]) -> Box | None:
        """Return the visible part of the box around body and legs; None if less than half is visible."""
        width, height = self._size
        sprite, _ = self._sprite(pose.kind, pose.phase)
        outline = sprite.hull @ self._matrix(pose).T
        outline += (pose.x * width - shake[0], pose.y * width - shake[1])
        outline /= (width, height)
        (x0, y0), (x1, y1) = outline.min(axis=0).tolist(), outline.max(axis=0).tolist()
        visible = Box(max(0.0, x0), max(0.0, y0), min(1.0, x1), min(1.0, y1))
        area = max(0.0, visible.x1 - visible.x0) * max(0.0, visible.y1 - visible.y0)
        return visible if pose.opacity > 0.5 and area >= 0.5 * (x1 - x0) * (y1 - y0) else None


class _Light:
    """Sunlight through moving leaves and clouds: the share of light that reaches each pixel, per channel."""

    def __init__(self, rng: np.random.RandomState, width_px: int, height_px: int) -> None:
        self._size = (width_px, height_px)
        self._small = (max(8, width_px // 8), max(8, height_px // 8))
        self._layers = [self._leaves(rng) for _ in range(2)]
        self._depth = float(rng.uniform(0.0, 0.55))
        warm = rng.uniform(-0.06, 0.06)
        self._tint = np.array((1 + min(0, warm), 1 - abs(warm) * 0.4, 1 - max(0, warm)), np.float32)
        self._turn = rng.uniform(0, 2 * np.pi, 6)

    def at(self, t: float) -> Pixels:
        """Return the light at ``t``: uint8, height x width x 3; 255 is full light."""
        width, height = self._small
        shade = np.ones((height, width), np.float32)
        for layer, turn in zip(self._layers, self._turn[:2], strict=True):
            dx = 6 + 5 * np.sin(0.9 * t + turn) * np.sin(0.23 * t + 2 * turn)
            dy = 6 + 4 * np.sin(0.7 * t + 3 * turn)
            move = np.array([[1, 0, -dx], [0, 1, -dy]], np.float32)
            shade *= 1 - self._depth * cv2.warpAffine(layer, move, (width, height), flags=cv2.INTER_LINEAR)
        cloud = 0.91 + 0.06 * np.sin(t / 7 + self._turn[2]) + 0.03 * np.sin(t / 2.9 + self._turn[3])
        blue = np.array((-0.04, 0.0, 0.05), np.float32) * (1 - shade[..., None])  # the sky lights the shade
        small = np.clip(255 * cloud * self._tint * (shade[..., None] + blue), 0, 255).astype(np.uint8)
        return np.asarray(cv2.resize(small, self._size, interpolation=cv2.INTER_LINEAR), np.uint8)

    def _leaves(self, rng: np.random.RandomState) -> npt.NDArray[np.float32]:
        """Return the shade of foliage, 0..1, slightly larger than the light's grid so that it can move."""
        width, height = self._small[0] + 16, self._small[1] + 16
        waves = rng.uniform(6, 22)
        field = noise(rng, height, width, waves * height / width, waves)
        field += 0.6 * noise(rng, height, width, 3 * waves * height / width, 3 * waves)
        shade = np.clip((field - rng.uniform(-0.2, 0.6)) * rng.uniform(1.5, 5.0), 0, 1)
        return np.asarray(cv2.GaussianBlur(shade, (0, 0), rng.uniform(0.6, 2.0)), np.float32)


def _sensor_noise(rng: np.random.RandomState, width_px: int, height_px: int) -> Pixels:
    """Return sensor noise, larger than the frame so that each frame can use another part."""
    fine = rng.standard_normal((height_px + 64, width_px + 64, 3)).astype(np.float32)
    grain = 0.7 * fine + 0.9 * cv2.GaussianBlur(fine, (0, 0), 0.8)
    return np.asarray(np.clip(grain * rng.uniform(2.0, 4.5) + NOISE_LEVELS / 2, 0, NOISE_LEVELS), np.uint8)


def _composite(
    picture: Pixels,
    sprite: Sprite,
    matrix: Matrix,
    at: tuple[float, float],
    blur: tuple[float, float],
    opacity: float,
) -> None:
    """Draw a sprite centred ``at`` (pixels), motion-blurred along ``blur`` and clipped to the picture."""
    reach = REACH * np.abs(matrix).sum(axis=1) + np.abs(blur) / 2 + 2
    left, top = (max(0, int(at[axis] - reach[axis])) for axis in (0, 1))
    right = min(picture.shape[1], int(at[0] + reach[0]) + 1)
    bottom = min(picture.shape[0], int(at[1] + reach[1]) + 1)
    if left >= right or top >= bottom:
        return
    size = (right - left, bottom - top)
    centre = (at[0] - left, at[1] - top)
    patch = _motion_blurred(sprite, matrix / sprite.length_px, centre, blur, opacity, size)
    region = picture[top:bottom, left:right]
    clear = cv2.cvtColor(255 - patch[..., 3], cv2.COLOR_GRAY2RGB)
    region[:] = cv2.add(cv2.multiply(region, clear, scale=1 / 255), patch[..., :3])


def _motion_blurred(
    sprite: Sprite,
    scale: Matrix,
    at: tuple[float, float],
    blur: tuple[float, float],
    opacity: float,
    size: tuple[int, int],
) -> Pixels:
    """Return the sprite in a patch of ``size``: the mean over its positions while the shutter is open."""
    steps = int(np.clip(np.hypot(*blur) / 2, 1, 9))
    corner = np.array(at) - scale.sum(axis=1) * (sprite.texture.shape[0] / 2 - 0.5)
    total = np.zeros((size[1], size[0], 4), np.uint16)
    for share in np.linspace(-0.5, 0.5, steps) if steps > 1 else (0.0,):
        matrix = np.column_stack((scale, corner + np.array(blur) * share))
        total += np.asarray(cv2.warpAffine(sprite.texture, matrix, size, flags=cv2.INTER_LINEAR), np.uint8)
    patch = cv2.convertScaleAbs(total, alpha=opacity / steps)
    if steps > 1:  # closes the gaps between the steps
        patch = cv2.GaussianBlur(patch, (0, 0), np.hypot(*blur) / steps / 2)
    return np.asarray(patch, np.uint8)
