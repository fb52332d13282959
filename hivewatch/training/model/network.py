"""The network: a fully convolutional ResNet18 whose score is pooled from its class activation map.

After Zhou et al. 2016 ("Learning Deep Features for Discriminative Localization", section 2): the classifier
for the two classes, absence and presence, is applied to every cell of the last feature map. As it is linear,
the mean of the map of its logits equals the logits of the mean feature.
"""

# No `from __future__ import annotations`: TorchScript cannot compile postponed annotations.

import math
import socket
from collections import OrderedDict
from collections.abc import Collection
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import resnet18

from hivewatch.errors import ModelError

LABELS = ("absence", "presence")
MEAN = (0.485, 0.456, 0.406)
"""Mean of ImageNet's pixels (red, green, blue), 0..1."""
STD = (0.229, 0.224, 0.225)
"""Standard deviation of ImageNet's pixels (red, green, blue)."""
POOLINGS = ("gap", "topk", "lse", "max")
LSE_SHARPNESS = 2.0
IMAGENET = "imagenet"
DOWNLOAD_TIMEOUT_S = 20.0
IMAGENET_URL = "https://download.pytorch.org/models/resnet18-f37072fd.pth"


class HornetNet(nn.Module):
    """ResNet18 (``body``) and a 1x1 convolution to two classes (``classifier``).

    The map covers the input uniformly: cell (r, c) of an h x w map covers the input from c/w to (c+1)/w
    across and from r/h to (r+1)/h down. A cell is ``cam_stride_px`` pixels wide if the input's sides are
    multiples of 32.

    ``pooling`` is how the map becomes one logit:

    - ``gap``: mean of all cells (Zhou et al. 2016, section 2),
    - ``topk``: mean of the ``top_cells`` highest cells,
    - ``lse``: log-sum-exp, a smooth maximum (Pinheiro and Collobert 2015, section 3.2),
    - ``max``: the highest cell (Oquab et al. 2015, section 3.2).

    ``layer4_stride`` 1 doubles the map's resolution, with the same weights.
    """

    scale: Tensor
    offset: Tensor

    def __init__(self, pooling: str = "topk", layer4_stride: int = 2, top_cells: int = 2) -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise ValueError(f"pooling must be one of {', '.join(POOLINGS)}, not {pooling!r}")
        if layer4_stride not in (1, 2):
            raise ValueError(f"layer4_stride must be 1 or 2, not {layer4_stride}")
        # Attributes, not constants of the module: TorchScript compiles the methods that use them.
        self.pooling = pooling
        self.top_cells = top_cells
        self.lse_sharpness = LSE_SHARPNESS
        self.cam_stride_px = 16 * layer4_stride
        backbone = resnet18(weights=None)
        parts = ((name, part) for name, part in backbone.named_children() if name not in ("avgpool", "fc"))
        self.body = nn.Sequential(OrderedDict(parts))
        first: Any = backbone.layer4[0]
        first.conv1.stride = first.downsample[0].stride = (layer4_stride, layer4_stride)
        self.classifier = nn.Conv2d(first.conv1.out_channels, len(LABELS), kernel_size=1)
        # Platt scaling (Platt 1999), fitted after training on pictures not trained on.
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("offset", torch.zeros(()))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the pooled logits (N) and the map of logits (N x 1 x h x w); see ``forward_map``."""
        cam = self.forward_map(x)
        return self.pool(cam), cam

    def forward_map(self, x: Tensor) -> Tensor:
        """Return the map of logits, presence minus absence: N x 1 x h x w.

        ``x``: float, N x 3 x H x W of any size, normalised by ``normalise``.
        """
        logits: Tensor = self.classifier(self.body(x))
        return logits[:, 1:2] - logits[:, 0:1]

    def pool(self, cam: Tensor) -> Tensor:
        """Return one uncalibrated logit per map of ``cam`` (N x 1 x h x w): N."""
        cells = cam.flatten(1)
        if self.pooling == "gap":
            return cells.mean(1)
        if self.pooling == "max":
            return cells.amax(1)
        if self.pooling == "topk":
            return cells.topk(min(self.top_cells, cells.shape[1]), dim=1)[0].mean(1)
        log_mean_exp = torch.logsumexp(cells * self.lse_sharpness, 1) - math.log(cells.shape[1])
        return log_mean_exp / self.lse_sharpness

    def calibrate(self, logits: Tensor) -> Tensor:
        """Return the probability of a hornet, 0..1, for each pooled logit."""
        return torch.sigmoid(logits * self.scale + self.offset)

    def load_backbone(self, weights: Path | str, fresh: Collection[str] = ()) -> None:
        """Load ``body`` from a ResNet18 state dict in torchvision's layout, of any float type.

        ``weights``: a file, or ``imagenet`` to download torchvision's. Parameters whose names start with
        one of ``fresh`` (such as ``layer4.1``) keep their random values. Raises ModelError if the state dict
        cannot be read or is not that of a ResNet18.
        """
        state = _read_state(weights)
        own = self.body.state_dict()
        given = {name: state[name] for name in own if name in state and not name.startswith(tuple(fresh))}
        missing = [name for name in own if name not in given and not name.startswith(tuple(fresh))]
        if missing:
            raise ModelError(
                f"{weights}: not a ResNet18: lacks {len(missing)} parameters, such as {missing[0]}"
            )
        try:
            self.body.load_state_dict(own | given)
        except RuntimeError as error:
            raise ModelError(f"{weights}: not a ResNet18: {error}") from error


def normalise(x: Tensor) -> Tensor:
    """Return pixels (N x 3 x H x W, RGB, 0..255) normalised for the network."""
    mean = torch.tensor(MEAN, device=x.device).view(3, 1, 1)
    std = torch.tensor(STD, device=x.device).view(3, 1, 1)
    return (x.float() / 255.0 - mean) / std


def best_device() -> torch.device:
    """Return the GPU if torch can use one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def mixed_precision(device: torch.device, *, wanted: bool) -> torch.autocast:
    """Return a context that computes convolutions in bfloat16, if ``wanted`` and supported in hardware.

    Emulation is useless: on a CPU with AVX2 only, a batch took 43 seconds instead of 2.5.
    """
    if device.type == "cuda":
        supported = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        supported = torch.cpu._is_avx512_bf16_supported()
    return torch.autocast(device.type, torch.bfloat16, enabled=wanted and supported)


