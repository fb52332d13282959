"""Video through OpenCV: selects the camera for a device, a network stream or a file."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import cv2

from hivewatch.camera.base import Camera, OnIdle
from hivewatch.camera.sources.clip import ClipCamera
from hivewatch.camera.sources.stream import StreamCamera
from hivewatch.config.sections import CameraConfig
from hivewatch.domain.redaction import public_name


def video_camera(config: CameraConfig, *, paced: bool, on_idle: OnIdle = lambda: None) -> Camera:
    """Return the camera for ``camera.video.source``; the source is opened at the first frame.

    ``/dev/...`` or a bare number is a V4L2 device, ``scheme://...`` a network stream (both: StreamCamera),
    anything else a file (ClipCamera): in real time if ``paced``, else as fast as it is consumed. Each yields
    at most ``camera.rate_hz`` frames a second, a file in its own time.
    """
    source = config.video.source
    if source.isdecimal() or source.startswith("/dev/"):
        device = int(source) if source.isdecimal() else source
        name = f"/dev/video{source}" if source.isdecimal() else source
        return StreamCamera(partial(_open_device, device, config), name, config, on_idle)
    if "://" in source:
        return StreamCamera(partial(_open_url, source, config), public_name(source), config, on_idle)
    return ClipCamera(Path(source), fallback_rate_hz=config.rate_hz, paced=paced, rate_hz=config.rate_hz)


def _open_url(url: str, config: CameraConfig) -> cv2.VideoCapture:
    timeout_ms = max(1, round(config.timeout_s * 1000))
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, timeout_ms, cv2.CAP_PROP_READ_TIMEOUT_MSEC, timeout_ms]
    return cv2.VideoCapture(url, cv2.CAP_FFMPEG, limits)


def _open_device(device: int | str, config: CameraConfig) -> cv2.VideoCapture:
    """Request the configured size and rate; a device may choose others, which is not a fault."""
    capture = cv2.VideoCapture(device, cv2.CAP_V4L2)
    if capture.isOpened():
        # MJPG first: USB 2 carries only a few raw pictures of this size per second.
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, config.width_px)
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, config.height_px)
        capture.set(cv2.CAP_PROP_FPS, config.rate_hz)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        capture.set(cv2.CAP_PROP_READ_TIMEOUT_MSEC, round(config.timeout_s * 1000))
    return capture
