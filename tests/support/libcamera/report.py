"""Run hivewatch's Picamera2Camera on the virtual camera and print the measurements as JSON.

It checks nothing: tests/integration/test_picamera2_real.py does. With an argument, it only tries to open the
camera with that number.
"""

import json
import sys
import threading
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

import virtual_camera

from hivewatch.camera.devices import pi_cameras
from hivewatch.camera.sources.picamera2 import Picamera2Camera
from hivewatch.config.sections import CameraConfig
from hivewatch.domain.frames import Frame
from hivewatch.errors import CameraError

SLOW_READER_S = 0.5


def camera(**options: Any) -> Picamera2Camera:
    """Return a camera that requests an existing size."""
    return Picamera2Camera(CameraConfig(kind="picamera2", **{"width_px": 1024, "height_px": 768, **options}))


def frames_of(source: Picamera2Camera) -> Iterator[Frame]:
    """Return the frames, without a stop."""
    return source.frames(threading.Event())


def described(frame: Frame) -> dict[str, Any]:
    """Return the properties of ``frame`` that the tests check, as of now."""
    return {
        "shape": frame.pixels.shape,
        "sequence": frame.sequence,
        "monotonic_s": frame.monotonic_s,
        "age_s": time.monotonic() - frame.monotonic_s,
        "age_by_clock_s": time.time() - frame.taken_at.timestamp(),
    }


def error_of(source: Picamera2Camera) -> str:
    """Return the message of the CameraError that ends the frames."""
    try:
        for _ in frames_of(source):
            pass
    except CameraError as error:
        return str(error)
    raise AssertionError("the frames ended without an error")


def listed() -> list[tuple[int, str]]:
    """Return number and model of each camera that ``hivewatch init`` would offer."""
    return [(one.index, one.model) for one in pi_cameras()]


def steady() -> dict[str, Any]:
    """Take frames for two seconds, at a rate below the camera's."""
    frames = frames_of(camera(rate_hz=10))
    first, *others = [(frame, described(frame)) for frame in islice(frames, 20)]
    frames.close()
    pixels = first[0].pixels
    return {
        "frames": [first[1], *(description for _, description in others)],
        "top_row": pixels[0].tolist(),
        "bottom_row": pixels[-1].tolist(),
        "is_open_after_close": virtual_camera.VirtualPicamera2.latest.is_open,
    }


def fastest() -> float:
    """Return the frame rate when a higher one is requested than the camera can deliver."""
    frames = frames_of(camera(rate_hz=120))
    taken = [frame.monotonic_s for frame in islice(frames, 120)]
    frames.close()
    return (len(taken) - 1) / (taken[-1] - taken[0])


def slow_reader() -> dict[str, Any]:
    """Take frames more slowly than they arrive."""
    source = camera(rate_hz=20)
    frames = frames_of(source)
    seen = []
    for frame in islice(frames, 4):
        seen.append(described(frame))
        time.sleep(SLOW_READER_S)
    frames.close()
    return {"frames": seen, "dropped": source.counts.dropped}


def other_sizes() -> dict[str, Any]:
    """Request a smaller size that the camera has, and one that it does not have."""
    shapes = {}
    for width_px, height_px in ((640, 512), (1280, 720)):
        frames = frames_of(camera(width_px=width_px, height_px=height_px))
        shapes[f"{width_px}x{height_px}"] = next(frames).pixels.shape
        frames.close()
    return shapes


def stopped_while_frames_come() -> float:
    """Return the seconds from the stop event to the end of the frames."""
    stop = threading.Event()
    asked_s = 0.0
    for frame in camera(rate_hz=10).frames(stop):
        if frame.sequence == 2:
            stop.set()
            asked_s = time.monotonic()
    return time.monotonic() - asked_s


def stopped_while_none_come() -> float:
    """Return the same for a camera that delivers no more frames."""
    stop = threading.Event()
    frames = camera(timeout_s=60).frames(stop)
    next(frames)
    held = virtual_camera.hold_all_buffers()
    threading.Timer(0.7, stop.set).start()
    asked_s = time.monotonic() + 0.7
    assert next(frames, None) is None, f"a frame although all {len(held)} buffers are held"
    return time.monotonic() - asked_s


def dying() -> dict[str, Any]:
    """Stop the camera during a capture, which kills a thread of picamera2, then reopen it."""
    source = camera(timeout_s=1, rate_hz=20)
    frames = frames_of(source)
    next(frames)
    virtual_camera.VirtualPicamera2.latest.camera.stop()
    started_s = time.monotonic()
    try:
        for _ in frames:
            pass
    except CameraError as error:
        message = str(error)
    waited_s = time.monotonic() - started_s
    again = frames_of(source)
    sequence = next(again).sequence
    again.close()
    return {"error": message, "waited_s": waited_s, "sequence_after_reopening": sequence}


def starved() -> str:
    """Return the message when the camera runs but delivers no frames."""
    frames = frames_of(camera(timeout_s=1))
    next(frames)
    held = virtual_camera.hold_all_buffers()
    try:
        next(frames)
    except CameraError as error:
        return str(error)
    raise AssertionError(f"a frame although all {len(held)} buffers are held")


def in_use() -> str:
    """Return the message that a second consumer gets while a first one has the camera open."""
    frames = frames_of(camera())
    next(frames)
    message = error_of(camera())
    frames.close()
    return message


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(error_of(camera(picamera2={"index": int(sys.argv[1])}))))
    else:
        parts = (
            listed,
            steady,
            fastest,
            slow_reader,
            other_sizes,
            stopped_while_frames_come,
            stopped_while_none_come,
        )
        print(json.dumps({part.__name__: part() for part in (*parts, starved, dying, in_use)}))
