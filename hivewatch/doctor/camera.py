"""Checks the camera: whether it works, and whether its picture is fresh, well lit and sharp."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from hivewatch.camera.base import open_camera
from hivewatch.camera.devices import camera_devices, holders
from hivewatch.camera.focus import BRIGHT, DARK, SHARP, light, sharpness
from hivewatch.config.sections import CameraConfig, Config
from hivewatch.doctor.finding import Finding, fail, ok, warn
from hivewatch.domain.frames import Frame
from hivewatch.errors import CameraError, StoreError
from hivewatch.messages.jpeg import encode_jpeg

# A camera needs some frames to settle its exposure and white balance.
_LEAST_FRAMES, _LEAST_S = 15, 3.0
_TIMEOUT_S = 20.0
_JPEG_QUALITY = 95
_STOP = (
    "to test it, stop the program that uses it: `sudo systemctl stop hivewatch`,"
    " and `sudo systemctl start hivewatch` afterwards"
)


def check_camera(config: Config, *, daemon_runs: bool) -> Iterator[Finding]:
    """Record a few seconds from the camera, unless another program is using it."""
    devices = camera_devices(config.camera)
    users = holders(devices)
    if users or (daemon_runs and devices):
        by = f"by {', '.join(users)}" if users else "by the running hivewatch"
        yield warn("camera", f"in use {by}: not tested", _STOP)
        return
    try:
        frames = _record(config.camera)
    except CameraError as error:
        if daemon_runs:
            yield warn("camera", f"not available; perhaps the running hivewatch is using it. {error}", _STOP)
        else:
            yield fail("camera", str(error), "fix this, then see the picture with `hivewatch preview`")
        return
    yield from _findings(config.camera, frames)


def _record(config: CameraConfig) -> Sequence[Frame]:
    """Return the frames of the first seconds; raises CameraError, also if there are none."""
    # The daemon waits patiently for a missing camera; the doctor tries once.
    video = config.video.model_copy(update={"give_up_after_s": 1.0})
    source = open_camera(config.model_copy(update={"video": video}))
    frames: list[Frame] = []
    stop = threading.Event()
    timer = threading.Timer(_TIMEOUT_S, stop.set)
    timer.start()
    start_s = time.monotonic()
    try:
        with closing(source.frames(stop)) as opened:
            for frame in opened:
                frames.append(frame)
                if len(frames) >= _LEAST_FRAMES and time.monotonic() - start_s >= _LEAST_S:
                    break
    finally:
        timer.cancel()
    if not frames:
        raise CameraError(f"no frame from {source.name} within {_TIMEOUT_S:.0f} s; check its cable")
    return frames


def _findings(config: CameraConfig, frames: Sequence[Frame]) -> Iterator[Finding]:
    first, last = frames[0], frames[-1]
    duration_s = last.monotonic_s - first.monotonic_s
    rate = f" at {(len(frames) - 1) / duration_s:.1f} frames/s" if duration_s > 0 else ""
    found = f"{last.source} delivers {last.width_px} x {last.height_px} pixels{rate}; {_save_picture(last)}"
    if config.kind in ("picamera2", "video") and _is_frozen(frames):
        yield fail(
            "camera",
            f"{found}; all frames are identical",
            "unplug the camera and plug it in again, or reboot",
        )
    elif config.kind == "simulator":
        yield warn(
            "camera", f"{found}; it is simulated, no hive is watched", "set camera.kind to your camera"
        )
    else:
        yield ok("camera", found)
    yield _light(light(last.pixels))
    yield _sharpness(sharpness(last.pixels))


def _is_frozen(frames: Sequence[Frame]) -> bool:
    """Return whether all frames are identical; with a working sensor, noise makes each one different."""
    return len(frames) > 1 and all(np.array_equal(frames[0].pixels, frame.pixels) for frame in frames[1:])


def _save_picture(frame: Frame) -> str:
    descriptor, path = tempfile.mkstemp(prefix="hivewatch-doctor-", suffix=".jpg")
    os.fchmod(descriptor, 0o644)  # the person who fetches it is not the service's user
    os.close(descriptor)
    try:
        Path(path).write_bytes(encode_jpeg(frame.pixels, _JPEG_QUALITY))
    except (OSError, StoreError) as error:
        return f"the picture could not be written to {path}: {error}"
    return f"picture: {path}"


def _light(level: float) -> Finding:
    found = f"mean {level:.0f} of 255"
    if level < DARK:
        return warn("light", f"{found}: dark", "normal at night; by day, remove the cap and uncover the lens")
    if level > BRIGHT:
        return warn("light", f"{found}: overexposed", "keep the sun and reflecting glass out of the view")
    return ok("light", found)


def _sharpness(share: float) -> Finding:
    found = f"{share:.0%}"
    if share < SHARP:
        advice = (
            "clean the lens, then focus it with `hivewatch preview`: turn it until the sharpness is highest"
        )
        return warn("sharpness", f"{found}, below {SHARP:.0%}: blurred, or nothing is in view", advice)
    return ok("sharpness", found)
