"""Paints the simulator's still scenery once: foliage out of focus, a wooden hive, its entrance and board."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from hivewatch.camera.tracks import Site
from hivewatch.domain import Pixels

Floats = npt.NDArray[np.float32]
Random = np.random.RandomState
Colour = tuple[float, float, float]

SPREAD = 1.3  # the hive is painted on a sheet this much larger than the frame, then seen in perspective

WOODS: tuple[tuple[Colour, float], ...] = (  # colour, and how much of it is paint that hides the grain
    ((0.55, 0.52, 0.48), 0.0),
    ((0.66, 0.50, 0.33), 0.0),
    ((0.60, 0.36, 0.20), 0.0),
    ((0.45, 0.36, 0.28), 0.0),
    ((0.84, 0.83, 0.79), 0.8),
    ((0.52, 0.63, 0.72), 0.8),
    ((0.56, 0.66, 0.52), 0.75),
    ((0.83, 0.72, 0.40), 0.75),
    ((0.62, 0.66, 0.68), 0.7),
)


@dataclass(frozen=True, slots=True, eq=False)
class Backdrop:
    """The scenery, RGB, ``margin_px`` larger than the frame on every side, and where things are on it."""

    pixels: Pixels
    margin_px: int
    site: Site


def paint(seed: int, width_px: int, height_px: int, margin_px: int) -> Backdrop:
    """Paint the scenery of ``seed`` for frames of that size."""
    rng = Random([seed, 1])
    plan = _Plan.drawn(rng, width_px, height_px)
    behind = _foliage(rng, width_px, height_px)
    hive, cover = _hive(rng, plan, width_px, height_px)
    seen_from = _perspective(rng, width_px, height_px)
    size = (width_px, height_px)
    front = cv2.warpPerspective(hive, seen_from, size, flags=cv2.INTER_LINEAR)
    seen = cv2.GaussianBlur(cv2.warpPerspective(cover, seen_from, size), (0, 0), 0.8)[..., None]
    scene = behind * (1 - seen) + front * seen
    scene *= _falloff(rng, width_px, height_px)
    pixels = np.clip(np.clip(scene, 0, 1) ** 0.75 * 255, 0, 250).astype(np.uint8)
    edge = cv2.copyMakeBorder(pixels, margin_px, margin_px, margin_px, margin_px, cv2.BORDER_REFLECT)
    return Backdrop(np.asarray(edge, np.uint8), margin_px, plan.site(seen_from, width_px, height_px))


@dataclass(frozen=True, slots=True)
class _Plan:
    """The hive's front before perspective, in pixels of the larger sheet."""

    left: int
    right: int
    board_top: int
    board_bottom: int
    board_left: int
    board_right: int
    slot_left: int
    slot_right: int
    slot_height: int

    @classmethod
    def drawn(cls, rng: Random, width_px: int, height_px: int) -> _Plan:
        off_x, off_y = (SPREAD - 1) / 2 * width_px, (SPREAD - 1) / 2 * height_px
        left = off_x + width_px * rng.choice((-0.2, rng.uniform(0.02, 0.2)))
        right = off_x + width_px * rng.choice((1.2, rng.uniform(0.8, 0.98)))
        board_top = off_y + height_px * rng.uniform(0.5, 0.66)
        middle = off_x + width_px * rng.uniform(0.4, 0.6)
        half_slot, half_board = width_px * rng.uniform(0.12, 0.24), width_px * rng.uniform(0.28, 0.40)
        depth = min(height_px * rng.uniform(0.14, 0.22), width_px * 0.2)
        edges = (
            left, right, board_top, board_top + depth, middle - half_board, middle + half_board,
            middle - half_slot, middle + half_slot, width_px * rng.uniform(0.020, 0.030),
        )  # fmt: skip
        return cls(*(round(edge) for edge in edges))

    def site(self, seen_from: npt.NDArray[np.float64], width_px: int, height_px: int) -> Site:
        """Return the places of entrance and board in frame widths, as the camera sees them."""
        door_y = self.board_top - self.slot_height * 0.35
        corners = [
            (self.slot_left, door_y), (self.slot_right, door_y),
            (self.board_left, self.board_top), (self.board_right, self.board_top),
            (self.board_right, self.board_bottom), (self.board_left, self.board_bottom),
        ]  # fmt: skip
        seen = cv2.perspectiveTransform(np.array([corners], np.float32), seen_from)[0] / width_px
        a, b, c, d, e, f = ((float(x), float(y)) for x, y in seen)
        return Site((a, b), (c, d, e, f), height_px / width_px)


def _noise(rng: Random, height: int, width: int, rows: float, columns: float) -> Floats:
    """Return smooth noise, about -1..1, with so many waves down and across."""
    coarse = rng.uniform(-1, 1, (max(2, round(rows)), max(2, round(columns)))).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


