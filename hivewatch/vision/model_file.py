"""The model file: a TorchScript graph with a JSON description inside; read, check and load it."""

from __future__ import annotations

import hashlib
import json
import platform
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

import numpy as np
import torch
from pydantic import Field, TypeAdapter, ValidationError

from hivewatch.errors import ModelError
from hivewatch.vision.second_look import SecondLook

RELEASED_MODEL = Path(__file__).parent / "models" / "hivewatch-resnet18.pt"
FORMAT = "hivewatch-model"
FORMAT_VERSION = 1
TORCH_VERSION = str(torch.__version__)
DESCRIPTION_FILE = "hivewatch.json"
# Fastest first. On processors without VNNI (before 2019) the x86 engines accumulate in 16 bits and saturate.
# qnnpack is exact everywhere, but on x86 it is four times slower than the float network.
_EXACT_ENGINES = ("qnnpack",)
_VNNI_ENGINES = ("x86", "onednn", "fbgemm", "qnnpack")

Graph = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
Size = Annotated[int, Field(gt=0)]


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The description inside a model file, and the file's SHA-256 (hexadecimal).

    A view is shrunk so that its long side is at most ``input_long_side_px`` and both sides are multiples of
    ``input_multiple_px``. ``box_level`` is the ``level`` of ``localize.locate``. A file that is not
    ``finished`` is a step of an export.
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
    finished: bool = True
    # "closer" is the key in model files that are in use, so it stays.
    second_look: Annotated[SecondLook | None, Field(validation_alias="closer")] = None


def released_model(precision: Literal["float", "int8"]) -> Path:
    """Return the path of the model file that ships with the package."""
    return RELEASED_MODEL if precision == "float" else RELEASED_MODEL.with_stem(f"{RELEASED_MODEL.stem}-int8")


def read_model_info(path: Path) -> ModelInfo:
    """Return the description in a model file; raises ModelError unless it is a complete hivewatch model."""
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            document = _read_description(file, path)
    except OSError as error:
        raise ModelError(
            f"cannot read the model file {path}: {error.strerror}; set classifier.model to another file,"
            " or leave it out for the released model"
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
        raise ModelError(f"{path}: the model's description is invalid: {error}") from error


def check_finished(model: ModelInfo, path: Path) -> None:
    """Raise ModelError if an export that failed has left this file behind.

    Exports before 0.4 did not mark their steps, but only a step has a box level of 1.
    """
    if not model.finished or model.box_level >= 1.0:
        raise ModelError(
            f"{path}: an export that failed left this unfinished model, which may never alarm; delete it and"
            " export the model again"
        )


def _read_description(file: BinaryIO, path: Path) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(file) as archive:
            damaged = archive.testzip()
            names = [name for name in archive.namelist() if name.endswith(f"/extra/{DESCRIPTION_FILE}")]
            document = json.loads(archive.read(names[0])) if names and not damaged else None
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise ModelError(f"{path}: not a model file, or truncated: {error}; install it again") from error
    except ValueError as error:
        raise ModelError(f"{path}: the model's description cannot be read: {error}") from error
    if damaged:
        raise ModelError(f"{path}: the model file is damaged, in {damaged}; install it again")
    if not isinstance(document, dict):
        raise ModelError(
            f"{path}: not a hivewatch model: it does not contain {DESCRIPTION_FILE}; export it again"
        )
    return document


def use_quantised_engine() -> str:
    """Make torch run int8 networks on this processor's fastest exact engine, and return its name.

    Raises ModelError if torch was built without one.
    """
    available = torch.backends.quantized.supported_engines
    has_vnni = platform.machine() != "aarch64" and torch.cpu._is_vnni_supported()
    wanted = _VNNI_ENGINES if has_vnni else _EXACT_ENGINES
    for engine in wanted:
        if engine in available:
            torch.backends.quantized.engine = engine
            return engine
    raise ModelError(
        f"torch {TORCH_VERSION} has no engine for int8 models on {platform.machine()} (it has"
        f" {', '.join(available) or 'none'}, hivewatch needs {' or '.join(wanted)}); use the float model"
    )


def load_graph(path: Path) -> Graph:
    """Return the graph in the file, float16 widened to float32; raises ModelError if torch cannot load it.

    The file keeps the memory layout of the weights (channels last). Freezing or optimising the graph in
    addition gained no speed and cost memory.
    """
    try:
        # By descriptor, because torch takes no name that is not UTF-8.
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is deprecated")
            warnings.filterwarnings("ignore", r"torch\.quantize_per_tensor, .* are deprecated")
            module = torch.jit.load(f"/proc/self/fd/{file.fileno()}", map_location="cpu")  # type: ignore[no-untyped-call]
            graph: Graph = module.eval().float()
    except (RuntimeError, ValueError, OSError) as error:
        raise ModelError(f"{path}: torch cannot load the model: {error}") from error
    return graph


def check_graph(graph: Graph, model: ModelInfo, path: Path) -> None:
    """Raise ModelError unless ``graph`` takes a frame and returns a score and a map of the described size."""
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
        raise ModelError(f"{path}: the model does not return a score from 0 to 1 and a map; export it again")
