"""The model file: a TorchScript graph with a JSON description inside; read, check and load it."""

from __future__ import annotations

import io
import json
import math
import platform
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from hivewatch.domain.frames import Map, Pixels
from hivewatch.domain.names import printable
from hivewatch.errors import ModelError
from hivewatch.vision.second_look import SecondLook
from hivewatch.vision.trust import LARGEST_MB, ModelFile

FORMAT = "hivewatch-model"
FORMAT_VERSION = 1
TORCH_VERSION = str(torch.__version__)
DESCRIPTION_FILE = "hivewatch.json"
_LARGEST_DESCRIPTION_BYTES = 64_000
_LONGEST_REASON = 300
# Fastest first. On processors without VNNI (before 2019) the x86 engines accumulate in 16 bits and saturate.
# qnnpack is exact everywhere, but on x86 it is four times slower than the float network.
_EXACT_ENGINES = ("qnnpack",)
_VNNI_ENGINES = ("x86", "onednn", "fbgemm", "qnnpack")

Graph = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
Size = Annotated[int, Field(gt=0, le=4096)]
Name = Annotated[str, Field(max_length=100), AfterValidator(printable)]


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The description inside a model file, and the file's SHA-256 (hexadecimal).

    A view is shrunk so that its long side is at most ``input_long_side_px`` and both sides are multiples of
    ``input_multiple_px``. ``box_level`` is the ``level`` of ``localize.locate``. A file that is not
    ``finished`` is a step of an export.
    """

    name: Name
    version: Name
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


def read_model_info(file: ModelFile) -> ModelInfo:
    """Return the description in a model file; raises ModelError unless it is a complete hivewatch model."""
    path, document = file.path, _read_description(file)
    found = (document.get("format"), document.get("format_version"))
    if found != (FORMAT, FORMAT_VERSION):
        stated = printable(" ".join(map(str, found)))[:_LONGEST_REASON]
        raise ModelError(
            f"{path}: the model's format is {stated}, this hivewatch runs {FORMAT}"
            f" {FORMAT_VERSION} only; upgrade hivewatch, or export the model again"
        )
    try:
        return TypeAdapter(ModelInfo).validate_python(document | {"sha256": file.sha256})
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        reason = printable("; ".join(faults))[:_LONGEST_REASON]
        raise ModelError(f"{path}: the model's description is invalid: {reason}") from error


def check_finished(file: ModelFile, model: ModelInfo) -> None:
    """Raise ModelError if an export that failed has left this file behind.

    Exports before 0.4 did not mark their steps, but only a step has a box level of 1.
    """
    if not model.finished or model.box_level >= 1.0:
        raise ModelError(
            f"{file.path}: an export that failed left this unfinished model, which may never alarm; delete it"
            " and export the model again"
        )


def _read_description(file: ModelFile) -> dict[str, Any]:
    path = file.path
    try:
        with zipfile.ZipFile(io.BytesIO(file.content)) as archive:
            _check_sizes(archive, file)
            damaged = archive.testzip()
            names = [name for name in archive.namelist() if name.endswith(f"/extra/{DESCRIPTION_FILE}")]
            document = json.loads(archive.read(names[0])) if names and not damaged else None
    except ModelError:
        raise
    except ValueError as error:
        raise ModelError(f"{path}: the model's description cannot be read: {error}") from error
    except Exception as error:  # of zipfile and of every decompressor
        raise ModelError(f"{path}: not a model file, or truncated: {error}; install it again") from error
    if damaged:
        raise ModelError(f"{path}: the model file is damaged, in {damaged}; install it again")
    if not isinstance(document, dict):
        raise ModelError(
            f"{path}: not a hivewatch model: it does not contain {DESCRIPTION_FILE}; export it again"
        )
    return document


def _check_sizes(archive: zipfile.ZipFile, file: ModelFile) -> None:
    """Raise ModelError if the content is too large once unpacked, before anything is."""
    entries = archive.infolist()
    if sum(entry.file_size for entry in entries) > LARGEST_MB * 1_000_000:
        raise ModelError(f"{file.path}: unpacked, a model has at most {LARGEST_MB} MB; export it again")
    for entry in entries:
        if (
            entry.filename.endswith(f"/extra/{DESCRIPTION_FILE}")
            and entry.file_size > _LARGEST_DESCRIPTION_BYTES
        ):
            raise ModelError(
                f"{file.path}: the model's description has {entry.file_size} bytes, at most"
                f" {_LARGEST_DESCRIPTION_BYTES} are read; export the model again"
            )


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


def load_graph(file: ModelFile) -> Graph:
    """Return the graph in the file, float16 widened to float32; raises ModelError if torch cannot load it.

    The file keeps the memory layout of the weights (channels last). Freezing or optimising the graph in
    addition gained no speed and cost memory.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is deprecated")
            warnings.filterwarnings("ignore", r"torch\.quantize_per_tensor, .* are deprecated")
            module = torch.jit.load(io.BytesIO(file.content), map_location="cpu")  # type: ignore[no-untyped-call]
            graph: Graph = module.eval().float()
    except Exception as error:  # loading runs code of the file, and torch passes on whatever that raises
        raise ModelError(f"{file.path}: torch cannot load the model: {_last_line(error)}") from error
    return graph


