"""Fold batch norms into the convolutions before them, and load a folded network's weights again."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from hivewatch.training.model.network import HornetNet


def fold(net: HornetNet) -> HornetNet:
    """Return a copy of ``net`` on the CPU with each batch norm folded into the convolution before it."""
    folded = copy.deepcopy(net).cpu().float().eval()
    body: Any = folded.body
    body.conv1, body.bn1 = fuse_conv_bn_eval(body.conv1, body.bn1), nn.Identity()
    for block in (*body.layer1, *body.layer2, *body.layer3, *body.layer4):
        block.conv1, block.bn1 = fuse_conv_bn_eval(block.conv1, block.bn1), nn.Identity()
        block.conv2, block.bn2 = fuse_conv_bn_eval(block.conv2, block.bn2), nn.Identity()
        if block.downsample is not None:
            block.downsample = fuse_conv_bn_eval(block.downsample[0], block.downsample[1])
    return folded


def load_folded(net: HornetNet, folded: dict[str, Tensor]) -> None:
    """Load the body and classifier of a folded network into ``net``, which then computes the same.

    Each batch norm becomes an identity that only adds the folded bias.
    """
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
