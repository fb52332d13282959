"""The network in eight-bit integers: a quarter of the arithmetic's width, and two to four times faster.

Post-training static quantisation: the ranges of all activations are observed on training frames, weights are
rounded for each output channel. The classifier after the last feature map stays in floating point.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.ao.quantization import (
    HistogramObserver,
    QConfig,
    QConfigMapping,
    default_per_channel_weight_observer,
)
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

from hivewatch.domain.frames import Pixels
from hivewatch.training.model.network import HornetNet, normalise
from hivewatch.vision.model_file import use_quantised_engine


def quantise(net: HornetNet, frames: Sequence[Pixels]) -> HornetNet:
    """Return a copy of ``net`` (batch norms folded in, on the CPU) whose ``body`` computes in integers.

    ``frames``: uint8, H x W x 3, sized as the network takes them, such as the network is to work on; some
    dozens will do. Raises ModelError where torch has no engine for such networks, ValueError without frames.
    """
    if not frames:
        raise ValueError("quantisation needs frames to observe the network on")
    use_quantised_engine()
    # The full range of eight bits: as narrow as qnnpack on a Raspberry Pi needs it. See use_quantised_engine.
    activation = HistogramObserver.with_args(reduce_range=False)
    config = QConfig(activation=activation, weight=default_per_channel_weight_observer)  # type: ignore[no-untyped-call]
    quantised = copy.deepcopy(net).float().eval()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.filterwarnings("ignore", r"(?s).*torch\.ao\.quantization is deprecated")
        warnings.filterwarnings("ignore", r"torch\.quantize_per_tensor, .* are deprecated")
        warnings.filterwarnings("ignore", r"(?s).*must run observer|.*reduce_range|.*quantile")
        observed = prepare_fx(quantised.body, QConfigMapping().set_global(config), (_input(frames[0]),))
        for frame in frames:
            observed(_input(frame))
        body: Any = convert_fx(observed)
    quantised.body = body
    return quantised


def _input(frame: Pixels) -> Tensor:
    pixels = torch.from_numpy(frame).permute(2, 0, 1)[None]
    return normalise(pixels).contiguous(memory_format=torch.channels_last)