def download_imagenet() -> dict[str, Tensor]:
    """Return torchvision's ImageNet weights, downloaded once and kept in torch's cache.

    Raises ModelError if they cannot be downloaded.
    """
    usual_s = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT_S)  # torch.hub would wait for a dead network forever
    try:
        state: dict[str, Tensor] = torch.hub.load_state_dict_from_url(
            IMAGENET_URL, map_location="cpu", check_hash=True
        )
    except (OSError, RuntimeError, HTTPException) as error:
        raise ModelError(
            f"ImageNet's weights cannot be downloaded ({error}). Either connect to the internet, or name a"
            f" file to start from with --weights: {Path(IMAGENET_URL).name}, downloaded elsewhere from"
            f" {IMAGENET_URL}, or a hivewatch model (.pt) or checkpoint (.ckpt)"
        ) from error
    finally:
        socket.setdefaulttimeout(usual_s)
    return state


def _read_state(weights: Path | str) -> dict[str, Tensor]:
    if weights == IMAGENET:
        return download_imagenet()
    try:
        state = torch.load(weights, map_location="cpu", weights_only=True)
    except Exception as error:  # The unpickler may raise anything on foreign bytes.
        raise ModelError(f"{weights}: cannot be read as weights to start from ({error})") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ModelError(f"{weights}: not a state dict; give that of a ResNet18, or 'imagenet'")
    return state
