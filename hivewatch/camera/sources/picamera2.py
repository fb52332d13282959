"""The Raspberry Pi camera, through picamera2 and libcamera.

picamera2 keeps the newest completed frame and returns all others to the camera. It is asked for one frame at
a time, so a slow consumer gets a fresh picture and not a queue of old ones. Each buffer is copied, returned
immediately, and then converted from the format that libcamera chose, which may differ from the requested one.

The packages come from apt and are imported only when the camera is opened.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import cv2
import numpy as np

from hivewatch.camera.base import CameraCounts
from hivewatch.camera.sources.pixel_formats import to_rgb
from hivewatch.config.sections import CameraConfig
from hivewatch.domain.frames import Frame, Pixels
from hivewatch.errors import CameraError

log = logging.getLogger(__name__)

_WANTED_FORMAT = "BGR888"  # R, G, B in memory: needs no conversion
_BUFFERS = 4  # one kept by picamera2, one being copied here, two for the camera to fill
_POLL_S = 0.2  # between two checks of the stop event
_EARLY = 0.1  # the share of the interval that a frame may be early: no two clocks agree
_STALE_S = 1.0  # at least; at low rates a frame is stale after three intervals

_INSTALL = (
    "Install it with `apt install python3-picamera2 --no-install-recommends` "
    "and create the venv with --system-site-packages."
)
_CHECK_CABLE = (
    "Check that the cable is firmly seated at both ends,"
    " and that `rpicam-hello --list-cameras` shows the camera."
)
_IN_USE = "Another program has it open: stop that program (`fuser -v /dev/media*` names it)."


@dataclass(frozen=True, slots=True)
class _Stream:
    """A running camera and its actual format; with ``rotate``, its pictures are still upside down."""

    camera: Any
    pixel_format: str
    size_px: tuple[int, int]
    stride_bytes: int
    rotate: bool

    def rgb(self, buffer: Pixels) -> Pixels:
        """Return the picture in ``buffer``, upright."""
        picture = to_rgb(buffer, self.pixel_format, self.size_px, self.stride_bytes)
        return np.asarray(cv2.rotate(picture, cv2.ROTATE_180), np.uint8) if self.rotate else picture


@dataclass(frozen=True, slots=True, eq=False)
class _Shot:
    """A captured buffer; ``number`` counts the camera's frames, ``monotonic_s`` is the exposure."""

    buffer: Pixels
    number: int
    monotonic_s: float


class Picamera2Camera:
    """Yields at most ``rate_hz`` fresh frames per second, in the size that the camera chooses."""

    def __init__(self, config: CameraConfig) -> None:
        """Keep the settings; the camera is opened at the first frame."""
        self._config = config
        self._counts = CameraCounts()
        self._interval_s = 1 / config.rate_hz
        self.is_live = True

    @property
    def name(self) -> str:
        """``picamera2:`` and the number of the camera."""
        return f"picamera2:{self._config.picamera2.index}"

    @property
    def counts(self) -> CameraCounts:
        """``dropped`` counts the frames that were due and completed while the consumer was busy."""
        return self._counts

    def frames(self, stop: threading.Event) -> Generator[Frame]:
        """Open the camera, yield frames until ``stop`` is set, and always close it.

        Raises CameraError if there is no camera, it is in use, its pictures cannot be read, or no fresh frame
        arrives within ``timeout_s`` after it was due.
        """
        with _opened(self.name, self._config) as stream:
            previous: _Shot | None = None
            for sequence in itertools.count():
                with _as_camera_error(f"{self.name} failed while capturing", _CHECK_CABLE):
                    shot = self._next_shot(stream, previous, stop)
                    if shot is None:
                        return
                    pixels = stream.rgb(shot.buffer)
                if previous is not None:
                    self._counts.dropped += self._missed(previous, shot)
                previous = shot
                taken_at = datetime.now(UTC) - timedelta(seconds=time.monotonic() - shot.monotonic_s)
                yield Frame(pixels, taken_at, shot.monotonic_s, sequence, self.name)

    def _next_shot(self, stream: _Stream, previous: _Shot | None, stop: threading.Event) -> _Shot | None:
        """Return the next frame that is due and fresh; None once ``stop`` is set."""
        deadline_s = time.monotonic() + self._interval_s + self._config.timeout_s
        while (request := self._request(stream.camera, deadline_s, stop)) is not None:
            try:
                monotonic_s, age_s = _exposed(request.get_metadata())
                early_s = 0.0
                if previous is not None:
                    early_s = previous.monotonic_s + self._interval_s - monotonic_s
                is_due = early_s <= _EARLY * self._interval_s
                if is_due and age_s <= max(_STALE_S, 3 * self._interval_s):
                    return _Shot(request.make_buffer("main"), request.request.sequence, monotonic_s)
            finally:
                request.release()
            # Only a camera that cannot be slowed to the requested rate delivers frames early.
            if not is_due:
                stop.wait(early_s)
        return None

    def _request(self, camera: Any, deadline_s: float, stop: threading.Event) -> Any | None:
        """Wait for picamera2's next completed request; None once ``stop`` is set."""
        # Wait in slices for the same job: an abandoned job would later take a buffer and never return it.
        job = camera.capture_request(wait=False)
        while not stop.is_set():
            if time.monotonic() > deadline_s:
                raise CameraError(
                    f"no fresh frame from {self.name} within {self._config.timeout_s:g} s. {_CHECK_CABLE}"
                )
            with suppress(TimeoutError):
                return camera.wait(job, timeout=_POLL_S)
        return None

    def _missed(self, previous: _Shot, shot: _Shot) -> int:
        """Return how many frames between two shots were both completed by the camera and due."""
        completed = shot.number - previous.number - 1
        due = round((shot.monotonic_s - previous.monotonic_s) / self._interval_s) - 1
        return max(0, min(completed, due))


