"""The classifier: predictions for views of every size, timing, warm-up, released models."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from hivewatch.domain.frames import WHOLE, Box, Frame, Pixels, View
from hivewatch.errors import ModelError
from hivewatch.vision.classifier import Classifier, fit_to_input, load_classifier


@pytest.fixture(scope="module")
def classifier(tiny_model_path: Path) -> Classifier:
    return load_classifier(tiny_model_path, threads=0)


@pytest.fixture
def restored_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def noise(width_px: int, height_px: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height_px, width_px, 3), np.uint8)


def view_of(pixels: Pixels, extent: Box = WHOLE) -> View:
    return View(
        Frame(pixels, datetime(2026, 8, 1, tzinfo=UTC), 0.0, 0, "test"), pixels, extent, max(pixels.shape[:2])
    )


def test_the_number_of_threads_is_set(tiny_model_path: Path, restored_threads: None) -> None:
    load_classifier(tiny_model_path, threads=1)
    assert torch.get_num_threads() == 1
    load_classifier(tiny_model_path, threads=2)
    assert torch.get_num_threads() == 2
    load_classifier(tiny_model_path, threads=0)
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(
    ("width_px", "height_px", "expected"),
    [
        (1280, 720, (640, 352)),
        (640, 480, (640, 480)),
        (480, 640, (480, 640)),
        (4056, 3040, (640, 480)),
        (320, 240, (320, 256)),
        (1, 1, (32, 32)),
        (8000, 10, (640, 32)),
        (10, 8000, (32, 640)),
    ],
)
def test_a_view_is_shrunk_never_enlarged_and_its_sides_are_multiples(
    width_px: int, height_px: int, expected: tuple[int, int]
) -> None:
    fitted = fit_to_input(np.zeros((height_px, width_px, 3), np.uint8), 640, 32)
    assert fitted.shape == (expected[1], expected[0], 3)


def test_a_view_without_pixels_is_rejected() -> None:
    with pytest.raises(ValueError, match="0 x 5 pixels"):
        fit_to_input(np.zeros((5, 0, 3), np.uint8), 640, 32)


@pytest.mark.parametrize("size", [(1, 1), (8000, 6000), (5000, 1), (1, 5000), (33, 47), (128, 96)])
def test_views_of_every_size_get_a_score_and_a_location(
    classifier: Classifier, size: tuple[int, int]
) -> None:
    prediction = classifier.predict(view_of(noise(*size)))
    assert 0 <= prediction.score <= 1
    assert prediction.cam.dtype == np.float32
    assert max(prediction.cam.shape) == min(128 // 32, max(1, round(max(size) / 32)))
    assert WHOLE.contains(prediction.location.peak)


def test_memory_layout_makes_no_difference(classifier: Classifier) -> None:
    """Crops, mirrored and read-only views get the score of a contiguous copy."""
    large = noise(400, 300)
    large.flags.writeable = False
    for pixels in (large[50:250, 100:300], large[:, ::-1], large[..., ::-1], large.transpose(1, 0, 2)):
        plain = classifier.predict(view_of(np.ascontiguousarray(pixels)))
        assert classifier.predict(view_of(pixels)).score == plain.score


def test_the_same_view_gets_the_same_prediction_each_time(classifier: Classifier) -> None:
    predictions = [classifier.predict(view_of(noise(200, 150))) for _ in range(5)]
    assert len({prediction.score for prediction in predictions}) == 1
    assert all(np.array_equal(prediction.cam, predictions[0].cam) for prediction in predictions)


def test_a_later_prediction_does_not_overwrite_an_earlier_map(classifier: Classifier) -> None:
    first = classifier.predict(view_of(noise(200, 150, seed=1)))
    kept = first.cam.copy()
    classifier.predict(view_of(noise(200, 150, seed=2)))
    assert np.array_equal(first.cam, kept)


def test_the_location_is_normalised_to_the_full_frame(classifier: Classifier) -> None:
    extent = Box(0.5, 0.25, 1.0, 0.75)
    pixels = noise(100, 100)
    inside, whole = classifier.predict(view_of(pixels, extent)), classifier.predict(view_of(pixels))
    assert inside.extent == extent
    assert inside.location.peak.x == pytest.approx(0.5 + whole.location.peak.x / 2)
    assert inside.location.peak.y == pytest.approx(0.25 + whole.location.peak.y / 2)


@pytest.mark.parametrize(
    ("score", "cell"),
    [(float("nan"), 1.0), (float("inf"), 1.0), (0.5, float("nan")), (0.5, float("-inf"))],
)
def test_a_result_that_is_not_finite_raises_model_error(
    classifier: Classifier, score: float, cell: float
) -> None:
    broken = Classifier(lambda _frame: (torch.tensor(score), torch.tensor([[cell]])), classifier.model)
    with pytest.raises(ModelError, match="not finite"):
        broken.predict(view_of(noise(20, 20)))


def test_a_failing_graph_raises_model_error(classifier: Classifier) -> None:
    def fail(_frame: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        raise RuntimeError("no memory")

    with pytest.raises(ModelError, match="no memory"):
        Classifier(fail, classifier.model).predict(view_of(noise(20, 20)))


def test_each_stage_is_timed_separately(tiny_model_path: Path) -> None:
    stages: list[str] = []

    @contextmanager
    def stopwatch(stage: str) -> Iterator[None]:
        stages.append(f"{stage} starts")
        yield
        stages.append(f"{stage} ends")

    load_classifier(tiny_model_path, 0, stopwatch).predict(view_of(noise(64, 64)))
    assert [stage.split()[0] for stage in stages[::2]] == ["preprocess", "forward", "localize"]
    assert [stage.split()[1] for stage in stages] == ["starts", "ends"] * 3


def test_warm_up_runs_the_graph_at_the_cameras_shape(classifier: Classifier) -> None:
    shapes: list[tuple[int, ...]] = []

    def record(frame: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        shapes.append(tuple(frame.shape))
        return torch.tensor(0.5), torch.zeros(2, 4)

    Classifier(record, classifier.model).warm_up(1280, 720)
    assert set(shapes) == {(64, 128, 3)}
    assert len(shapes) >= 2


def test_loading_causes_no_warnings(tiny_model_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_classifier(tiny_model_path, 0).predict(view_of(noise(64, 64)))


@pytest.mark.parametrize("precision", ["float", "int8"])
def test_both_released_models_run_and_describe_themselves(precision: Literal["float", "int8"]) -> None:
    classifier = load_classifier(None, 0, precision=precision)
    assert classifier.model.precision == precision
    assert classifier.model.name == "hivewatch-resnet18"
    assert classifier.model.second_look is not None
    assert 0 <= classifier.predict(view_of(noise(320, 192))).score <= 1
