"""The simulator's hornets and bees one by one, for pictures that are composed elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hivewatch.camera.simulator.animals import HORNETS, PHASES, SpriteKind, draw
from hivewatch.domain.frames import Pixels

_BEES = (SpriteKind.BEE_TOP, SpriteKind.BEE_SIDE, SpriteKind.BEE_REST, SpriteKind.BEE_FAN)
_AMBER = (0.0, 0.5, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """An insect on transparent ground: RGB multiplied by the opacity, and the opacity; uint8, H x W x 4."""

    texture: Pixels
    is_hornet: bool


def draw_insects(length_px: float) -> Iterator[Drawing]:
    """Yield hornets and bees of that length, from every side and in every phase; bees from dark to yellow."""
    for kind in HORNETS:
        for phase in range(PHASES):
            yield Drawing(draw(kind, phase, length_px, blur_px=0.0, bee_amber=0.5).texture, is_hornet=True)
    for kind in _BEES:
        for phase in range(PHASES):
            for amber in _AMBER:
                sprite = draw(kind, phase, length_px, blur_px=0.0, bee_amber=amber)
                yield Drawing(sprite.texture, is_hornet=False)
