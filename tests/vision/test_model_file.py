"""The model file: which files are accepted, and what is read from them."""

from __future__ import annotations

import json
import os
import tracemalloc
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from hivewatch.errors import ModelError
from hivewatch.vision.classifier import load_classifier
from hivewatch.vision.model_file import DESCRIPTION_FILE, read_model_info
from hivewatch.vision.second_look import SecondLook
from hivewatch.vision.trust import read_model_file


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


class NotFinite(torch.nn.Module):
    def forward(self, frame: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        cam = torch.zeros(frame.shape[0] // 32, frame.shape[1] // 32)
        return frame.float().mean() / 255, cam / 0


class Raising(torch.nn.Module):
    """Raises torch.jit.Error, which is no RuntimeError."""

    def forward(self, frame: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        cam = torch.zeros(frame.shape[0] // 32, frame.shape[1] // 32)
        if frame.shape[0] != 1000:
            raise ValueError("a reason")
        return frame.float().mean() / 255, cam


class RaisingLater(torch.nn.Module):
    def forward(self, frame: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if frame.shape[0] > 64:
            raise ValueError("only later")
        return frame.float().mean() / 255, torch.zeros(frame.shape[0] // 32, frame.shape[1] // 32)


class OtherLater(torch.nn.Module):
    """Returns the right parts for the frame of the check, and a map of another size for others."""

    def forward(self, frame: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        rows = frame.shape[0] // 32
        return frame.float().mean() / 255, torch.zeros(rows if rows <= 2 else 5000, frame.shape[1] // 32)


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
    assert load_classifier(path, 1).model == read_model_info(read_model_file(tiny_model_path))


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
        ({"input_multiple_px": 1_000_000}, r"description is invalid[\s\S]*input_multiple_px"),
        ({"cam_stride_px": 1_000_000}, r"description is invalid[\s\S]*cam_stride_px"),
        ({"name": "long" * 100}, r"description is invalid[\s\S]*name"),
        ({"recipe": {"note": "x" * 64_000}}, r"description has 6\d{4} bytes, at most 64000 are read"),
    ],
)
def test_an_invalid_description_is_rejected(
    tiny_model_path: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = tmp_path / "model.pt"
    save_script(OneTensor(), path, description(tiny_model_path) | change)
    with pytest.raises(ModelError, match=message):
        load_classifier(path, 0)


@pytest.mark.parametrize(
    "change", [{"format": "x\x1b]0;\n" * 5000}, {"labels": "\x1b]0;\n", "box_level": float("nan")}]
)
def test_an_error_shows_a_description_in_one_short_line_without_control_characters(
    tiny_model_path: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    path = tmp_path / "model.pt"
    save_script(OneTensor(), path, description(tiny_model_path) | change)
    with pytest.raises(ModelError) as refused:
        read_model_info(read_model_file(path))
    assert len(str(refused.value)) < 600
    assert str(refused.value).isprintable()


def test_a_name_with_control_characters_is_shown_escaped(tiny_model_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    save_script(OneTensor(), path, description(tiny_model_path) | {"name": "a\x1b[2J", "version": "1\n2"})
    model = read_model_info(read_model_file(path))
    assert (model.name, model.version) == (r"a\x1b[2J", r"1\n2")


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
    assert read_model_info(read_model_file(path)).second_look == SecondLook(**closer)  # type: ignore[arg-type]


def test_a_description_that_is_not_an_object_is_rejected(tmp_path: Path) -> None:
    save_script(OneTensor(), tmp_path / "model.pt", ["hivewatch-model", 1])
    with pytest.raises(ModelError, match="not a hivewatch model"):
        load_classifier(tmp_path / "model.pt", 0)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (OneTensor(), "does not return a score"),
        (SmallMap(), "does not return a score"),
        (NotAProbability(), "the model's score is 2, not from 0 to 1"),
        (TwoFrames(), "fails on an RGB frame"),
        (NotFinite(), "result is not finite"),
        (Raising(), r"model\.pt: the model fails on an RGB frame of \(64, 96, 3\): .*a reason$"),
    ],
)
def test_a_graph_with_another_signature_is_rejected(
    tiny_model_path: Path, tmp_path: Path, module: torch.nn.Module, message: str
) -> None:
    save_script(module, tmp_path / "model.pt", description(tiny_model_path))
    with pytest.raises(ModelError, match=message):
        load_classifier(tmp_path / "model.pt", 0)


@pytest.mark.parametrize(
    ("module", "message"),
    [(RaisingLater(), "fails on an RGB frame of .*only later"), (OtherLater(), "does not return a score")],
)
def test_a_graph_that_misbehaves_only_later_is_a_model_error_as_well(
    tiny_model_path: Path, tmp_path: Path, module: torch.nn.Module, message: str
) -> None:
    save_script(module, tmp_path / "model.pt", description(tiny_model_path))
    classifier = load_classifier(tmp_path / "model.pt", 0)
    with pytest.raises(ModelError, match=message):
        classifier.warm_up(320, 240)


def test_code_that_raises_while_it_is_loaded_is_a_model_error(
    tiny_model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: object, **_options: object) -> None:
        raise torch.jit.Error(f"a traceback\n__setstate__ raised{'!' * 10_000}")

    monkeypatch.setattr(torch.jit, "load", broken)
    with pytest.raises(ModelError, match=r"torch cannot load the model: __setstate__ raised!{200,300}$"):
        load_classifier(tiny_model_path, 0)


def test_a_description_that_unpacks_to_hundreds_of_megabytes_is_rejected_unread(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pt"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open(f"bomb/extra/{DESCRIPTION_FILE}", "w") as entry,
    ):
        for _ in range(200):
            entry.write(b" " * 1_000_000)
    assert path.stat().st_size < 1_000_000
    assert peak_mb_of_reading(path, "description has 200000000 bytes") < 100


def test_constants_that_unpack_to_gigabytes_are_rejected_unread(
    tiny_model_path: Path, tmp_path: Path
) -> None:
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"bomb/extra/{DESCRIPTION_FILE}", json.dumps(description(tiny_model_path)))
        with archive.open("bomb/data/0", "w") as entry:
            for _ in range(300):
                entry.write(b"\0" * 1_000_000)
    assert peak_mb_of_reading(path, "unpacked, a model has at most 256 MB") < 100


def peak_mb_of_reading(path: Path, message: str) -> float:
    """Return the most memory that Python allocated until the file was rejected."""
    tracemalloc.start()
    try:
        with pytest.raises(ModelError, match=message):
            load_classifier(path, 0)
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()
