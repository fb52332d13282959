"""Shared by all cameras that decode with OpenCV: quiet libraries, and conversion to RGB."""

from __future__ import annotations

import os
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from hivewatch.domain.frames import Pixels

_TO_RGB = {1: cv2.COLOR_GRAY2RGB, 3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGB}

# OpenCV reads this from the environment only. discardcorrupt drops packets that the container marks as
# incomplete, which would decode to a half grey picture.
_CAPTURE_OPTIONS = "rtsp_transport;tcp|fflags;discardcorrupt"

_QUIET = "-8"  # AV_LOG_QUIET
_LOG_LEVEL_FATAL = 1  # the function and its constants moved between modules of OpenCV


def prepare_opencv() -> None:
    """Silence the logs of OpenCV and FFmpeg, and set FFmpeg's options for reading.

    Their lines would flood the journal, add nothing to our own errors, and contain the password of a stream.
    So variables that ask for such lines are overruled; options for reading that are set stay in force.
    """
    os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", _CAPTURE_OPTIONS)
    os.environ["OPENCV_FFMPEG_LOGLEVEL"] = _QUIET
    os.environ.pop("OPENCV_FFMPEG_DEBUG", None)
    getattr(cv2.utils, "logging", cv2).setLogLevel(_LOG_LEVEL_FATAL)


def to_rgb(decoded: npt.NDArray[Any]) -> Pixels:
    """Return OpenCV's grey, BGR or BGRA picture (uint8) as RGB; raises ValueError for anything else."""
    channels = 1 if decoded.ndim == 2 else decoded.shape[2]
    if decoded.dtype != np.uint8 or channels not in _TO_RGB:
        raise ValueError(f"unsupported pixels: {decoded.dtype}, {channels} channels")
    return np.asarray(cv2.cvtColor(decoded, _TO_RGB[channels]), dtype=np.uint8)
