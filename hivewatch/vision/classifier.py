"""The classifier: a model file, checked, and what it says of a view. The only runtime import of torch."""

from __future__ import annotations

import hashlib
import json
import math
import platform
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

import cv2
import numpy as np
import torch
from pydantic import Field, TypeAdapter, ValidationError

from hivewatch.domain.frames import WHOLE, Box, Frame, Map, Pixels, Prediction, View
from hivewatch.errors import ModelError
from hivewatch.vision.localize import locate
from hivewatch.vision.second_look import Closer

RELEASED_MODEL = Path(__file__).parent / "models" / "hivewatch-resnet18.pt"
FORMAT = "hivewatch-model"
FORMAT_VERSION = 1
TORCH_VERSION = str(torch.__version__)
DESCRIPTION_FILE = "hivewatch.json"
# The fastest first. The x86 engines add up in sixteen bits where the processor has no VNNI (since 2019) and
# saturate; qnnpack computes exactly everywhere, but on x86 four times slower than a float network.
EXACT_ENGINES = ("qnnpack",)
VNNI_ENGINES = ("x86", "onednn", "fbgemm", "qnnpack")
# TorchScript traces types in the first run and compiles in the second.
WARM_UP_RUNS = 3

Graph = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
Stopwatch = Callable[[str], AbstractContextManager[None]]
Size = Annotated[int, Field(gt=0)]


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a model file says of itself, and the file's SHA-256 (hexadecimal).

    A view is shrunk so that its long side is ``input_long_side_px`` at most and both sides are multiples of
    ``input_multiple_px``. ``box_level`` is the level ``localize.locate`` cuts at.
    """

    name: str
    version: str
    sha256: str
    labels: tuple[Literal["absence"], Literal["presence"]]
    input_long_side_px: Size
    input_multiple_px: Size
    cam_stride_px: Size
    box_level: Annotated[float, Field(gt=0.0, le=1.0)]
    pooling: str
    training_data: str
    licence: str
    created: str
    torch_version: str
    recipe: Mapping[str, Any]
    precision: Literal["float", "int8"] = "float"
    closer: Closer | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What the network says of one view: a score, 0..1, and a map of logits over ``extent``."""

    score: float
    cam: Map
    extent: Box


def _no_stopwatch(_stage: str) -> AbstractContextManager[None]:
    return nullcontext()


class Classifier:
    """A loaded model. ``stopwatch`` is entered for each stage: preprocess, forward, closer, localize."""

    def __init__(self, graph: Graph, model: ModelInfo, stopwatch: Stopwatch = _no_stopwatch) -> None:
        """Take what ``load_classifier`` loaded and checked."""
        self.model = model
        self._graph = graph
        self._stopwatch = stopwatch

    def predict(self, view: View) -> Prediction:
        """Return score, map and location for ``view``, of any size and shape.

        Raises ModelError when the graph fails or its result is not finite: there is no score then.
        """
        first, closer = self.look(view)
        best = max(closer, key=lambda look: look.score, default=first)
        score = first.score
        if self.model.closer is not None and closer:
            score = self.model.closer.score(first.score, best.score)
        with self._stopwatch("localize"):
            location = locate(best.cam, best.extent, self.model.box_level)
        return Prediction(score, best.cam, best.extent, location)

    def look(self, view: View) -> tuple[Look, list[Look]]:
        """Look at ``view``, and closer at its most suspicious places where the model asks for it."""
        factor = min(1.0, self.model.input_long_side_px / view.watched_px)
        with self._stopwatch("preprocess"):
            pixels = resize(view.pixels, factor, self.model.input_multiple_px)
        with self._stopwatch("forward"):
            first = Look(*self.forward(pixels), view.extent)
        closer = self.model.closer
        if closer is None or first.score < closer.from_score:
            return first, []
        with self._stopwatch("closer"):
            return first, [
                self._look_closer(window, factor * closer.zoom)
                for window in closer.windows(view, first.cam, factor)
            ]

    def _look_closer(self, window: View, factor: float) -> Look:
        pixels = resize(window.pixels, factor, self.model.input_multiple_px)
        return Look(*self.forward(pixels), window.extent)

    @property
    def threads(self) -> int:
        """How many processor threads the graph runs on."""
        return torch.get_num_threads()

    def warm_up(self, width_px: int, height_px: int) -> None:
        """Run on a black view of that size until the following runs take their usual time."""
        pixels = np.zeros((height_px, width_px, 3), np.uint8)
        frame = Frame(pixels, datetime.now(UTC), 0.0, 0, "warm-up")
        for _ in range(WARM_UP_RUNS):
            self.predict(View(frame, pixels, WHOLE, max(width_px, height_px)))
            if self.model.closer is not None:
                self.forward(np.zeros((self.model.closer.window_px,) * 2 + (3,), np.uint8))

    def forward(self, pixels: Pixels) -> tuple[float, Map]:
        """Run the graph on pixels from ``fit_to_input``; return score and map. Raises as ``predict`` does."""
        named = f"model {self.model.name} {self.model.version}"
        try:
            with torch.inference_mode():
                score_tensor, cam_tensor = self._graph(torch.from_numpy(pixels))
        except RuntimeError as error:
            raise ModelError(f"{named} failed on a {pixels.shape} input: {error}") from error
        score, cam = float(score_tensor), cam_tensor.numpy()
        if not (math.isfinite(score) and np.isfinite(cam).all()):
            raise ModelError(f"{named} gave a result that is not finite; check the file and the memory")
        return score, cam


