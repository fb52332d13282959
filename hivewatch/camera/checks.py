"""Does the camera show the hive? Finds frames that repeat, and black, white, frozen, covered or moved views.

Nothing here looks at a clock or a device: time is that of the frames.
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

NOTHING_NEW = frozenset({CameraFault.NO_FRAMES, CameraFault.REPEATING, CameraFault.FROZEN})
"""With one of these the camera is offline: what it gives, if anything, is not the hive as it is now."""

# Every so many rows are compared bit for bit: a sensor's noise makes no two of them alike.
_DIGEST_ROWS = 4
# A driver that has lost its camera may hand out a ring of old buffers.
_RING = 8
# Width of the grey copy made of single pixels, not averaged, so that noise still shows in it.
_SAMPLE_PX = 320
_SCENERY_PX = 160
# This much of a picture must be black or white: a lamp or a letterbox may be in view.
_NEARLY_ALL = 0.95
# The rate is measured over at least so long, and so many frames.
_RATE_S, _RATE_FRAMES = 10.0, 10

_WORTHLESS = {CameraFault.DARK, CameraFault.WHITE, CameraFault.REPEATING}

# What speaks for each fault: True for it, False against it, None says nothing.
_Evidence = dict[CameraFault, bool | None]


class CameraChecks:
    """Look at every frame of one camera and keep its ``status``.

    A fault is raised once every frame has spoken for it long enough, and taken back once none has for a
    while, so the status does not flap. ``raised`` counts how often each fault was.
    """

    def __init__(self, config: CameraConfig, source: str) -> None:
        """``config``: ``rate_hz`` and ``checks`` count. Offline until something new is shown."""
        self._config = config.checks
        self._rate = _Rate(config.rate_hz, config.checks.slow_share)
        self._sameness = _Sameness(config.checks.frozen_share)
        self._scenery = Scenery(config.checks)
        self._holds = {fault: _Hold() for fault in CameraFault}
        self._holds[CameraFault.NO_FRAMES].raised = True
        self._frames = 0
        self._silent = False
        self.raised: Counter[CameraFault] = Counter()
        self.status = CameraStatus(source, CameraState.OFFLINE, (CameraFault.NO_FRAMES,))

    def check(self, frame: Frame, dropped: int = 0) -> bool:
        """Judge ``frame``, and tell whether it shows anything that may count for or against a hornet.

        ``dropped``: how many frames the camera made so far that were not handed over.
        """
        self._frames += 1
        evidence = self._evidence(frame, dropped) if self._config.enabled else _Evidence()
        # A daemon that starts before a stuck camera must not say online first: that takes a new picture.
        new = not evidence.get(CameraFault.REPEATING) and (self._frames > 1 or not self._config.enabled)
        if new:
            evidence[CameraFault.NO_FRAMES] = self._silent
            self._silent = False
        for fault, seen in evidence.items():
            is_slow_to_tell = fault is CameraFault.MOVED
            raise_after_s = self._config.moved_after_s if is_slow_to_tell else self._config.raise_after_s
            self._holds[fault].update(frame.monotonic_s, seen, raise_after_s, self._config.clear_after_s)
        self._conclude()
        # A calm view may look frozen for a moment, so that counts only once it is raised.
        frozen = evidence.get(CameraFault.FROZEN) and self._holds[CameraFault.FROZEN].raised
        return not (frozen or any(evidence.get(fault) for fault in _WORTHLESS))

    def report_silence(self) -> None:
        """Say that no frame came when one was due: the camera is offline from now on."""
        self._silent = True
        self._start_over()
        for fault in NOTHING_NEW:
            self._holds[fault].raised = fault is CameraFault.NO_FRAMES
        self._conclude()

    def report_reopened(self) -> None:
        """Say that the camera was opened afresh: what stays raised has to be shown anew from here on."""
        self._start_over()

    def _start_over(self) -> None:
        self._rate.restart()
        for hold in self._holds.values():
            hold.since_s = math.inf

    def _evidence(self, frame: Frame, dropped: int) -> _Evidence:
        sample = _sample(frame.pixels)
        dark = _share(sample <= self._config.dark_level) >= _NEARLY_ALL
        white = _share(sample >= self._config.white_level) >= _NEARLY_ALL
        repeats, frozen = self._sameness.look(frame.pixels, sample)
        covered: bool | None = None
        moved: bool | None = None
        if not (dark or white or repeats or frozen):
            covered, moved = self._scenery.look(_shrunk(sample), frame.monotonic_s)
        return {
            CameraFault.DARK: dark,
            CameraFault.WHITE: white,
            # Black and white pictures have no noise: that they are alike proves nothing.
            CameraFault.REPEATING: repeats and not (dark or white),
            CameraFault.FROZEN: frozen and not (dark or white),
            CameraFault.COVERED: covered,
            CameraFault.MOVED: moved,
            CameraFault.SLOW: self._rate.is_slow(frame.monotonic_s, self._frames + dropped),
        }

    def _conclude(self) -> None:
        reasons = {fault for fault, hold in self._holds.items() if hold.raised}
        if CameraFault.REPEATING in reasons:
            reasons -= {CameraFault.FROZEN, CameraFault.NO_FRAMES}
        if CameraFault.NO_FRAMES in reasons:
            reasons = {CameraFault.NO_FRAMES}
        known = set(self.status.reasons)
        if reasons == known:
            return
        self.raised.update(reasons - known)
        state = CameraState.DEGRADED if reasons else CameraState.ONLINE
        if reasons & NOTHING_NEW:
            state = CameraState.OFFLINE
        self.status = CameraStatus(self.status.source, state, tuple(sorted(reasons)))


@dataclass(slots=True)
class _Hold:
    """One fault: since when every frame has spoken for it, when the last one did, and whether it counts."""

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


class _Sameness:
    """Tells frames that were there before, and pictures that stand still but for a clock drawn into them."""

    def __init__(self, frozen_share: float) -> None:
        self._frozen_share = frozen_share
        self._digests: deque[int] = deque(maxlen=_RING)
        self._changed: Pixels | None = None

    def look(self, pixels: Pixels, sample: Pixels) -> tuple[bool, bool]:
        """Tell whether this very picture was among the last ones, and whether next to nothing changed.

        Changed is what differs at all, by one level or more, from the picture at the last change.
        """
        digest = zlib.crc32(np.ascontiguousarray(pixels[::_DIGEST_ROWS]).data)
        repeats = digest in self._digests
        self._digests.append(digest)
        frozen = (
            self._changed is not None
            and self._changed.shape == sample.shape
            and _share(sample != self._changed) < self._frozen_share
        )
        if not frozen:
            self._changed = sample
        return repeats, frozen


class _Rate:
    """Measures how many frames a second the camera makes, handed over or dropped."""

    def __init__(self, rate_hz: float, slow_share: float) -> None:
        self._least_hz = slow_share * rate_hz
        self._window_s = max(_RATE_S, _RATE_FRAMES / rate_hz)
        self._start: tuple[float, int] | None = None
        self._is_slow = False

    def is_slow(self, now_s: float, made: int) -> bool:
        """Tell whether it was too slow over the last whole window; ``made`` counts all frames so far."""
        if self._start is None:
            self._start = (now_s, made)
        start_s, made_before = self._start
        if now_s - start_s >= self._window_s:
            self._is_slow = (made - made_before) / (now_s - start_s) < self._least_hz
            self._start = (now_s, made)
        return self._is_slow

    def restart(self) -> None:
        """Forget what was measured."""
        self._start = None
        self._is_slow = False


def _share(holds: npt.NDArray[np.bool_]) -> float:
    return int(np.count_nonzero(holds)) / holds.size


def _sample(pixels: Pixels) -> Pixels:
    """Return single pixels of the picture in grey levels, some _SAMPLE_PX in a row."""
    step = max(1, round(pixels.shape[1] / _SAMPLE_PX))
    # Plane by plane: numpy copies single bytes much faster than threes of them.
    planes = [np.ascontiguousarray(pixels[::step, ::step, channel]) for channel in range(3)]
    return np.asarray(cv2.cvtColor(cv2.merge(planes), cv2.COLOR_RGB2GRAY), np.uint8)


def _shrunk(sample: Pixels) -> Pixels:
    height, width = sample.shape
    scale = min(1.0, _SCENERY_PX / width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(sample, size, interpolation=cv2.INTER_AREA), np.uint8)