def _exposed(metadata: dict[str, Any]) -> tuple[float, float]:
    """Return when a frame was exposed, on the clock of time.monotonic(), and its age, both in seconds."""
    stamp_ns = metadata.get("SensorTimestamp")
    if stamp_ns is None:
        raise CameraError("the camera does not report when its frames were taken (no SensorTimestamp)")
    now_ns = time.monotonic_ns()
    # libcamera documents CLOCK_BOOTTIME, but its drivers use CLOCK_MONOTONIC. Boot time includes suspended
    # time, so a stamp ahead of the monotonic clock can only be boot time.
    clock_ns = now_ns if stamp_ns <= now_ns else time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    age_ns = clock_ns - stamp_ns
    if age_ns < 0:
        raise CameraError(f"the camera's timestamps are {-age_ns / 1e9:.3f} s ahead of this machine's clock")
    return (now_ns - age_ns) / 1e9, age_ns / 1e9


@contextmanager
def _opened(name: str, config: CameraConfig) -> Iterator[_Stream]:
    """Yield the running camera, and close it at the end."""
    with _as_camera_error("picamera2 cannot be loaded", _INSTALL):
        import libcamera
        import picamera2
    camera = _open(name, picamera2.Picamera2, config.picamera2.index)
    try:
        with _as_camera_error(f"{name} cannot be started", _CHECK_CABLE):
            stream = _start(camera, libcamera, config)
        log.info("%s delivers %s, %d x %d pixels", name, stream.pixel_format, *stream.size_px)
        yield stream
    finally:
        _close(name, camera)


def _open(name: str, picamera2_class: Any, index: int) -> Any:
    """Return the camera with number ``index``, opened for this process alone."""
    with _as_camera_error(f"{name} cannot be opened", _CHECK_CABLE):
        found = [str(camera.get("Model", camera["Id"])) for camera in picamera2_class.global_camera_info()]
        if index >= len(found):
            seen = f"only {', '.join(found)}" if found else "none at all"
            raise CameraError(f"there is no camera number {index}: libcamera sees {seen}. {_CHECK_CABLE}")
        return picamera2_class(index)


def _start(camera: Any, libcamera: Any, config: CameraConfig) -> _Stream:
    """Configure and start the camera; return it with the format it chose."""
    interval_us = round(1e6 / config.rate_hz)
    transform = libcamera.Transform(hflip=config.picamera2.rotate_180, vflip=config.picamera2.rotate_180)
    can_pace = "FrameDurationLimits" in camera.camera_controls
    camera.configure(
        camera.create_video_configuration(
            main={"size": (config.width_px, config.height_px), "format": _WANTED_FORMAT},
            transform=transform,
            colour_space=libcamera.ColorSpace.Smpte170m(),  # BT.601, limited range, as to_rgb expects of YUV
            buffer_count=_BUFFERS,
            controls={"FrameDurationLimits": (interval_us, interval_us)} if can_pace else {},
        )
    )
    actual = camera.camera_configuration()
    camera.start()
    return _Stream(
        camera=camera,
        pixel_format=actual["main"]["format"],
        size_px=actual["main"]["size"],
        stride_bytes=actual["main"]["stride"],
        rotate=config.picamera2.rotate_180 and actual["transform"] != transform,
    )


def _close(name: str, camera: Any) -> None:
    """Close the camera; an error here is only logged, so that it cannot hide why the camera is closed."""
    try:
        camera.cancel_all_and_flush()
        camera.close()
    except (RuntimeError, OSError) as error:
        log.warning("%s did not close cleanly: %s", name, error)


@contextmanager
def _as_camera_error(fault: str, advice: str) -> Iterator[None]:
    """Convert any exception of picamera2, which documents none, to a CameraError with the root cause."""
    try:
        yield
    except CameraError:
        raise
    except Exception as error:
        root: BaseException = error
        while root.__cause__ is not None:
            root = root.__cause__
        what_to_do = _IN_USE if "resource busy" in str(root) else advice
        raise CameraError(f"{fault}: {root or type(root).__name__}. {what_to_do}") from error
