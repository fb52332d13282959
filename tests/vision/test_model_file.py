"""The model file: which files are accepted, and what is read from them."""

from __future__ import annotations

import json
import os
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from hivewatch.errors import ModelError
from hivewatch.vision import model_file
from hivewatch.vision.classifier import load_classifier
from hivewatch.vision.model_file import DESCRIPTION_FILE, read_model_info
from hivewatch.vision.second_look import SecondLook


class OneTensor(torch.nn.Module):
    def forward(self, frame: torch.Tensor) -> torch.Tensor:
        return frame.float().mean() / 255


class SmallMap(torch.nn.Module):
    def forward(self, frame: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return frame.float().mean() / 255, torch.zeros(1, 1)


class NotAProbability(torch.nn.Module):
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


def test_a_missing_file_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"gone\.pt: No such file"):
        load_classifier(tmp_path / "gone.pt", 0)


def test_a_file_whose_name_is_not_utf_8_is_loaded(tiny_model_path: Path, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"m\xe4.pt")
    path.write_bytes(tiny_model_path.read_bytes())
    assert load_classifier(path, 1).model == read_model_info(tiny_model_path)


def test_a_directory_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="Is a directory"):
        load_classifier(tmp_path, 0)


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read every file")
def test_an_unreadable_file_is_rejected(tiny_model_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "secret.pt"
    path.write_bytes(tiny_model_path.read_bytes())
    path.chmod(0)
    with pytest.raises(ModelError, match="Permission denied"):
        load_classifier(path, 0)


@pytest.mark.parametrize("kept", [0, 100, 1_000_000, -1])
def test_a_truncated_file_is_rejected(tiny_model_path: Path, tmp_path: Path, kept: int) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(tiny_model_path.read_bytes()[:kept])
    with pytest.raises(ModelError, match=r"model\.pt: not a model file, or truncated"):
        load_classifier(path, 0)


def test_a_file_with_one_flipped_bit_in_its_weights_is_rejected(
    tiny_model_path: Path, tmp_path: Path
) -> None:
    content = bytearray(tiny_model_path.read_bytes())
    content[len(content) // 2] ^= 1
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="damaged"):
        load_classifier(path, 0)


def test_a_zip_of_something_else_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("photos/hornet.jpg", b"no model")
    with pytest.raises(ModelError, match="not a hivewatch model"):
        load_classifier(path, 0)


def test_a_description_without_a_graph_is_rejected(tiny_model_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "hollow.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"hollow/extra/{DESCRIPTION_FILE}", json.dumps(description(tiny_model_path)))
    with pytest.raises(ModelError, match="torch cannot load"):
        load_classifier(path, 0)


def test_a_torchscript_file_without_a_description_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "foreign.pt"
    save_script(OneTensor(), path, None)
    with pytest.raises(ModelError, match="not a hivewatch model"):
        load_classifier(path, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 2}, r"format is hivewatch-model 2, .* runs hivewatch-model 1"),
        ({"format": "other"}, r"format is other 1"),
        ({"name": None}, r"description is invalid[\s\S]*name"),
        ({"labels": ["presence", "absence"]}, r"description is invalid[\s\S]*labels"),
        ({"box_level": 0}, r"description is invalid[\s\S]*box_level"),
        ({"input_long_side_px": "wide"}, r"description is invalid[\s\S]*input_long_side_px"),
    ],
)
def test_an_invalid_description_is_rejected(
    tiny_model_path: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = tmp_path / "model.pt"
    save_script(OneTensor(), path, description(tiny_model_path) | change)
    with pytest.raises(ModelError, match=message):
        load_classifier(path, 0)


def test_a_description_with_a_missing_field_is_rejected(tiny_model_path: Path, tmp_path: Path) -> None:
    document = description(tiny_model_path)
    del document["licence"]
    save_script(OneTensor(), tmp_path / "model.pt", document)
    with pytest.raises(ModelError, match=r"description is invalid[\s\S]*licence"):
        load_classifier(tmp_path / "model.pt", 0)


def test_the_second_look_is_read_from_the_key_closer(tiny_model_path: Path, tmp_path: Path) -> None:
    """Existing model files have this key."""
    closer = {"places": 2, "zoom": 1.6, "window_px": 256, "from_score": 0.1}
    closer |= {"first": 0.5, "second": 0.25, "offset": -1.0}
    path = tmp_path / "model.pt"
    save_script(OneTensor(), path, description(tiny_model_path) | {"closer": closer})
    assert read_model_info(path).second_look == SecondLook(**closer)  # type: ignore[arg-type]


def test_a_description_that_is_not_an_object_is_rejected(tmp_path: Path) -> None:
    save_script(OneTensor(), tmp_path / "model.pt", ["hivewatch-model", 1])
    with pytest.raises(ModelError, match="not a hivewatch model"):
        load_classifier(tmp_path / "model.pt", 0)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (OneTensor(), "does not return a score"),
        (SmallMap(), "does not return a score"),
        (NotAProbability(), "does not return a score"),
        (TwoFrames(), "does not take an RGB frame"),
    ],
)
def test_a_graph_with_another_signature_is_rejected(
    tiny_model_path: Path, tmp_path: Path, module: torch.nn.Module, message: str
) -> None:
    save_script(module, tmp_path / "model.pt", description(tiny_model_path))
    with pytest.raises(ModelError, match=message):
        load_classifier(tmp_path / "model.pt", 0)


def test_without_a_path_only_the_released_model_is_loaded(
    tiny_model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert model_file.RELEASED_MODEL.name == "hivewatch-resnet18.pt"
    monkeypatch.setattr(model_file, "RELEASED_MODEL", tiny_model_path)
    assert load_classifier(None, 0).model.name == "untrained"

    monkeypatch.setattr(model_file, "RELEASED_MODEL", tmp_path / "gone.pt")
    with pytest.raises(ModelError, match="gone"):
        load_classifier(None, 0)


def test_the_sha256_is_that_of_the_file(tiny_model_path: Path) -> None:
    import subprocess

    digest = subprocess.run(["sha256sum", tiny_model_path], capture_output=True, text=True, check=True).stdout
    assert read_model_info(tiny_model_path).sha256 == digest.split()[0]
