"""From a trained network to the file that the daemon runs: a TorchScript graph and its description."""

import copy
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
from torch.nn.utils.fusion import fuse_conv_bn_eval

from hivewatch.domain.frames import Pixels
from hivewatch.errors import ModelError
from hivewatch.training.model.network import LABELS, MEAN, STD, HornetNet
from hivewatch.training.model.quantise import quantise
from hivewatch.vision.model_file import DESCRIPTION_FILE, FORMAT, FORMAT_VERSION, load_graph, read_model_info
from hivewatch.vision.second_look import SecondLook

PARITY = 1e-4
PARITY_SIZES = ((160, 224), (64, 96), (33, 47))


@dataclass(frozen=True, slots=True)
class Description:
    """What the trainer says of a model; it travels inside the file. ``recipe`` must be JSON."""

    name: str
    version: str
    box_level: float
    training_data: str
    licence: str
    recipe: dict[str, Any] = field(default_factory=dict)
    closer: SecondLook | None = None
    input_long_side_px: int = 640
    input_multiple_px: int = 32


class FrameGraph(nn.Module):
    """What is exported: frame (uint8, H x W x 3, RGB) to score (float32, scalar) and map (float32, h x w).

    It computes in the type its parameters have, so the file, which keeps them as float16, is widened by
    ``float()`` alone.
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

    Weights are stored as float16, batch norms folded in. The file appears whole or not at all. Raises
    ModelError when the file read back does not compute what the network with the same rounded weights
    computes, to 1e-4 in the score and relative to the largest logit in the map.
    """
    graph = FrameGraph(fold(net)).eval().half().to(memory_format=torch.channels_last)
    return _write(graph, path, _describe(net, description))


def export_int8(net: HornetNet, path: Path, description: Description, frames: Sequence[Pixels]) -> float:
    """Write ``net`` as a model file that computes in integers; return what the parity check found.

    ``frames`` are what ranges are observed on, see ``quantise``. The file appears whole or not at all.
    Raises ModelError when the file read back does not compute what the quantised network does, to 1e-4.
    """
    graph = FrameGraph(quantise(fold(net), frames)).eval()
    return _write(graph, path, _describe(net, description) | {"precision": "int8"})


def _write(graph: FrameGraph, path: Path, document: dict[str, Any]) -> float:
    """Save the graph under another name, check it, then move it to ``path``; return the difference."""
    partial = path.with_name(path.name + ".part")
    try:
        _save(graph, partial, json.dumps(document, indent=2))
        difference = _parity(graph.float(), partial)
        if not difference <= PARITY:
            raise ModelError(f"{path}: the exported graph differs from the network by {difference:.2g}")
        partial.replace(path)
    except (OSError, RuntimeError) as error:
        raise ModelError(f"cannot export to {path}: {error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return difference


def fold(net: HornetNet) -> HornetNet:
    """Return a copy of ``net`` with each batch norm folded into the convolution before it."""
    folded = copy.deepcopy(net).cpu().float().eval()
    body: Any = folded.body
    body.conv1, body.bn1 = fuse_conv_bn_eval(body.conv1, body.bn1), nn.Identity()
    for block in (*body.layer1, *body.layer2, *body.layer3, *body.layer4):
        block.conv1, block.bn1 = fuse_conv_bn_eval(block.conv1, block.bn1), nn.Identity()
        block.conv2, block.bn2 = fuse_conv_bn_eval(block.conv2, block.bn2), nn.Identity()
        if block.downsample is not None:
            block.downsample = fuse_conv_bn_eval(block.downsample[0], block.downsample[1])
    return folded


def is_model_file(path: Path) -> bool:
    """Whether ``path`` is a model file of ours, whole or not; a state dict of torch is none."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith(f"/extra/{DESCRIPTION_FILE}") for name in archive.namelist())


def unfold(net: HornetNet, path: Path) -> None:
    """Fill ``net`` from a float model file: to train the released model further, on one's own hives say.

    What was folded into the convolutions becomes a batch norm that changes nothing but adds their bias.
    Raises ModelError if the file is no model of ours, or one in integers.
    """
    if read_model_info(path).precision != "float":
        raise ModelError(f"{path}: computes in integers and cannot be trained; start from the float model")
    graph: Any = load_graph(path)
    fill_folded(
        net,
        {
            name.removeprefix("net."): value
            for name, value in graph.state_dict().items()
            if name.startswith(("net.body.", "net.classifier."))
        },
    )


def fill_folded(net: HornetNet, folded: dict[str, Tensor]) -> None:
    """Fill ``net`` with the body and classifier of one that ``fold`` folded, so that it computes the same."""
    state = dict(folded)
    for name, value in folded.items():
        layer, _, kind = name.rpartition(".")
        if not layer.startswith("body."):
            continue
        if layer.endswith("downsample"):
            convolution, norm = f"{layer}.0", f"{layer}.1"
        else:
            convolution, norm = layer, layer.replace("conv", "bn")
        del state[name]
        state[f"{convolution}.weight" if kind == "weight" else f"{norm}.bias"] = value
    for name, module in net.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            ones = torch.ones(module.num_features)
            state |= {f"{name}.weight": ones, f"{name}.running_mean": ones * 0}
            state |= {f"{name}.running_var": ones - module.eps}
    net.load_state_dict(net.state_dict() | state)


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
    return document | asdict(description)


def _save(graph: FrameGraph, path: Path, description: str) -> None:
    """Write the graph without TorchScript's notes on its source: they name paths of this machine."""
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

    Torch 2.14 knows its builtins by address. Quantisation's own, registered when it is imported, are gone by
    then, and a list that comes to lie where one lay is taken for it: they are taken off the table before.
    """
    table = torch.jit._builtins._get_builtin_table()  # type: ignore[no-untyped-call]
    for address in [key for key, name in table.items() if name.startswith("quantized_decomposed::")]:
        del table[address]
    return torch.jit.script(graph)


def _parity(graph: FrameGraph, path: Path) -> float:
    exported = load_graph(path)
    generator = torch.Generator().manual_seed(0)
    differences = []
    for rows, columns in PARITY_SIZES:
        frame = torch.randint(0, 256, (rows, columns, 3), dtype=torch.uint8, generator=generator)
        with torch.inference_mode():
            for expected, found in zip(graph(frame), exported(frame), strict=True):
                largest = expected.abs().max().clamp(min=1.0)
                differences.append((expected - found).abs().max() / largest)
    # Tensor.max keeps a NaN, and a NaN is not within the limit.
    return float(torch.stack(differences).max())
