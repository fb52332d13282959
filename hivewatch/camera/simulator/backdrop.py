"""The simulator's static scenery: foliage, and in front of it a hive with its entrance and landing board."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from hivewatch.camera.simulator.surfaces import WOODS, Colour, Floats, Random, falloff, foliage, noise, wood
from hivewatch.camera.simulator.tracks import Site
from hivewatch.domain.frames import Pixels

SPREAD = 1.3  # the hive is painted on a sheet this many times the frame's size, then warped in perspective


@dataclass(frozen=True, slots=True, eq=False)
class Backdrop:
    """The scenery in RGB, with a margin of ``margin_px`` around the frame, and where the hive is in it."""

    pixels: Pixels
    margin_px: int
    site: Site


def paint(seed: int, width_px: int, height_px: int, margin_px: int, blur_px: float) -> Backdrop:
    """Return the scenery of ``seed``, blurred by ``blur_px`` (standard deviation) as by a lens."""
    rng = Random([seed, 1])
    plan = _Plan.random(rng, width_px, height_px)
    scene = foliage(rng, width_px, height_px)
    hive, mask = _hive(rng, plan, width_px, height_px)
    homography = _perspective(rng, width_px, height_px)
    front = cv2.warpPerspective(hive, homography, (width_px, height_px), flags=cv2.INTER_LINEAR)
    share = cv2.GaussianBlur(cv2.warpPerspective(mask, homography, (width_px, height_px)), (0, 0), 0.8)
    scene += (front - scene) * share[..., None]
    scene *= falloff(rng, width_px, height_px)
    if blur_px > 0.2:
        scene = np.asarray(cv2.GaussianBlur(scene, (0, 0), blur_px), np.float32)
    pixels = np.asarray(np.clip(scene, 0, 0.93) ** 0.70 * 255, np.uint8)  # a camera's tone curve
    edge = cv2.copyMakeBorder(pixels, margin_px, margin_px, margin_px, margin_px, cv2.BORDER_REFLECT)
    return Backdrop(np.asarray(edge, np.uint8), margin_px, plan.site(homography, width_px, height_px))


@dataclass(frozen=True, slots=True)
class _Plan:
    """The layout of the hive's front before the perspective warp, in pixels of the larger sheet."""

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
    def random(cls, rng: Random, width_px: int, height_px: int) -> _Plan:
        """Return a random layout: the hive close up, whole, or at one side of the picture."""
        framing = rng.choice(3, p=[0.25, 0.45, 0.3])
        left, right = ((-0.15, 1.15), (rng.uniform(0.06, 0.22), rng.uniform(0.78, 0.94)), (0.36, 1.15))[
            framing
        ]
        if framing == 2 and rng.uniform() < 0.5:
            left, right = 1 - right, 1 - left
        seen = max(0.0, left), min(1.0, right)
        middle = sum(seen) / 2 + rng.uniform(-0.04, 0.04)
        half_board = (seen[1] - seen[0]) * rng.uniform(0.34, 0.46)
        half_slot = half_board * rng.uniform(0.35, 0.75)
        top = rng.uniform(0.45, 0.66) * height_px
        depth = min(height_px * rng.uniform(0.13, 0.22), width_px * 0.2)
        off_x, off_y = (SPREAD - 1) / 2 * width_px, (SPREAD - 1) / 2 * height_px
        across = [
            left,
            right,
            middle - half_board,
            middle + half_board,
            middle - half_slot,
            middle + half_slot,
        ]
        a, b, c, d, e, f = (round(off_x + share * width_px) for share in across)
        slot_height = max(2, round(width_px * rng.uniform(0.016, 0.026)))
        return cls(a, b, round(off_y + top), round(off_y + top + depth), c, d, e, f, slot_height)

    def site(self, homography: npt.NDArray[np.float64], width_px: int, height_px: int) -> Site:
        """Return entrance and board in the camera's view, in frame widths."""
        door_y = self.board_top - self.slot_height * 0.35
        corners = [(self.slot_left, door_y), (self.slot_right, door_y)]
        corners += [(self.board_left, self.board_top), (self.board_right, self.board_top)]
        corners += [(self.board_right, self.board_bottom), (self.board_left, self.board_bottom)]
        seen = cv2.perspectiveTransform(np.array([corners], np.float32), homography)[0] / width_px
        a, b, c, d, e, f = ((float(x), float(y)) for x, y in seen)
        return Site((a, b), (c, d, e, f), height_px / width_px)


