"""The second look: its windows, and the score of both looks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fakes import make_frame

from hivewatch.domain.frames import WHOLE, Box, Map, View
from hivewatch.vision.classifier import Classifier
from hivewatch.vision.model_file import ModelInfo, read_model_info
from hivewatch.vision.second_look import SecondLook, logit
from hivewatch.vision.trust import read_model_file

SECOND_LOOK = SecondLook(places=2, zoom=2.0, window_px=64, from_score=0.1, first=0.5, second=1.0, offset=0.0)


def view_of(width_px: int = 1280, height_px: int = 720, extent: Box = WHOLE) -> View:
    pixels = np.zeros((height_px, width_px, 3), np.uint8)
    return View(make_frame(pixels), pixels, extent, max(width_px, height_px))


def map_with(*peaks: tuple[int, int, float]) -> Map:
    cam = np.full((11, 20), -5.0, np.float32)
    for row, column, value in peaks:
        cam[row, column] = value
    return cam


def test_the_windows_lie_around_the_highest_peaks_highest_first() -> None:
    windows = SECOND_LOOK.windows(view_of(), map_with((2, 3, 1.0), (8, 15, 4.0), (5, 9, 0.0)), 0.5)
    centres = [((w.extent.x0 + w.extent.x1) / 2, (w.extent.y0 + w.extent.y1) / 2) for w in windows]
    assert centres == [
        pytest.approx((15.5 / 20, 8.5 / 11), abs=1e-3),
        pytest.approx((3.5 / 20, 2.5 / 11), abs=1e-3),
    ]


def test_the_zoom_sets_the_window_size_in_the_frame() -> None:
    window = SECOND_LOOK.windows(view_of(), map_with((5, 10, 4.0)), 0.5)[0]
    assert window.pixels.shape == (64, 64, 3), "64 pixels of network input, at a scale of 0.5 times 2"


def test_neighbouring_peaks_share_one_window() -> None:
    cam = map_with((5, 10, 4.0))
    cam[5, 9] = 4.0
    windows = SECOND_LOOK.windows(view_of(320, 176), cam, 0.5)
    middles = [(w.extent.x0 + w.extent.x1) / 2 for w in windows]
    assert abs(middles[0] - middles[1]) * 320 > 16


@given(st.integers(1, 900), st.integers(1, 900), st.floats(0.05, 3.0), st.integers(0, 10), st.integers(0, 19))
def test_every_window_lies_inside_the_view(
    width_px: int, height_px: int, factor: float, row: int, column: int
) -> None:
    part = Box(0.25, 0.5, 0.75, 1.0)
    cam = map_with((row, column, 3.0))
    for window in SECOND_LOOK.windows(view_of(width_px, height_px, part), cam, factor):
        assert min(window.pixels.shape) >= 1
        assert part.x0 - 1e-9 <= window.extent.x0 < window.extent.x1 <= part.x1 + 1e-9
        assert part.y0 - 1e-9 <= window.extent.y0 < window.extent.y1 <= part.y1 + 1e-9


@given(st.floats(0, 1), st.floats(0, 1))
def test_the_score_of_both_looks_is_a_probability(first: float, window: float) -> None:
    assert 0.0 <= SECOND_LOOK.score(first, window) <= 1.0


def test_the_score_weighs_the_logits_of_both_looks() -> None:
    assert logit(SECOND_LOOK.score(0.7, 0.9)) == pytest.approx(0.5 * logit(0.7) + logit(0.9))


class FakeGraph:
    """A graph that returns its scores one by one and records the sizes of its inputs."""

    def __init__(self, *scores: float) -> None:
        self.scores = list(scores)
        self.input_sizes: list[tuple[int, ...]] = []

    def __call__(self, pixels: object) -> tuple[object, object]:
        import torch

        assert isinstance(pixels, torch.Tensor)
        self.input_sizes.append(tuple(pixels.shape[:2]))
        rows, columns = pixels.shape[0] // 32, pixels.shape[1] // 32
        cam = torch.zeros(rows, columns)
        cam[rows // 2, columns // 2] = 3.0
        cam[0, 0] = 2.0
        return torch.tensor(self.scores.pop(0)), cam


@pytest.fixture
def info(tiny_model_path: Path) -> ModelInfo:
    model = read_model_info(read_model_file(tiny_model_path))
    return replace(model, input_long_side_px=640, cam_stride_px=32, second_look=SECOND_LOOK)


def test_the_largest_permitted_weights_do_not_overflow() -> None:
    heavy = replace(SECOND_LOOK, first=1000.0, second=1000.0, offset=-1000.0)
    assert heavy.score(0.0, 0.0) == 0.0
    assert heavy.score(1.0, 1.0) == 1.0


def test_a_suspicious_view_gets_a_second_look_and_the_location_from_its_best_window(info: ModelInfo) -> None:
    graph = FakeGraph(0.5, 0.6, 0.9)
    prediction = Classifier(graph, info).predict(view_of())  # type: ignore[arg-type]
    assert graph.input_sizes == [(352, 640), (64, 64), (64, 64)]
    assert prediction.score == pytest.approx(SECOND_LOOK.score(0.5, 0.9))
    assert prediction.extent.x1 < 0.1, "the second window, in the corner, scored higher"
    assert prediction.extent.contains(prediction.location.peak)


def test_a_view_below_from_score_gets_no_second_look(info: ModelInfo) -> None:
    graph = FakeGraph(0.05)
    prediction = Classifier(graph, info).predict(view_of())  # type: ignore[arg-type]
    assert graph.input_sizes == [(352, 640)]
    assert prediction.score == pytest.approx(0.05)
    assert prediction.extent == WHOLE


def test_a_small_frame_is_enlarged_for_the_second_look_only(info: ModelInfo) -> None:
    graph = FakeGraph(0.5, 0.6, 0.9)
    Classifier(graph, info).predict(view_of(320, 192))  # type: ignore[arg-type]
    assert graph.input_sizes == [(192, 320), (64, 64), (64, 64)]
