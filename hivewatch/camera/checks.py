"""Checks of a live camera's frames: repeated or frozen, black or white, covered, moved, or too few.

No clock and no device is read here: all times are those of the frames.
"""

from __future__ import annotations

import math
import zlib
from collections import Counter, deque
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from hivewatch.camera.scenery import Scenery
from hivewatch.config.sections import CameraConfig
from hivewatch.domain.frames import Frame, Pixels
from hivewatch.domain.status import CameraFault, CameraState, CameraStatus

# With one of these faults the camera is offline: its frames, if any, do not show the hive as it is now.
_NOT_CURRENT = frozenset({CameraFault.NO_FRAMES, CameraFault.REPEATING, CameraFault.FROZEN})

# One row in this many is compared bit for bit: sensor noise makes every row different.
_DIGEST_ROWS = 4
# A driver that has lost its camera may return a ring of old buffers.
_RING = 8
# Width of the grey copy, made of single pixels and not averaged, so that it keeps the noise.
_SAMPLE_PX = 320
_SCENERY_PX = 160
# The share of pixels that must be black or white: a lamp or a letterbox may be in view.
_NEARLY_ALL = 0.95
# The frame rate is measured over at least this time and this many frames.
_RATE_S, _RATE_FRAMES = 10.0, 10

_UNUSABLE = {CameraFault.DARK, CameraFault.WHITE, CameraFault.REPEATING}

# For each fault: True if the frame shows it, False if it does not, None if the frame cannot tell.
_Evidence = dict[CameraFault, bool | None]


class CameraChecks:
    """Checks every frame of one camera and keeps its ``status``.

    A fault is raised after every frame has shown it for long enough, and cleared after no frame has shown it
    for a while, so that the status does not flap. ``raised`` counts how often each fault was raised.
    """

    def __init__(self, config: CameraConfig, source: str) -> None:
        """Start offline; of ``config`` only ``rate_hz`` and ``checks`` are used."""
        self._config = config.checks
        self._rate = _RateMeter(config.rate_hz, config.checks.slow_share)
        self._repeats = _RepeatDetector(config.checks.frozen_share)
        self._scenery = Scenery(config.checks)
        self._debouncers = {fault: _Debouncer() for fault in CameraFault}
        self._debouncers[CameraFault.NO_FRAMES].raised = True
        self._frames = 0
        self._was_silent = False
        self.raised: Counter[CameraFault] = Counter()
        self.status = CameraStatus(source, CameraState.OFFLINE, (CameraFault.NO_FRAMES,))

    def check(self, frame: Frame, dropped: int = 0) -> bool:
        """Update the status from ``frame`` and return whether it may count for or against a hornet.

        ``dropped``: frames that the camera has produced but not delivered, since the start.
        """
        self._frames += 1
        evidence = self._evidence(frame, dropped) if self._config.enabled else _Evidence()
        # A camera that is stuck from the start must never be online: that takes a second, different picture.
        is_new = not evidence.get(CameraFault.REPEATING) and (self._frames > 1 or not self._config.enabled)
        if is_new:
            evidence[CameraFault.NO_FRAMES] = self._was_silent
            self._was_silent = False
        for fault, seen in evidence.items():
            is_moved = fault is CameraFault.MOVED
            raise_after_s = self._config.moved_after_s if is_moved else self._config.raise_after_s
            self._debouncers[fault].update(frame.monotonic_s, seen, raise_after_s, self._config.clear_after_s)
        self._update_status()
        # A calm view may look frozen for a moment, so frames stay usable until the fault is raised.
        frozen = evidence.get(CameraFault.FROZEN) and self._debouncers[CameraFault.FROZEN].raised
        return not (frozen or any(evidence.get(fault) for fault in _UNUSABLE))

    def report_silence(self) -> None:
        """Take the camera offline, because a frame is overdue."""
        self._was_silent = True
        self._restart()
        for fault in _NOT_CURRENT:
            self._debouncers[fault].raised = fault is CameraFault.NO_FRAMES
        self._update_status()

    def report_reopened(self) -> None:
        """Restart the measurements, because the camera was reopened; raised faults stay raised."""
        self._restart()

    def _restart(self) -> None:
        self._rate.restart()
        for debouncer in self._debouncers.values():
            debouncer.since_s = math.inf

    def _evidence(self, frame: Frame, dropped: int) -> _Evidence:
        sample = _sample(frame.pixels)
        dark = _share(sample <= self._config.dark_level) >= _NEARLY_ALL
        white = _share(sample >= self._config.white_level) >= _NEARLY_ALL
        repeats, frozen = self._repeats.check(frame.pixels, sample)
        covered: bool | None = None
        moved: bool | None = None
        if not (dark or white or repeats or frozen):
            covered, moved = self._scenery.check(_shrink(sample), frame.monotonic_s)
        return {
            CameraFault.DARK: dark,
            CameraFault.WHITE: white,
            # Black and white pictures have no noise, so they may well be identical.
            CameraFault.REPEATING: repeats and not (dark or white),
            CameraFault.FROZEN: frozen and not (dark or white),
            CameraFault.COVERED: covered,
            CameraFault.MOVED: moved,
            CameraFault.SLOW: self._rate.is_slow(frame.monotonic_s, self._frames + dropped),
        }

    def _update_status(self) -> None:
        reasons = {fault for fault, debouncer in self._debouncers.items() if debouncer.raised}
        if CameraFault.REPEATING in reasons:
            reasons -= {CameraFault.FROZEN, CameraFault.NO_FRAMES}
        if CameraFault.NO_FRAMES in reasons:
            reasons = {CameraFault.NO_FRAMES}
        known = set(self.status.reasons)
        if reasons == known:
            return
        self.raised.update(reasons - known)
        state = CameraState.DEGRADED if reasons else CameraState.ONLINE
        if reasons & _NOT_CURRENT:
            state = CameraState.OFFLINE
        self.status = CameraStatus(self.status.source, state, tuple(sorted(reasons)))


