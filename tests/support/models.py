"""A small model file for tests."""

from __future__ import annotations

from pathlib import Path


def make_untrained_model(path: Path) -> Path:
    """Write a valid model file in the released format, with random weights; return ``path``."""
    import torch

    from hivewatch.training.export import Description, export_model
    from hivewatch.training.model.network import HornetNet

    torch.manual_seed(0)
    description = Description(
        name="untrained",
        version="0",
        box_level=0.2,
        training_data="none",
        licence="Apache-2.0",
        input_long_side_px=128,
    )
    export_model(HornetNet(), path, description)
    return path