def fit_to_input(pixels: Pixels, long_side_px: int, multiple_px: int) -> Pixels:
    """Shrink so that the long side is ``long_side_px`` and both sides are multiples of ``multiple_px``.

    A smaller picture is not enlarged, which would cost time and show nothing more. Each side is rounded to
    the nearest multiple, at least one: a very long and narrow picture is widened.
    Training and evaluation resize by this function too. Raises ValueError for a picture without pixels.
    """
    return resize(pixels, min(1.0, long_side_px / max(1, *pixels.shape[:2])), multiple_px)


def resize(pixels: Pixels, factor: float, multiple_px: int) -> Pixels:
    """Scale by ``factor``, each side to the nearest multiple of ``multiple_px``, at least one.

    Raises ValueError for a picture without pixels.
    """
    height_px, width_px = pixels.shape[:2]
    if pixels.size == 0:
        raise ValueError(f"a view of {width_px} x {height_px} pixels cannot be classified")
    width, height = (
        max(1, round(side * factor / multiple_px)) * multiple_px for side in (width_px, height_px)
    )
    shrinks = width * height < width_px * height_px
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=interpolation), np.uint8)


def load_classifier(
    path: Path | None,
    threads: int,
    stopwatch: Stopwatch = _no_stopwatch,
    precision: Literal["float", "int8"] = "float",
) -> Classifier:
    """Load a model file; None is the released model of ``precision``. ``threads``: 0 leaves them to torch.

    Raises ModelError for everything but a whole model of ours, of a format version known here.
    """
    if threads > 0:
        torch.set_num_threads(threads)
    path = path or released_model(precision)
    model = read_model_info(path)
    if model.precision == "int8":
        use_quantised_engine()
    graph = load_graph(path)
    _try_out(graph, model, path)
    return Classifier(graph, model, stopwatch)


def released_model(precision: Literal["float", "int8"]) -> Path:
    """Return the model file that ships with the package."""
    return RELEASED_MODEL if precision == "float" else RELEASED_MODEL.with_stem(f"{RELEASED_MODEL.stem}-int8")


def read_model_info(path: Path) -> ModelInfo:
    """Return what the file says of itself; raises ModelError if it is no whole model file of ours."""
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            document = _read_description(file, path)
    except OSError as error:
        raise ModelError(
            f"cannot read the model file {path}: {error.strerror}; name another file as classifier.model,"
            " or none for the released model"
        ) from error
    found = (document.get("format"), document.get("format_version"))
    if found != (FORMAT, FORMAT_VERSION):
        raise ModelError(
            f"{path}: the model's format is {found[0]} {found[1]}, this hivewatch runs {FORMAT}"
            f" {FORMAT_VERSION} only; upgrade hivewatch, or export the model again"
        )
    try:
        return TypeAdapter(ModelInfo).validate_python(document | {"sha256": sha256})
    except ValidationError as error:
        raise ModelError(f"{path}: the model's description is wrong: {error}") from error


def _read_description(file: BinaryIO, path: Path) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(file) as archive:
            damaged = archive.testzip()
            names = [name for name in archive.namelist() if name.endswith(f"/extra/{DESCRIPTION_FILE}")]
            document = json.loads(archive.read(names[0])) if names and not damaged else None
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise ModelError(f"{path}: not a model file, or cut short: {error}; install it again") from error
    except ValueError as error:
        raise ModelError(f"{path}: the model's description cannot be read: {error}") from error
    if damaged:
        raise ModelError(f"{path}: the model file is damaged, in {damaged}; install it again")
    if not isinstance(document, dict):
        raise ModelError(f"{path}: not a hivewatch model: it holds no {DESCRIPTION_FILE}; export it again")
    return document


def use_quantised_engine() -> str:
    """Have torch run int8 networks on this processor's fastest exact engine, and return its name.

    Raises ModelError where torch was built without any.
    """
    available = torch.backends.quantized.supported_engines
    has_vnni = platform.machine() != "aarch64" and torch.cpu._is_vnni_supported()
    wanted = VNNI_ENGINES if has_vnni else EXACT_ENGINES
    for engine in wanted:
        if engine in available:
            torch.backends.quantized.engine = engine
            return engine
    raise ModelError(
        f"torch {TORCH_VERSION} has no engine for int8 models on {platform.machine()} (it has"
        f" {', '.join(available) or 'none'}, needed is {' or '.join(wanted)}); use the float model"
    )


def load_graph(path: Path) -> Graph:
    """Return the graph in the file, float16 widened to float32; raises ModelError if torch refuses it.

    The weights' memory layout (channels last) travels in the file. Freezing or optimising the graph on top of
    that brought no speed and cost memory.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is deprecated")
            warnings.filterwarnings("ignore", r"torch\.quantize_per_tensor, .* are deprecated")
            module = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
            graph: Graph = module.eval().float()
    except (RuntimeError, ValueError, OSError) as error:
        raise ModelError(f"{path}: torch cannot load the model: {error}") from error
    return graph


def _try_out(graph: Graph, model: ModelInfo, path: Path) -> None:
    """Refuse a graph that does not take a frame and give a score and the map it describes."""
    rows, columns = 2, 3
    frame = np.zeros((rows * model.cam_stride_px, columns * model.cam_stride_px, 3), np.uint8)
    try:
        with torch.inference_mode():
            result: Any = graph(torch.from_numpy(frame))
    except RuntimeError as error:
        raise ModelError(f"{path}: the model does not take an RGB frame: {error}") from error
    parts = result if isinstance(result, tuple) else (result,)
    shapes = [tuple(part.shape) for part in parts if getattr(part, "dtype", None) == torch.float32]
    if len(parts) != len(shapes) or shapes != [(), (rows, columns)] or not 0.0 <= float(parts[0]) <= 1.0:
        raise ModelError(f"{path}: the model does not give a score from 0 to 1 and a map; export it again")
