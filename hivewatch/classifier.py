"""The classifier: a model file, checked, and what it says of a view. The only runtime import of torch."""

from __future__ import annotations

import hashlib
import json
import math
import warnings
import zipfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from hivewatch.domain import WHOLE, Frame, Map, Pixels, Prediction, View
from hivewatch.errors import ModelError
from hivewatch.localize import locate

RELEASED_MODEL = Path(__file__).parent / "models" / "hivewatch-resnet18.pt"
FORMAT = "hivewatch-model"
FORMAT_VERSION = 1
DESCRIPTION_FILE = "hivewatch.json"
LABELS = ("absence", "presence")
WARM_UP_RUNS = 2

Graph = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
Stopwatch = Callable[[str], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a model file says of itself, and the hash of the file (hexadecimal SHA-256)."""

    name: str
    version: str
    sha256: str
    labels: tuple[str, ...]
    input_long_side_px: int
    input_multiple_px: int
    cam_stride_px: int
    box_level: float
    pooling: str
    training_data: str
    licence: str
    created: str
    torch_version: str
    recipe: Mapping[str, Any]


def _no_stopwatch(_stage: str) -> AbstractContextManager[None]:
    return nullcontext()


class Classifier:
    """A loaded model. ``stopwatch`` is entered for each stage: ``preprocess``, ``forward``, ``localize``."""

    def __init__(self, graph: Graph, model: ModelInfo, stopwatch: Stopwatch = _no_stopwatch) -> None:
        self.model = model
        self._graph = graph
        self._stopwatch = stopwatch

    def predict(self, view: View) -> Prediction:
        """Return score, map and location for ``view``; raises ModelError where the result is not finite."""
        with self._stopwatch("preprocess"):
            pixels = self._fit(view.pixels)
        with self._stopwatch("forward"):
            score, cam = self._forward(pixels)
        with self._stopwatch("localize"):
            location = locate(cam, view.extent, self.model.box_level)
        return Prediction(score, cam, view.extent, location)

    def warm_up(self, width_px: int, height_px: int) -> None:
        """Run on a black view of that size until the following runs take their usual time."""
        pixels = np.zeros((height_px, width_px, 3), np.uint8)
        frame = Frame(pixels, datetime.now(UTC), 0.0, 0, "warm-up")
        for _ in range(WARM_UP_RUNS):
            self.predict(View(frame, pixels, WHOLE))

    def _fit(self, pixels: Pixels) -> Pixels:
        height_px, width_px = pixels.shape[:2]
        size = input_size(width_px, height_px, self.model)
        shrinks = size[0] * size[1] < width_px * height_px
        resized = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        return np.asarray(resized, np.uint8)

    def _forward(self, pixels: Pixels) -> tuple[float, Map]:
        try:
            with torch.inference_mode():
                score, cam = self._graph(torch.from_numpy(pixels))
        except RuntimeError as error:
            raise ModelError(f"model {self.model.name} {self.model.version} failed: {error}") from error
        cells = np.array(cam.numpy(), np.float32)
        if not (math.isfinite(float(score)) and np.isfinite(cells).all()):
            raise ModelError(f"model {self.model.name} {self.model.version} gave a result that is no number")
        return float(score), cells


def input_size(width_px: int, height_px: int, model: ModelInfo) -> tuple[int, int]:
    """Return the width and height that a view is resized to: the long side fixed, both whole multiples."""
    if width_px < 1 or height_px < 1:
        raise ValueError(f"a view of {width_px} x {height_px} pixels cannot be classified")
    step = model.input_multiple_px
    factor = model.input_long_side_px / max(width_px, height_px)
    width, height = (max(step, round(side * factor / step) * step) for side in (width_px, height_px))
    return width, height


def load_classifier(path: Path | None, threads: int, stopwatch: Stopwatch = _no_stopwatch) -> Classifier:
    """Load a model file; None is the released model. ``threads``: 0 leaves the choice to torch.

    Raises ModelError for everything that is not a model of ours, whole and of a known format version.
    """
    if threads > 0:
        torch.set_num_threads(threads)
    path = path or RELEASED_MODEL
    model = read_description(path)
    graph = load_graph(path)
    _try_out(graph, path)
    return Classifier(graph, model, stopwatch)


def read_description(path: Path) -> ModelInfo:
    """Return what the file says of itself; raises ModelError if it is no whole model file of ours."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            document = _description(file, path)
    except OSError as error:
        raise ModelError(f"cannot read the model file {path}: {error.strerror}") from error
    if document.get("format") != FORMAT or document.get("format_version") != FORMAT_VERSION:
        raise ModelError(
            f"{path}: model format {document.get('format')} {document.get('format_version')},"
            f" this hivewatch runs {FORMAT} {FORMAT_VERSION}"
        )
    try:
        values = {item.name: document[item.name] for item in fields(ModelInfo) if item.name != "sha256"}
    except KeyError as error:
        raise ModelError(f"{path}: the model's description lacks {error}") from error
    return ModelInfo(**values | {"sha256": digest, "labels": tuple(values["labels"])})


def _description(file: Any, path: Path) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(file) as archive:
            damaged = archive.testzip()
            if damaged:
                raise ModelError(f"{path}: the model file is damaged ({damaged}); install it again")
            names = [name for name in archive.namelist() if name.endswith(f"/extra/{DESCRIPTION_FILE}")]
            if not names:
                raise ModelError(f"{path}: not a hivewatch model: no {DESCRIPTION_FILE} in it")
            document = json.loads(archive.read(names[0]))
    except zipfile.BadZipFile as error:
        raise ModelError(f"{path}: not a model file, or cut short: {error}") from error
    except ValueError as error:
        raise ModelError(f"{path}: the model's description cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise ModelError(f"{path}: the model's description is no JSON object")
    return document


def load_graph(path: Path) -> Graph:
    """Return the graph in the file, its weights widened to float32; raises ModelError if torch refuses it."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is deprecated")
            module = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
            graph: Graph = torch.jit.freeze(module.eval().float())
    except (RuntimeError, ValueError, OSError) as error:
        raise ModelError(f"{path}: torch cannot load the model: {error}") from error
    return graph


def _try_out(graph: Graph, path: Path) -> None:
    """Refuse a graph that does not take a frame and give a score and a map."""
    try:
        with torch.inference_mode():
            result: Any = graph(torch.zeros((64, 96, 3), dtype=torch.uint8))
    except (RuntimeError, TypeError) as error:
        raise ModelError(f"{path}: the model does not take an RGB frame: {error}") from error
    if not (
        isinstance(result, tuple)
        and len(result) == 2
        and all(isinstance(part, torch.Tensor) and part.dtype == torch.float32 for part in result)
        and result[0].ndim == 0
        and result[1].ndim == 2
        and 0.0 <= float(result[0]) <= 1.0
    ):
        raise ModelError(f"{path}: the model does not give a score and a map; export it again")
