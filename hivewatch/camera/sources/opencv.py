"""What every camera that decodes through OpenCV needs: colours in our order, and quiet libraries."""

from __future__ import annotations

import os
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from hivewatch.domain.frames import Pixels

_TO_RGB = {1: cv2.COLOR_GRAY2RGB, 3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGB}

# OpenCV takes both from the environment alone. A packet that its container says is incomplete would be
# decoded to a half grey picture, so it is thrown away before the decoder.
_ENVIRONMENT = {
    "OPENCV_FFMPEG_CAPTURE_OPTIONS": "rtsp_transport;tcp|fflags;discardcorrupt",
    "OPENCV_FFMPEG_LOGLEVEL": "-8",
}

_LOG_LEVEL_FATAL = 1  # OpenCV moved the function and its names from one module to another


def prepare_opencv() -> None:
    """Set what OpenCV and its FFmpeg offer against a flooded journal, and how FFmpeg reads.

    Their lines never say more than our own errors do, and may hold the password of a stream. What a person
    has set in the environment stays in force.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if "OPENCV_LOG_LEVEL" not in os.environ:
        getattr(cv2.utils, "logging", cv2).setLogLevel(_LOG_LEVEL_FATAL)


def to_rgb(decoded: npt.NDArray[Any]) -> Pixels:
    """Turn OpenCV's grey, BGR or BGRA picture (uint8) into RGB; raises ValueError for anything else."""
    channels = 1 if decoded.ndim == 2 else decoded.shape[2]
    if decoded.dtype != np.uint8 or channels not in _TO_RGB:
        raise ValueError(f"pixels of a kind that is not known: {decoded.dtype}, {channels} channels")
    return np.asarray(cv2.cvtColor(decoded, _TO_RGB[channels]), dtype=np.uint8)
