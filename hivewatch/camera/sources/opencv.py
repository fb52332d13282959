"""Shared by all cameras that decode with OpenCV: quiet libraries, and conversion to RGB."""

from __future__ import annotations

import os
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from hivewatch.domain.frames import Pixels

_TO_RGB = {1: cv2.COLOR_GRAY2RGB, 3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGB}

# OpenCV reads these from the environment only. discardcorrupt drops packets that the container marks as
# incomplete, which would decode to a half grey picture.
_ENVIRONMENT = {
    "OPENCV_FFMPEG_CAPTURE_OPTIONS": "rtsp_transport;tcp|fflags;discardcorrupt",
    "OPENCV_FFMPEG_LOGLEVEL": "-8",
}

_LOG_LEVEL_FATAL = 1  # the function and its constants moved between modules of OpenCV


def prepare_opencv() -> None:
    """Silence the logs of OpenCV and FFmpeg, and set FFmpeg's options for reading.

    Their lines would flood the journal, add nothing to our own errors, and may contain the password of a
    stream. Variables that are already set in the environment stay in force.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if "OPENCV_LOG_LEVEL" not in os.environ:
        getattr(cv2.utils, "logging", cv2).setLogLevel(_LOG_LEVEL_FATAL)


def to_rgb(decoded: npt.NDArray[Any]) -> Pixels:
    """Return OpenCV's grey, BGR or BGRA picture (uint8) as RGB; raises ValueError for anything else."""
    channels = 1 if decoded.ndim == 2 else decoded.shape[2]
    if decoded.dtype != np.uint8 or channels not in _TO_RGB:
        raise ValueError(f"unsupported pixels: {decoded.dtype}, {channels} channels")
    return np.asarray(cv2.cvtColor(decoded, _TO_RGB[channels]), dtype=np.uint8)
