"""The classifier: which files it takes, and what it says of views of every shape."""

from __future__ import annotations

import json
import os
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from hivewatch.domain.frames import WHOLE, Box, Frame, Pixels, View
from hivewatch.errors import ModelError
from hivewatch.vision import classifier as classifier_module
from hivewatch.vision.classifier import (
    DESCRIPTION_FILE,
    Classifier,
    fit_to_input,
    load_classifier,
    read_model_info,
)


@pytest.fixture(scope="module")
def classifier(tiny_model_path: Path) -> Classifier:
    return load_classifier(tiny_model_path, threads=0)


@pytest.fixture
def threads_put_back() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def noise(width_px: int, height_px: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height_px, width_px, 3), np.uint8)


def view_of(pixels: Pixels, extent: Box = WHOLE) -> View:
    return View(
        Frame(pixels, datetime(2026, 8, 1, tzinfo=UTC), 0.0, 0, "test"), pixels, extent, max(pixels.shape[:2])
    )


class OneTensor(torch.nn.Module):
    def forward(self, frame: torch.Tensor) -> torch.Tensor:
        return frame.float().mean() / 255


class SmallMap(torch.nn.Module):
    def forward(self, frame: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return frame.float().mean() / 255, torch.zeros(1, 1)


class NoProbability(torch.nn.Module):
    def forward(self, frame: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        cam = torch.zeros(frame.shape[0] // 32, frame.shape[1] // 32)
        return frame.float().mean() + 2, cam


class TwoFrames(torch.nn.Module):
    def forward(self, frame: torch.Tensor, other: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return (frame + other).float().mean(), torch.zeros(1, 1)


def description(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        name = next(name for name in archive.namelist() if name.endswith(DESCRIPTION_FILE))
        document: dict[str, Any] = json.loads(archive.read(name))
    return document


def save_script(module: torch.nn.Module, path: Path, document: object | None) -> None:
    extra = {} if document is None else {DESCRIPTION_FILE: json.dumps(document)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(module), path, _extra_files=extra)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"gone\.pt: No such file"):
        load_classifier(tmp_path / "gone.pt", 0)


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="Is a directory"):
        load_classifier(tmp_path, 0)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_refused(tiny_model_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "secret.pt"
    path.write_bytes(tiny_model_path.read_bytes())
    path.chmod(0)
    with pytest.raises(ModelError, match="Permission denied"):
        load_classifier(path, 0)


@pytest.mark.parametrize("kept", [0, 100, 1_000_000, -1])
def test_a_truncated_file_is_refused(tiny_model_path: Path, tmp_path: Path, kept: int) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(tiny_model_path.read_bytes()[:kept])
    with pytest.raises(ModelError, match=r"model\.pt: not a model file, or cut short"):
        load_classifier(path, 0)


def test_a_file_with_one_flipped_bit_in_its_weights_is_refused(tiny_model_path: Path, tmp_path: Path) -> None:
    content = bytearray(tiny_model_path.read_bytes())
    content[len(content) // 2] ^= 1
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="damaged"):
        load_classifier(path, 0)


def test_a_zip_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("photos/hornet.jpg", b"no model")
    with pytest.raises(ModelError, match="not a hivewatch model"):
        load_classifier(path, 0)


def test_a_description_without_a_graph_is_refused(tiny_model_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "hollow.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"hollow/extra/{DESCRIPTION_FILE}", json.dumps(description(tiny_model_path)))
    with pytest.raises(ModelError, match="torch cannot load"):
        load_classifier(path, 0)


def test_a_torchscript_file_without_our_description_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "foreign.pt"
    save_script(OneTensor(), path, None)
    with pytest.raises(ModelError, match="not a hivewatch model"):
        load_classifier(path, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 2}, r"format is hivewatch-model 2, .* runs hivewatch-model 1"),
        ({"format": "other"}, r"format is other 1"),
        ({"name": None}, r"description is wrong[\s\S]*name"),
        ({"labels": ["presence", "absence"]}, r"description is wrong[\s\S]*labels"),
        ({"box_level": 0}, r"description is wrong[\s\S]*box_level"),
        ({"input_long_side_px": "wide"}, r"description is wrong[\s\S]*input_long_side_px"),
    ],
)
def test_a_description_that_is_not_understood_is_refused(
    tiny_model_path: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = tmp_path / "model.pt"
    save_script(OneTensor(), path, description(tiny_model_path) | change)
    with pytest.raises(ModelError, match=message):
        load_classifier(path, 0)


def test_a_description_that_lacks_a_field_is_refused(tiny_model_path: Path, tmp_path: Path) -> None:
    document = description(tiny_model_path)
    del document["licence"]
    save_script(OneTensor(), tmp_path / "model.pt", document)
    with pytest.raises(ModelError, match=r"description is wrong[\s\S]*licence"):
        load_classifier(tmp_path / "model.pt", 0)


def test_a_description_that_is_no_object_is_refused(tmp_path: Path) -> None:
    save_script(OneTensor(), tmp_path / "model.pt", ["hivewatch-model", 1])
    with pytest.raises(ModelError, match="not a hivewatch model"):
        load_classifier(tmp_path / "model.pt", 0)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (OneTensor(), "does not give a score"),
        (SmallMap(), "does not give a score"),
        (NoProbability(), "does not give a score"),
        (TwoFrames(), "does not take an RGB frame"),
    ],
)
def test_a_graph_of_another_signature_is_refused(
    tiny_model_path: Path, tmp_path: Path, module: torch.nn.Module, message: str
) -> None:
    save_script(module, tmp_path / "model.pt", description(tiny_model_path))
    with pytest.raises(ModelError, match=message):
        load_classifier(tmp_path / "model.pt", 0)


def test_without_a_path_the_released_model_is_loaded_and_no_other(
    tiny_model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert classifier_module.RELEASED_MODEL.name == "hivewatch-resnet18.pt"
    monkeypatch.setattr(classifier_module, "RELEASED_MODEL", tiny_model_path)
    assert load_classifier(None, 0).model.name == "untrained"

    monkeypatch.setattr(classifier_module, "RELEASED_MODEL", tmp_path / "gone.pt")
    with pytest.raises(ModelError, match="gone"):
        load_classifier(None, 0)


def test_the_hash_is_that_of_the_file(tiny_model_path: Path) -> None:
    import subprocess

    told = subprocess.run(["sha256sum", tiny_model_path], capture_output=True, text=True, check=True).stdout
    assert read_model_info(tiny_model_path).sha256 == told.split()[0]


def test_the_number_of_threads_is_set(tiny_model_path: Path, threads_put_back: None) -> None:
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
def test_a_view_is_shrunk_to_a_long_side_never_enlarged_and_its_sides_are_whole_multiples(
    width_px: int, height_px: int, expected: tuple[int, int]
) -> None:
    fitted = fit_to_input(np.zeros((height_px, width_px, 3), np.uint8), 640, 32)
    assert fitted.shape == (expected[1], expected[0], 3)


def test_a_view_without_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match="0 x 5 pixels"):
        fit_to_input(np.zeros((5, 0, 3), np.uint8), 640, 32)


@pytest.mark.parametrize("size", [(1, 1), (8000, 6000), (5000, 1), (1, 5000), (33, 47), (128, 96)])
def test_views_of_every_size_get_a_score_and_a_place(classifier: Classifier, size: tuple[int, int]) -> None:
    prediction = classifier.predict(view_of(noise(*size)))
    assert 0 <= prediction.score <= 1
    assert prediction.cam.dtype == np.float32
    assert max(prediction.cam.shape) == min(128 // 32, max(1, round(max(size) / 32)))
    assert WHOLE.contains(prediction.location.peak)


def test_memory_layout_makes_no_difference(classifier: Classifier) -> None:
    """Crops, mirrored and read-only views are predicted like their plain copies."""
    large = noise(400, 300)
    large.flags.writeable = False
    for pixels in (large[50:250, 100:300], large[:, ::-1], large[..., ::-1], large.transpose(1, 0, 2)):
        plain = classifier.predict(view_of(np.ascontiguousarray(pixels)))
        assert classifier.predict(view_of(pixels)).score == plain.score


def test_the_same_view_gets_the_same_prediction_each_time(classifier: Classifier) -> None:
    predictions = [classifier.predict(view_of(noise(200, 150))) for _ in range(5)]
    assert len({prediction.score for prediction in predictions}) == 1
    assert all(np.array_equal(prediction.cam, predictions[0].cam) for prediction in predictions)


def test_an_earlier_map_is_not_overwritten_by_a_later_prediction(classifier: Classifier) -> None:
    first = classifier.predict(view_of(noise(200, 150, seed=1)))
    kept = first.cam.copy()
    classifier.predict(view_of(noise(200, 150, seed=2)))
    assert np.array_equal(first.cam, kept)


def test_the_place_is_told_in_the_full_frame(classifier: Classifier) -> None:
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
def test_a_result_that_is_not_finite_is_an_error(classifier: Classifier, score: float, cell: float) -> None:
    broken = Classifier(lambda _frame: (torch.tensor(score), torch.tensor([[cell]])), classifier.model)
    with pytest.raises(ModelError, match="not finite"):
        broken.predict(view_of(noise(20, 20)))


def test_a_graph_that_fails_is_an_error(classifier: Classifier) -> None:
    def fail(_frame: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        raise RuntimeError("no memory")

    with pytest.raises(ModelError, match="no memory"):
        Classifier(fail, classifier.model).predict(view_of(noise(20, 20)))


def test_the_stages_are_timed_one_by_one(tiny_model_path: Path) -> None:
    stages: list[str] = []

    @contextmanager
    def stopwatch(stage: str) -> Iterator[None]:
        stages.append(f"{stage} begins")
        yield
        stages.append(f"{stage} ends")

    load_classifier(tiny_model_path, 0, stopwatch).predict(view_of(noise(64, 64)))
    assert [stage.split()[0] for stage in stages[::2]] == ["preprocess", "forward", "localize"]
    assert [stage.split()[1] for stage in stages] == ["begins", "ends"] * 3


def test_warming_up_runs_the_graph_at_the_cameras_shape(classifier: Classifier) -> None:
    shapes: list[tuple[int, ...]] = []

    def record(frame: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        shapes.append(tuple(frame.shape))
        return torch.tensor(0.5), torch.zeros(2, 4)

    Classifier(record, classifier.model).warm_up(1280, 720)
    assert set(shapes) == {(64, 128, 3)}
    assert len(shapes) >= 2


def test_loading_warns_of_nothing(tiny_model_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_classifier(tiny_model_path, 0).predict(view_of(noise(64, 64)))


@pytest.mark.parametrize("precision", ["float", "int8"])
def test_both_released_models_run_and_say_what_they_are(precision: Literal["float", "int8"]) -> None:
    classifier = load_classifier(None, 0, precision=precision)
    assert classifier.model.precision == precision
    assert classifier.model.name == "hivewatch-resnet18"
    assert 0 <= classifier.predict(view_of(noise(320, 192))).score <= 1
