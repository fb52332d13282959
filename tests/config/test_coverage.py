"""Polygons that leave no place in which a hornet can be seen are refused wherever settings are read."""

from __future__ import annotations

import json

import pytest

from hivewatch.config.reader import parse
from hivewatch.config.sections import Config
from hivewatch.errors import ConfigError

Points = list[list[float]]


def square(x: float, y: float, side: float) -> Points:
    """Return a square in pixels of a picture of 1280 x 720; ``side`` is a share of its width."""
    down = side * 1280 / 720
    return [[x, y], [x + side, y], [x + side, y + down], [x, y + down]]


def box(x0: float, y0: float, x1: float, y1: float) -> Points:
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]


def around(x0: float, y0: float, x1: float, y1: float) -> list[Points]:
    """Return the polygons that cover all but a box."""
    return [box(0, 0, 1, y0), box(0, y1, 1, 1), box(0, 0, x0, 1), box(x1, 0, 1, 1)]


WHOLE = box(0, 0, 1, 1)


def problems(watch: list[Points], ignore: list[Points], camera: str = "") -> list[str]:
    gate = json.dumps({"watch": watch, "ignore": ignore})
    try:
        parse(f"camera: {{{camera}}}\ngate: {gate}", Config)
    except ConfigError as error:
        return error.problems
    return []


@pytest.mark.parametrize(
    ("watch", "ignore", "words"),
    [
        ([[[0.1, 0.1], [0.1, 0.1], [0.1, 0.1]]], [], "leave nothing"),  # a point
        ([[[0.1, 0.1], [0.9, 0.9], [0.5, 0.5]]], [], "leave nothing"),  # a line
        ([], [WHOLE], "leave nothing"),
        ([box(0, 0.4, 0.5, 1)], [box(0, 0.3, 0.6, 1)], "leave nothing"),
        ([box(0.1, 0.1, 0.5, 0.5)], [box(0, 0, 0.3, 1), box(0.3, 0, 1, 1)], "leave nothing"),
        ([square(0.4, 0.4, 0.025)], [], "as wide as a hornet"),
        ([box(0.1, 0.5, 0.9, 0.53)], [], "as wide as a hornet"),
        ([], [box(0, n / 25, 1, (n + 0.8) / 25) for n in range(25)], "as wide as a hornet"),  # slits
        ([], around(0.45, 0.4, 0.55, 0.55), "of the view, too little"),  # a small island
        ([square(0, 0, 0.1), square(0.9, 0.8, 0.1)], [], "of the view, too little"),  # far apart
    ],
)
def test_polygons_that_leave_too_little_are_refused(
    watch: list[Points], ignore: list[Points], words: str
) -> None:
    (problem,) = problems(watch, ignore)
    assert ":2: gate.watch: watch and ignore leave" in problem or ":2: gate.ignore: " in problem
    assert words in problem


@pytest.mark.parametrize(
    ("watch", "ignore"),
    [
        ([], []),
        ([WHOLE], []),
        ([box(0.1, 0.3, 0.9, 0.95)], []),
        ([square(0.4, 0.4, 0.06)], []),  # the frame is cropped to it
        ([box(0, 0.6, 1, 0.72)], []),  # the landing board
        ([], [box(0, 0, 1, 0.6), box(0, 0.72, 1, 1)]),
        ([], around(0.4, 0.3, 0.6, 0.7)),
        ([[[0, 0], [1, 1], [1, 0], [0, 1]]], []),  # crosses itself
    ],
)
def test_polygons_that_leave_enough_are_accepted(watch: list[Points], ignore: list[Points]) -> None:
    assert problems(watch, ignore) == []


def test_the_picture_may_stand_upright() -> None:
    strip = [box(0.4, 0, 0.5, 1)]
    assert problems(strip, [], "width_px: 720, height_px: 1280") == []
    assert "as wide" in problems([box(0.4, 0, 0.42, 1)], [], "width_px: 720, height_px: 1280")[0]


@pytest.mark.parametrize("height", [0.06, 0.08, 0.1])
def test_a_thin_landing_board_is_accepted_wherever_it_is(height: float) -> None:
    for y in range(100, 800, 7):
        assert problems([box(0.05, y / 1000, 0.95, y / 1000 + height)], []) == []


@pytest.mark.parametrize(
    "watch",
    [
        [box(0.05, 0.6, 0.2, 0.75), box(0.4, 0.6, 0.55, 0.75), box(0.8, 0.6, 0.95, 0.75)],  # three entrances
        [box(0, 0.7, 0.12, 1)],
        [box(0.9, 0.9, 1, 1)],
    ],
)
def test_small_hives_are_accepted(watch: list[Points]) -> None:
    assert problems(watch, []) == []