@dataclass(slots=True)
class _Debouncer:
    """One fault: since when every frame has shown it, when a frame last did, and whether it is raised."""

    since_s: float = math.inf
    last_s: float = -math.inf
    raised: bool = False

    def update(self, now_s: float, seen: bool | None, raise_after_s: float, clear_after_s: float) -> None:
        if seen:
            self.since_s = min(self.since_s, now_s)
            self.last_s = now_s
            self.raised = self.raised or now_s - self.since_s >= raise_after_s
            return
        self.since_s = math.inf
        if seen is None:
            self.last_s = now_s
        elif now_s - self.last_s >= clear_after_s:
            self.raised = False


class _RepeatDetector:
    """Detects repeated frames, and pictures that are frozen except for a clock drawn into them."""

    def __init__(self, frozen_share: float) -> None:
        self._frozen_share = frozen_share
        self._digests: deque[int] = deque(maxlen=_RING)
        self._reference: Pixels | None = None

    def check(self, pixels: Pixels, sample: Pixels) -> tuple[bool, bool]:
        """Return whether the picture repeats one of the last few, and whether it is frozen.

        Frozen: too few pixels differ, by one level or more, from the last picture that was not frozen.
        """
        digest = zlib.crc32(np.ascontiguousarray(pixels[::_DIGEST_ROWS]).data)
        repeats = digest in self._digests
        self._digests.append(digest)
        frozen = (
            self._reference is not None
            and self._reference.shape == sample.shape
            and _share(sample != self._reference) < self._frozen_share
        )
        if not frozen:
            self._reference = sample
        return repeats, frozen


class _RateMeter:
    """Measures the frame rate of the camera, dropped frames included."""

    def __init__(self, rate_hz: float, slow_share: float) -> None:
        self._least_hz = slow_share * rate_hz
        self._window_s = max(_RATE_S, _RATE_FRAMES / rate_hz)
        self._start: tuple[float, int] | None = None
        self._is_slow = False

    def is_slow(self, now_s: float, frames: int) -> bool:
        """Return whether the last complete window was too slow; ``frames`` counts all frames so far."""
        if self._start is None:
            self._start = (now_s, frames)
        start_s, frames_before = self._start
        if now_s - start_s >= self._window_s:
            self._is_slow = (frames - frames_before) / (now_s - start_s) < self._least_hz
            self._start = (now_s, frames)
        return self._is_slow

    def restart(self) -> None:
        """Discard the measurement."""
        self._start = None
        self._is_slow = False


def _share(mask: npt.NDArray[np.bool_]) -> float:
    return int(np.count_nonzero(mask)) / mask.size


def _sample(pixels: Pixels) -> Pixels:
    """Return a grey copy about _SAMPLE_PX wide, made of single pixels of the picture."""
    step = max(1, round(pixels.shape[1] / _SAMPLE_PX))
    # Plane by plane, because numpy copies single bytes much faster than groups of three.
    planes = [np.ascontiguousarray(pixels[::step, ::step, channel]) for channel in range(3)]
    return np.asarray(cv2.cvtColor(cv2.merge(planes), cv2.COLOR_RGB2GRAY), np.uint8)


def _shrink(sample: Pixels) -> Pixels:
    height, width = sample.shape
    scale = min(1.0, _SCENERY_PX / width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(sample, size, interpolation=cv2.INTER_AREA), np.uint8)
