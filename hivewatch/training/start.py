"""What a run starts from if nobody says: ImageNet's weights, or without a network the released model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hivewatch.errors import ModelError
from hivewatch.training.model.network import IMAGENET, download_imagenet
from hivewatch.vision.trust import RELEASED_MODEL


def start_weights(weights: Path | str | None, report: Callable[[str], None]) -> Path | str:
    """Return ``weights``; if None, ``imagenet`` if it can be downloaded, else the released model file.

    Raises ModelError if neither is there; the message names both ways out.
    """
    if weights is not None:
        return weights
    try:
        download_imagenet()
    except ModelError as error:
        if not RELEASED_MODEL.is_file():
            raise ModelError(f"{error}; the released model {RELEASED_MODEL} is missing, too") from error
        report(
            f"Start: the released model {RELEASED_MODEL.name}, for ImageNet's weights cannot be downloaded"
        )
        return RELEASED_MODEL
    return IMAGENET
