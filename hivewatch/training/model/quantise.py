"""Quantise the network to int8: a quarter of the width, and two to four times faster.

Post-training static quantisation: activation ranges are calibrated on training frames, weights are rounded
per output channel. The classifier after the last feature map stays in floating point.
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
    """Return a copy of ``net`` (batch norms folded in, on the CPU) whose ``body`` is quantised.

    ``frames``: uint8, H x W x 3, at input size, typical of what the network will see; a few dozen are enough.
    Raises ModelError if torch has no engine for quantised networks, ValueError if there are no frames.
    """
    if not frames:
        raise ValueError("quantisation needs frames to calibrate on")
    use_quantised_engine()
    # The full eight bits: qnnpack on a Raspberry Pi does not saturate. See use_quantised_engine.
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
