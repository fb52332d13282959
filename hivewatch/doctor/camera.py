"""The camera: is it there, is its picture fresh, lit and sharp?"""

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

# A camera needs some frames to find exposure and white balance.
_FRAMES, _LOOK_S = 15, 3.0
_LONGEST_LOOK_S = 20.0
_JPEG_QUALITY = 95
_STOP = "to have it examined stop what uses it: `sudo systemctl stop hivewatch`, and `start` afterwards"


def camera(config: Config, *, daemon_runs: bool) -> Iterator[Finding]:
    """Look through the camera for some seconds; one that is in use is not disturbed."""
    devices = camera_devices(config.camera)
    users = holders(devices)
    if users or (daemon_runs and devices):
        by = f"by {', '.join(users)}" if users else "by the hivewatch that runs"
        yield warn("camera", f"in use {by}: not looked through", _STOP)
        return
    try:
        frames = _take(config.camera)
    except CameraError as error:
        if daemon_runs:
            yield warn("camera", f"not to be had, and hivewatch runs: perhaps it is in use. {error}", _STOP)
        else:
            yield fail("camera", str(error), "put that right, then `hivewatch preview` shows what it sees")
        return
    yield from _judge(config.camera, frames)


def _take(config: CameraConfig) -> Sequence[Frame]:
    """Return the frames of the first seconds; raises CameraError, also where there is none."""
    # The daemon is patient with a camera that is away; the doctor asks once.
    video = config.video.model_copy(update={"give_up_after_s": 1.0})
    source = open_camera(config.model_copy(update={"video": video}))
    frames: list[Frame] = []
    stop = threading.Event()
    timer = threading.Timer(_LONGEST_LOOK_S, stop.set)
    timer.start()
    began_s = time.monotonic()
    try:
        with closing(source.frames(stop)) as opened:
            for frame in opened:
                frames.append(frame)
                if len(frames) >= _FRAMES and time.monotonic() - began_s >= _LOOK_S:
                    break
    finally:
        timer.cancel()
    if not frames:
        raise CameraError(f"no frame from {source.name} within {_LONGEST_LOOK_S:.0f} s; check its cable")
    return frames


def _judge(config: CameraConfig, frames: Sequence[Frame]) -> Iterator[Finding]:
    first, last = frames[0], frames[-1]
    lasted_s = last.monotonic_s - first.monotonic_s
    rate = f" at {(len(frames) - 1) / lasted_s:.1f} a second" if lasted_s > 0 else ""
    found = f"{last.source} gives {last.width_px} x {last.height_px} pixels{rate}; {_keep_picture(last)}"
    if config.kind in ("picamera2", "video") and _stands_still(frames):
        yield fail(
            "camera", f"{found}; all pictures are the same", "open the camera afresh: unplug it, or reboot"
        )
    elif config.kind == "simulator":
        yield warn("camera", f"{found}; it is drawn, no hive is watched", "set camera.kind to your camera")
    else:
        yield ok("camera", found)
    yield _light(light(last.pixels))
    yield _sharpness(sharpness(last.pixels))


def _stands_still(frames: Sequence[Frame]) -> bool:
    """Tell whether no two pictures differ; a sensor's noise makes no two alike."""
    return len(frames) > 1 and all(np.array_equal(frames[0].pixels, frame.pixels) for frame in frames[1:])


def _keep_picture(frame: Frame) -> str:
    descriptor, path = tempfile.mkstemp(prefix="hivewatch-doctor-", suffix=".jpg")
    os.fchmod(descriptor, 0o644)  # a person fetches it, who is not the service's user
    os.close(descriptor)
    try:
        Path(path).write_bytes(encode_jpeg(frame.pixels, _JPEG_QUALITY))
    except (OSError, StoreError) as error:
        return f"the picture could not be written to {path}: {error}"
    return f"picture: {path}"


def _light(level: float) -> Finding:
    found = f"mean {level:.0f} of 255"
    if level < DARK:
        return warn("light", f"{found}: dark", "natural at night; by day: is the cap off, is the lens free?")
    if level > BRIGHT:
        return warn("light", f"{found}: glaring", "no sun in the lens, and no glass that mirrors it")
    return ok("light", found)


def _sharpness(share: float) -> Finding:
    found = f"{share:.0%}"
    if share < SHARP:
        advice = (
            "clean and focus the lens while `hivewatch preview` shows the figure: turn until it is highest"
        )
        return warn("sharpness", f"{found}, below {SHARP:.0%}: blurred, or there is nothing in view", advice)
    return ok("sharpness", found)