def run_graph(graph: Graph, pixels: Pixels, stride_px: int, named: str) -> tuple[float, Map]:
    """Run the graph on an RGB frame; return the score, 0..1, and the map: a cell for each ``stride_px``.

    Raises ModelError, which starts with ``named``, if the graph fails or returns anything else. What torch
    raises, torch.jit.Error among it, has no common base but Exception.
    """
    try:
        with torch.inference_mode():
            result: Any = graph(torch.from_numpy(pixels))
    except Exception as error:
        raise ModelError(
            f"{named}: the model fails on an RGB frame of {pixels.shape}: {_last_line(error)}"
        ) from error
    if not _is_score_and_map(result, pixels, stride_px):
        raise ModelError(f"{named}: the model does not return a score and a map; export it again")
    score, cam = float(result[0]), np.asarray(result[1].detach().numpy(), np.float32)
    if not (math.isfinite(score) and np.isfinite(cam).all()):
        raise ModelError(f"{named}: the model's result is not finite; check the model file and the memory")
    if not 0.0 <= score <= 1.0:
        raise ModelError(f"{named}: the model's score is {score:g}, not from 0 to 1; export it again")
    return score, cam


def _last_line(error: Exception) -> str:
    """Return what is wrong, without the many lines of TorchScript's traceback before it, and bounded."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1][:_LONGEST_REASON]


def _is_score_and_map(result: Any, pixels: Pixels, stride_px: int) -> bool:
    """Return whether both are dense float32 tensors and the map has the size described."""
    if not (isinstance(result, tuple) and len(result) == 2):
        return False
    if not all(isinstance(part, torch.Tensor) and _is_plain(part) for part in result):
        return False
    score, cam = (tuple(part.shape) for part in result)
    rest = [size - cells * stride_px for size, cells in zip(pixels.shape, cam, strict=False)]
    return score == () and len(cam) == 2 and min(cam) > 0 and max(map(abs, rest)) < stride_px


def _is_plain(tensor: torch.Tensor) -> bool:
    return tensor.dtype == torch.float32 and tensor.layout == torch.strided and tensor.device.type == "cpu"


def check_graph(graph: Graph, model: ModelInfo, file: ModelFile) -> None:
    """Raise ModelError unless ``graph`` takes a frame and returns a score and a map of the described size."""
    frame = np.zeros((2 * model.cam_stride_px, 3 * model.cam_stride_px, 3), np.uint8)
    run_graph(graph, frame, model.cam_stride_px, f"{file.path}")
