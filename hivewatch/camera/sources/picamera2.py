"""The Raspberry Pi's own camera, through picamera2 on libcamera.

picamera2 keeps the newest finished frame and gives the others back to the camera. It is asked for one frame
at a time, so a slow reader gets a fresh picture and not a queue of old ones. Each buffer is copied and handed
back at once; what libcamera really gave, which need not be what it was asked for, is converted afterwards.

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

_WANTED_FORMAT = "BGR888"  # R, G, B in memory: no conversion needed
_BUFFERS = 4  # one kept by picamera2, one being copied here, and two for the camera to fill
_POLL_S = 0.2  # how long a wait may go on before the stop event is looked at
_EARLY = 0.1  # a frame may come this share of the interval early: no two clocks agree
_STALE_S = 1.0  # at the least; at low rates a frame is stale after three intervals

_INSTALL = (
    "Install it with `apt install python3-picamera2 --no-install-recommends` "
    "and make the venv with --system-site-packages."
)
_LOOK = (
    "Check that the cable sits firmly at both ends, and that `rpicam-hello --list-cameras` shows the camera."
)
_IN_USE = "Another program has it: stop that one (`fuser -v /dev/media*` names it)."


@dataclass(frozen=True, slots=True)
class _Stream:
    """A started camera and what it really gives; ``turn``: its pictures still stand on their head."""

    camera: Any
    pixel_format: str
    size_px: tuple[int, int]
    stride_bytes: int
    turn: bool

    def rgb(self, buffer: Pixels) -> Pixels:
        """Return the picture in ``buffer``, upright."""
        picture = to_rgb(buffer, self.pixel_format, self.size_px, self.stride_bytes)
        return np.asarray(cv2.rotate(picture, cv2.ROTATE_180), np.uint8) if self.turn else picture


@dataclass(frozen=True, slots=True, eq=False)
class _Shot:
    """One captured buffer; ``number`` counts what the camera completed, ``monotonic_s`` is its exposure."""

    buffer: Pixels
    number: int
    monotonic_s: float


class Picamera2Camera:
    """A Camera that gives at most ``rate_hz`` fresh frames a second, in the size the camera settles for."""

    def __init__(self, config: CameraConfig) -> None:
        """Keep the settings; nothing is opened before the first frame is asked for."""
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
        """``dropped`` counts the frames that were due, and finished, while the reader was busy."""
        return self._counts

    def frames(self, stop: threading.Event) -> Generator[Frame]:
        """Open the camera, yield frames until ``stop`` is set, and close it however this ends.

        Raises CameraError when there is no camera, it is in use, its pictures cannot be read, or no fresh
        frame comes within ``timeout_s`` of when it was due.
        """
        with _opened(self.name, self._config) as stream:
            previous: _Shot | None = None
            for sequence in itertools.count():
                with _as_camera_error(f"{self.name} failed while capturing", _LOOK):
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
        """Return the next frame that is due and fresh, or None once ``stop`` is set."""
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
            # Only a camera that cannot be slowed down to the rate we asked for gives frames early.
            if not is_due:
                stop.wait(early_s)
        return None

    def _request(self, camera: Any, deadline_s: float, stop: threading.Event) -> Any | None:
        """Wait for the next finished request of picamera2; None once ``stop`` is set."""
        # Waiting in slices for one job: a job given up would later take a buffer that nobody returns.
        job = camera.capture_request(wait=False)
        while not stop.is_set():
            if time.monotonic() > deadline_s:
                raise CameraError(
                    f"no fresh frame from {self.name} within {self._config.timeout_s:g} s. {_LOOK}"
                )
            with suppress(TimeoutError):
                return camera.wait(job, timeout=_POLL_S)
        return None

    def _missed(self, previous: _Shot, shot: _Shot) -> int:
        """Count the frames between two shots that the camera made and that were due."""
        made = shot.number - previous.number - 1
        due = round((shot.monotonic_s - previous.monotonic_s) / self._interval_s) - 1
        return max(0, min(made, due))


def _exposed(metadata: dict[str, Any]) -> tuple[float, float]:
    """Return when a frame was exposed, on the clock of time.monotonic(), and its age; in seconds."""
    stamp_ns = metadata.get("SensorTimestamp")
    if stamp_ns is None:
        raise CameraError("the camera does not say when its frames were taken (no SensorTimestamp)")
    now_ns = time.monotonic_ns()
    # libcamera documents CLOCK_BOOTTIME, its drivers stamp with CLOCK_MONOTONIC. Boot time also counts the
    # time spent suspended, so a stamp ahead of the monotonic clock can only be boot time.
    clock_ns = now_ns if stamp_ns <= now_ns else time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    age_ns = clock_ns - stamp_ns
    if age_ns < 0:
        raise CameraError(f"the camera stamps its frames {-age_ns / 1e9:.3f} s ahead of this machine's clock")
    return (now_ns - age_ns) / 1e9, age_ns / 1e9


@contextmanager
def _opened(name: str, config: CameraConfig) -> Iterator[_Stream]:
    """Give the started camera, and close it on the way out."""
    with _as_camera_error("picamera2 cannot be loaded", _INSTALL):
        import libcamera
        import picamera2
    camera = _open(name, picamera2.Picamera2, config.picamera2.index)
    try:
        with _as_camera_error(f"{name} cannot be started", _LOOK):
            stream = _start(camera, libcamera, config)
        log.info("%s gives %s, %d x %d pixels", name, stream.pixel_format, *stream.size_px)
        yield stream
    finally:
        _close(name, camera)


def _open(name: str, picamera2_class: Any, index: int) -> Any:
    """Return the camera with that number, for this process alone."""
    with _as_camera_error(f"{name} cannot be opened", _LOOK):
        found = [str(camera.get("Model", camera["Id"])) for camera in picamera2_class.global_camera_info()]
        if index >= len(found):
            there = f"only {', '.join(found)}" if found else "none at all"
            raise CameraError(f"there is no camera number {index}: libcamera sees {there}. {_LOOK}")
        return picamera2_class(index)


def _start(camera: Any, libcamera: Any, config: CameraConfig) -> _Stream:
    """Configure and start the camera, and tell what it settled for."""
    interval_us = round(1e6 / config.rate_hz)
    turned = libcamera.Transform(hflip=config.picamera2.rotate_180, vflip=config.picamera2.rotate_180)
    can_pace = "FrameDurationLimits" in camera.camera_controls
    camera.configure(
        camera.create_video_configuration(
            main={"size": (config.width_px, config.height_px), "format": _WANTED_FORMAT},
            transform=turned,
            colour_space=libcamera.ColorSpace.Smpte170m(),  # BT.601, limited range: what to_rgb takes YUV for
            buffer_count=_BUFFERS,
            controls={"FrameDurationLimits": (interval_us, interval_us)} if can_pace else {},
        )
    )
    given = camera.camera_configuration()
    camera.start()
    return _Stream(
        camera=camera,
        pixel_format=given["main"]["format"],
        size_px=given["main"]["size"],
        stride_bytes=given["main"]["stride"],
        turn=config.picamera2.rotate_180 and given["transform"] != turned,
    )


def _close(name: str, camera: Any) -> None:
    """Close the camera; a fault here is logged, so that it cannot hide why the camera is being closed."""
    try:
        camera.cancel_all_and_flush()
        camera.close()
    except (RuntimeError, OSError) as error:
        log.warning("%s did not close cleanly: %s", name, error)


@contextmanager
def _as_camera_error(fault: str, advice: str) -> Iterator[None]:
    """Turn whatever picamera2 raises (it documents nothing) into a CameraError that names the root cause."""
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
