"""Export a trained network as the file that the daemon runs: a TorchScript graph and its description."""

# No `from __future__ import annotations`: TorchScript cannot compile postponed annotations.

import io
import json
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hivewatch.domain.frames import Pixels
from hivewatch.errors import ModelError
from hivewatch.training.model.folding import fold, load_folded
from hivewatch.training.model.network import LABELS, MEAN, STD, HornetNet
from hivewatch.training.model.quantise import quantise
from hivewatch.training.whole_files import whole_files
from hivewatch.vision.model_file import (
    DESCRIPTION_FILE,
    FORMAT,
    FORMAT_VERSION,
    check_graph,
    load_graph,
    read_model_info,
)
from hivewatch.vision.second_look import SecondLook
from hivewatch.vision.trust import ModelFile, read_model_file

PARITY_TOLERANCE = 1e-4
PARITY_SIZES = ((160, 224), (64, 96), (33, 47))
"""Rows and columns of the random frames that an exported file is checked on."""


@dataclass(frozen=True, slots=True)
class Description:
    """What the trainer states about a model, stored in the file. ``recipe`` must be JSON.

    A file whose description is not ``finished`` is a step of an export; nothing else loads it.
    """

    name: str
    version: str
    box_level: float
    training_data: str
    licence: str
    recipe: dict[str, Any] = field(default_factory=dict)
    second_look: SecondLook | None = None
    input_long_side_px: int = 640
    input_multiple_px: int = 32
    finished: bool = True


class FrameGraph(nn.Module):
    """The exported graph: frame (uint8, H x W x 3, RGB) to score (float32, scalar) and map (float32, h x w).

    It computes in the type of its parameters. The file stores them as float16; ``float()`` after loading is
    enough to compute in float32.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, net: HornetNet) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1))

    def forward(self, frame: Tensor) -> tuple[Tensor, Tensor]:
        """Normalise, classify every cell, pool, calibrate."""
        x = frame.permute(2, 0, 1).unsqueeze(0).to(self.mean.dtype)
        cam = self.net.forward_map((x / 255.0 - self.mean) / self.std)
        score = self.net.calibrate(self.net.pool(cam))
        return score[0].float(), cam[0, 0].float()


def export_model(net: HornetNet, path: Path, description: Description) -> float:
    """Write ``net`` to ``path`` as a model file; return the largest difference that the parity check found.

    Weights are stored as float16 with batch norms folded in. The file is written atomically. Raises
    ModelError if the file, loaded again, differs by more than 1e-4 from the network with the same rounded
    weights, in the score or, relative to the largest logit, in the map.
    """
    graph = FrameGraph(fold(net)).eval().half().to(memory_format=torch.channels_last)
    return _write(graph, path, _describe(net, description))


def export_int8(net: HornetNet, path: Path, description: Description, frames: Sequence[Pixels]) -> float:
    """Write ``net`` as an int8 model file; return the largest difference that the parity check found.

    ``frames`` calibrate the activation ranges, see ``quantise``. The file is written atomically. Raises
    ModelError if the file, loaded again, differs from the quantised network by more than 1e-4.
    """
    graph = FrameGraph(quantise(fold(net), frames)).eval()
    return _write(graph, path, _describe(net, description) | {"precision": "int8"})


def _write(graph: FrameGraph, path: Path, document: dict[str, Any]) -> float:
    """Save the graph to a partial file, check it, then rename it to ``path``; return the difference."""
    with whole_files(path) as (partial,):
        try:
            _save(graph, partial, json.dumps(document, indent=2))
            file = read_model_file(partial, allow_writable=True)  # it was written just now
            difference = _parity(graph.float(), file)
        except RuntimeError as error:
            raise ModelError(f"{path}: cannot export the model ({error})") from error
        if not difference <= PARITY_TOLERANCE:  # also false for NaN
            raise ModelError(f"{path}: the exported graph differs from the network by {difference:.2g}")
        check_graph(load_graph(file), read_model_info(file), file)
    return difference


def is_model_file(path: Path) -> bool:
    """Return whether ``path`` is a hivewatch model file, as opposed to a state dict of torch."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(f"/extra/{DESCRIPTION_FILE}") for name in archive.namelist())
    except Exception:  # noqa: BLE001  zipfile raises many kinds of errors on foreign bytes
        return False


def load_model_file(net: HornetNet, path: Path) -> None:
    """Load the weights of a float model file into ``net``, to train the model further.

    Raises ModelError if the file is not a hivewatch model, or an int8 one, or if others can change it.
    """
    file = read_model_file(path)
    if read_model_info(file).precision != "float":
        raise ModelError(f"{path}: an int8 model cannot be trained further; start from the float model")
    graph: Any = load_graph(file)
    load_folded(
        net,
        {
            name.removeprefix("net."): value
            for name, value in graph.state_dict().items()
            if name.startswith(("net.body.", "net.classifier."))
        },
    )


def _describe(net: HornetNet, description: Description) -> dict[str, Any]:
    document = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "labels": LABELS,
        "cam_stride_px": net.cam_stride_px,
        "pooling": net.pooling,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "torch_version": torch.__version__,
    }
    # The file format calls the second look "closer".
    names = {"second_look": "closer"}
    return document | {names.get(name, name): value for name, value in asdict(description).items()}


def _save(graph: FrameGraph, path: Path, description: str) -> None:
    """Write the graph without TorchScript's debug information, which names paths of the building machine."""
    whole = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is deprecated")
        torch.jit.save(_script(graph), whole, _extra_files={DESCRIPTION_FILE: description})
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(path, "w") as target:
        for entry in source.infolist():
            if not entry.filename.endswith(".debug_pkl"):
                target.writestr(entry, source.read(entry))


def _script(graph: FrameGraph) -> Any:
    """Compile ``graph``.

    Torch 2.14 looks up its builtins by the ``id`` of the Python object. The builtins that quantisation
    registers on import have been freed by now, so a list allocated at one of their addresses would be taken
    for a builtin: remove their entries first.
    """
    table = torch.jit._builtins._get_builtin_table()  # type: ignore[no-untyped-call]
    for address in [key for key, name in table.items() if name.startswith("quantized_decomposed::")]:
        del table[address]
    return torch.jit.script(graph)


def _parity(graph: FrameGraph, file: ModelFile) -> float:
    """Return the largest difference between ``graph`` and the one in ``file`` on random frames."""
    exported = load_graph(file)
    generator = torch.Generator().manual_seed(0)
    differences = []
    for rows, columns in PARITY_SIZES:
        frame = torch.randint(0, 256, (rows, columns, 3), dtype=torch.uint8, generator=generator)
        with torch.inference_mode():
            for expected, found in zip(graph(frame), exported(frame), strict=True):
                largest = expected.abs().max().clamp(min=1.0)
                differences.append((expected - found).abs().max() / largest)
    # Tensor.max propagates NaN, which fails the tolerance check.
    return float(torch.stack(differences).max())