def _wood(rng: Random, height: int, width: int, base: Colour, paint_share: float, scale: float) -> Floats:
    """Paint one plank, its grain along x; ``scale`` is the frame's width in pixels."""
    grain = 0.5 * _noise(rng, height, width, height / scale * 160, width / scale * 5)
    grain += 0.35 * _noise(rng, height, width, height / scale * 420, width / scale * 14)
    grain += 0.25 * _noise(rng, height, width, height / scale * 40, width / scale * 2)
    waves = np.arange(height, dtype=np.float32)[:, None] + _noise(rng, height, width, 3, 6) * scale * 0.006
    across = np.broadcast_to(np.arange(width, dtype=np.float32), (height, width))
    wavy = cv2.remap(
        grain, np.ascontiguousarray(across), waves, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    grain = np.asarray(wavy, np.float32)
    blotch = _noise(rng, height, width, height / scale * 12, width / scale * 9)
    tone = 1 + 0.26 * grain * (1 - 0.75 * paint_share) + 0.09 * blotch
    plank = tone[..., None] * np.asarray(base, np.float32)
    if paint_share:
        worn = (
            _noise(rng, height, width, height / scale * 60, width / scale * 24) + 0.5 * blotch + 0.5 * grain
        )
        bare = np.clip((worn - 0.95) * 6, 0, 1)[..., None]
        plank = plank * (1 - bare) + bare * (1 + 0.3 * grain[..., None]) * np.array(
            (0.50, 0.44, 0.37), np.float32
        )
    return np.asarray(plank, np.float32)


def _hive(rng: Random, plan: _Plan, width_px: int, height_px: int) -> tuple[Floats, Floats]:
    """Paint the hive on its sheet, and tell which part of the sheet it covers."""
    height, width = round(height_px * SPREAD), round(width_px * SPREAD)
    sheet = np.zeros((height, width, 3), np.float32)
    cover = np.zeros((height, width), np.float32)
    base, painted = WOODS[rng.randint(len(WOODS))]
    left, right = max(0, plan.left), min(width, plan.right)
    planks = rng.randint(1, 5)
    seams = np.linspace(0, plan.board_top, planks + 1).astype(int)
    for top, bottom in pairwise(seams.tolist()):
        tint = rng.uniform(0.9, 1.08)
        colour = (base[0] * tint, base[1] * tint, base[2] * tint)
        sheet[top:bottom, left:right] = _wood(rng, bottom - top, right - left, colour, painted, width_px)
        sheet[bottom - max(1, width_px // 400) : bottom, left:right] *= 0.4
        sheet[top : top + max(1, width_px // 500), left:right] *= 1.15
    cover[: plan.board_top, left:right] = 1
    for x in (left + 0.02 * width_px, right - 0.02 * width_px):
        for y in (seams[:-1] + seams[1:]) / 2:
            cv2.circle(
                sheet, (round(x), round(y)), max(1, width_px // 300), (0.22, 0.19, 0.17), -1, cv2.LINE_AA
            )
    _stand(rng, sheet, cover, plan, base, width_px)
    _entrance(rng, sheet, plan, width_px)
    _board(rng, sheet, cover, plan, width_px)
    return sheet, cover


def _stand(rng: Random, sheet: Floats, cover: Floats, plan: _Plan, base: Colour, width_px: int) -> None:
    """Paint what is below the board: another box, or the dark between two feet."""
    top, left, right = plan.board_top, max(0, plan.left), min(sheet.shape[1], plan.right)
    if rng.uniform() < 0.5:
        darker = (base[0] * 0.8, base[1] * 0.8, base[2] * 0.8)
        sheet[top:, left:right] = _wood(rng, sheet.shape[0] - top, right - left, darker, 0.0, width_px)
        cover[top:, left:right] = 1
        return
    low = min(sheet.shape[0], plan.board_bottom + round(0.05 * width_px))
    sheet[top:low, left:right] = (0.07, 0.06, 0.05)
    cover[top:low, left:right] = 1


def _entrance(rng: Random, sheet: Floats, plan: _Plan, width_px: int) -> None:
    """Paint the slot, with or without a punched metal guard above it."""
    top = plan.board_top - plan.slot_height
    if rng.uniform() < 0.4:
        guard = round(width_px * 0.035)
        reach = round(width_px * 0.03)
        metal = rng.uniform(0.55, 0.72) + 0.05 * _noise(
            rng, guard, plan.slot_right - plan.slot_left + 2 * reach, 3, 40
        )
        sheet[top - guard : top, plan.slot_left - reach : plan.slot_right + reach] = metal[..., None]
        for x in np.arange(plan.slot_left - reach / 2, plan.slot_right + reach / 2, width_px * 0.016):
            for share in (0.3, 0.65):
                hole = (round(x), round(top - guard * share))
                cv2.circle(sheet, hole, max(1, round(width_px * 0.0038)), (0.08, 0.07, 0.06), -1, cv2.LINE_AA)
    deep = np.linspace(0.03, 0.13, plan.slot_height, dtype=np.float32)[:, None, None]
    sheet[top : plan.board_top, plan.slot_left : plan.slot_right] = deep * np.array(
        (1.1, 1.0, 0.9), np.float32
    )


def _board(rng: Random, sheet: Floats, cover: Floats, plan: _Plan, width_px: int) -> None:
    """Paint the landing board: its top, worn and specked, its front edge and the shadow of the hive on it."""
    rows, columns = plan.board_bottom - plan.board_top, plan.board_right - plan.board_left
    base, painted = WOODS[rng.randint(len(WOODS))]
    top = _wood(rng, rows, columns, base, painted * 0.8, width_px)
    for _ in range(rng.randint(20, 70)):
        speck = (rng.randint(columns), rng.randint(rows))
        dark = rng.uniform(0.1, 0.35)
        cv2.circle(
            top, speck, rng.randint(1, 2 + width_px // 500), (dark, dark * 0.85, dark * 0.6), -1, cv2.LINE_AA
        )
    top *= np.clip(np.linspace(0.55, 1.5, rows, dtype=np.float32), 0, 1.08)[:, None, None]
    place = (slice(plan.board_top, plan.board_bottom), slice(plan.board_left, plan.board_right))
    sheet[place] = top
    cover[place] = 1
    thick = max(2, round(width_px * rng.uniform(0.012, 0.025)))
    edge = (slice(plan.board_bottom, plan.board_bottom + thick), place[1])
    sheet[edge] = _wood(rng, thick, columns, base, painted * 0.5, width_px) * 0.62
    cover[edge] = 1
    below = (slice(plan.board_bottom + thick, plan.board_bottom + 4 * thick), place[1])
    fade = np.linspace(0.45, 1, sheet[below].shape[0], dtype=np.float32)
    sheet[below] *= fade[:, None, None]


def _foliage(rng: Random, width_px: int, height_px: int) -> Floats:
    """Paint what is behind the hive: earth, grass and leaves, some of it out of focus."""
    width, height = max(64, width_px // 2), max(64, height_px // 2)
    green = np.array((rng.uniform(0.22, 0.45), rng.uniform(0.40, 0.58), rng.uniform(0.10, 0.26)), np.float32)
    earth = np.array((0.34, 0.28, 0.21), np.float32)
    mix = np.clip(0.5 + 0.8 * _noise(rng, height, width, 5, 8), 0, 1)[..., None]
    picture = np.ascontiguousarray((green * mix * 0.7 + earth * (1 - mix) * 0.8).astype(np.float32))
    for _ in range(900):
        tone = green * rng.uniform(0.35, 1.75) + np.array((0.10, 0.04, 0.0)) * rng.uniform(-1, 1)
        centre = (rng.randint(width), rng.randint(height))
        size = rng.uniform(0.006, 0.022) * width
        axes = (max(1, round(size)), max(1, round(size * rng.uniform(0.25, 0.6))))
        cv2.ellipse(picture, centre, axes, rng.uniform(0, 180), 0, 360, tone.tolist(), -1, cv2.LINE_AA)
    for _ in range(160):
        x, y, lean = rng.randint(width), rng.randint(height), rng.uniform(-0.08, 0.08) * width
        straw = (np.array((0.72, 0.66, 0.42)) * rng.uniform(0.5, 1.1)).tolist()
        tip = (round(x + lean), round(y - rng.uniform(0.03, 0.12) * width))
        cv2.line(picture, (x, y), tip, straw, max(1, width // 400), cv2.LINE_AA)
    picture = cv2.GaussianBlur(picture, (0, 0), width * rng.uniform(0.0015, 0.009))
    return np.asarray(cv2.resize(picture, (width_px, height_px), interpolation=cv2.INTER_LINEAR), np.float32)


def _perspective(rng: Random, width_px: int, height_px: int) -> npt.NDArray[np.float64]:
    """Return the homography from the sheet to the frame: the camera stands aside, not quite level."""
    unit = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    off = (SPREAD - 1) / 2
    sheet = (unit + off) * (width_px, height_px)
    angle = np.deg2rad(rng.uniform(-5, 5))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    seen = (unit - 0.5 + rng.uniform(-0.05, 0.05, (4, 2))) * (width_px, height_px) @ turn.T
    seen += (width_px / 2, height_px / 2)
    return np.asarray(cv2.getPerspectiveTransform(sheet.astype(np.float32), seen.astype(np.float32)))


def _falloff(rng: Random, width_px: int, height_px: int) -> Floats:
    """Return the light's fall over the picture: brighter where the sun comes from, dim in the corners."""
    angle = rng.uniform(0, 2 * np.pi)
    x = np.linspace(-1, 1, width_px, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, height_px, dtype=np.float32)[:, None]
    light = 1 + 0.16 * (np.cos(angle) * x + np.sin(angle) * y) - 0.10 * (x**2 + y**2)
    return np.asarray(light[..., None], np.float32)