def _hive(rng: Random, plan: _Plan, width_px: int, height_px: int) -> tuple[Floats, Floats]:
    """Return the hive painted on its sheet (RGB), and the mask of what it covers (0..1)."""
    height, width = round(height_px * SPREAD), round(width_px * SPREAD)
    sheet = np.zeros((height, width, 3), np.float32)
    mask = np.zeros((height, width), np.float32)
    base, painted = WOODS[rng.randint(len(WOODS))]
    left, right = max(0, plan.left), min(width, plan.right)
    seams = np.linspace(0, plan.board_top, rng.randint(2, 6)).astype(int).tolist()
    for top, bottom in pairwise(seams):
        tint = rng.uniform(0.88, 1.1)
        colour = (base[0] * tint, base[1] * tint, base[2] * tint)
        sheet[top:bottom, left:right] = wood(rng, bottom - top, right - left, colour, painted, width_px)
        sheet[bottom - max(1, width_px // 400) : bottom, left:right] *= 0.4
        sheet[top : top + max(1, width_px // 500), left:right] *= 1.15
        for x in (left + 0.02 * width_px, right - 0.02 * width_px):
            nail = (round(x), (top + bottom) // 2)
            cv2.circle(sheet, nail, max(1, width_px // 300), (0.10, 0.08, 0.07), -1, cv2.LINE_AA)
    mask[: plan.board_top, left:right] = 1
    _stand(rng, sheet, mask, plan, base, width_px)
    _entrance(rng, sheet, plan, width_px)
    _board(rng, sheet, mask, plan, width_px)
    return sheet, mask


def _stand(rng: Random, sheet: Floats, mask: Floats, plan: _Plan, base: Colour, width_px: int) -> None:
    """Paint what is below the board: more of the hive, or its floor with a shadow beneath."""
    top, left, right = plan.board_top, max(0, plan.left), min(sheet.shape[1], plan.right)
    colour = (base[0] * 0.7, base[1] * 0.7, base[2] * 0.7)
    whole = rng.uniform() < 0.45
    floor = sheet.shape[0] if whole else min(sheet.shape[0], top + round(rng.uniform(0.03, 0.06) * width_px))
    sheet[top:floor, left:right] = wood(rng, floor - top, right - left, colour, 0.0, width_px)
    mask[top:floor, left:right] = 1
    if not whole:
        under = slice(floor, min(sheet.shape[0], floor + round(0.05 * width_px)))
        mask[under, left:right] = np.linspace(0.85, 0, mask[under].shape[0], dtype=np.float32)[:, None]
        sheet[under, left:right] = (0.02, 0.018, 0.015)


def _entrance(rng: Random, sheet: Floats, plan: _Plan, width_px: int) -> None:
    """Paint the entrance slot, sometimes with a perforated metal guard above it."""
    top = plan.board_top - plan.slot_height
    if rng.uniform() < 0.4:
        guard, reach = round(width_px * 0.035), round(width_px * 0.03)
        metal = noise(rng, guard, plan.slot_right - plan.slot_left + 2 * reach, 3, 40) * 0.04
        metal += rng.uniform(0.30, 0.52)
        sheet[top - guard : top, plan.slot_left - reach : plan.slot_right + reach] = metal[..., None]
        for x in np.arange(plan.slot_left - reach / 2, plan.slot_right + reach / 2, width_px * 0.016):
            for share in (0.3, 0.65):
                hole = (round(16 * x), round(16 * (top - guard * share)))
                cv2.circle(sheet, hole, round(width_px * 0.06), (0.03, 0.025, 0.02), -1, cv2.LINE_AA, 4)
    deep = np.linspace(0.01, 0.05, plan.slot_height, dtype=np.float32)[:, None, None]
    sheet[top : plan.board_top, plan.slot_left : plan.slot_right] = deep * np.array(
        (1.1, 1.0, 0.9), np.float32
    )


def _board(rng: Random, sheet: Floats, mask: Floats, plan: _Plan, width_px: int) -> None:
    """Paint the landing board: a worn and speckled top, the front edge, and the shadows on and below it."""
    rows, columns = plan.board_bottom - plan.board_top, plan.board_right - plan.board_left
    base, painted = WOODS[rng.randint(len(WOODS))]
    top = wood(rng, rows, columns, base, painted * 0.8, width_px)
    for _ in range(rng.randint(10, 90)):
        speck, tone = (rng.randint(columns), rng.randint(rows)), rng.uniform(0.02, 0.15)
        radius = round(16 * width_px * rng.uniform(0.0004, 0.0018))
        centre = (16 * speck[0], 16 * speck[1])
        cv2.circle(top, centre, radius, (tone, tone * 0.85, tone * 0.6), -1, cv2.LINE_AA, 4)
    top *= np.clip(np.linspace(0.5, 1.6, rows, dtype=np.float32), 0, 1.1)[:, None, None]
    across = slice(plan.board_left, plan.board_right)
    sheet[plan.board_top : plan.board_bottom, across] = top
    thick = max(2, round(width_px * rng.uniform(0.010, 0.022)))
    edge = slice(plan.board_bottom, plan.board_bottom + thick)
    sheet[edge, across] = wood(rng, thick, columns, base, painted * 0.5, width_px) * 0.5
    mask[plan.board_top : edge.stop, across] = 1
    below = sheet[edge.stop : edge.stop + 4 * thick, across]
    below *= np.linspace(0.4, 1, below.shape[0], dtype=np.float32)[:, None, None]


def _perspective(rng: Random, width_px: int, height_px: int) -> npt.NDArray[np.float64]:
    """Return a random homography from sheet to frame: an off-centre camera that is not quite level."""
    unit = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    sheet = (unit + (SPREAD - 1) / 2) * (width_px, height_px)
    angle = np.deg2rad(rng.uniform(-6, 6))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    seen = (unit - 0.5 + rng.uniform(-0.05, 0.05, (4, 2))) * (width_px, height_px) @ turn.T
    seen += (width_px / 2, height_px / 2)
    return np.asarray(cv2.getPerspectiveTransform(sheet.astype(np.float32), seen.astype(np.float32)))
