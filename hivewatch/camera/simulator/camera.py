"""A camera without hardware: a simulated hive entrance with bees and, now and then, a hornet."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator
from datetime import UTC, datetime, timedelta

from hivewatch.camera.base import CameraCounts
from hivewatch.camera.simulator.scene import Scene
from hivewatch.config.sections import SimulatorConfig
from hivewatch.domain.frames import Frame

STARTED_AT = datetime(2026, 9, 1, 11, 0, tzinfo=UTC)  # of unpaced frames, so that every run is identical


class SimulatorCamera:
    """Renders frames with their ``truth``.

    Frame n shows the scene at n / ``rate_hz`` seconds. ``paced`` frames arrive in real time: the scene does
    not wait for a slow consumer, and the frames it misses are counted as dropped. Unpaced frames arrive as
    fast as they are consumed, with times counted from a fixed start.
    """

    def __init__(
        self, config: SimulatorConfig, width_px: int, height_px: int, rate_hz: float, *, paced: bool
    ) -> None:
        self._config = config
        self._size = (width_px, height_px)
        self._rate_hz = rate_hz
        self._paced = paced
        self._counts = CameraCounts()
        self.is_live = paced

    @property
    def name(self) -> str:
        """Always ``simulator``."""
        return "simulator"

    @property
    def counts(self) -> CameraCounts:
        """``dropped`` counts the frames missed by a slow consumer."""
        return self._counts

    def frames(self, stop: threading.Event) -> Generator[Frame]:
        """Yield frames until ``stop`` is set or ``duration_s`` has elapsed."""
        scene = Scene(
            self._config.seed,
            *self._size,
            bees=self._config.bees,
            hornet_every_s=self._config.hornet_every_s,
            hornet_stay_s=self._config.hornet_stay_s,
        )
        for sequence, number in enumerate(self._numbers(stop)):
            t = number / self._rate_hz
            taken_at = datetime.now(UTC) if self._paced else STARTED_AT + timedelta(seconds=t)
            monotonic_s = time.monotonic() if self._paced else t
            pixels, truth = scene.render(t, number)
            yield Frame(pixels, taken_at, monotonic_s, sequence, self.name, truth)

    def _numbers(self, stop: threading.Event) -> Iterator[int]:
        """Yield the number of each frame to render, when it is due."""
        started_s = time.monotonic()
        number = 0
        while True:
            wait_s = 0.0
            if self._paced:
                missed = max(0, int((time.monotonic() - started_s) * self._rate_hz) - number)
                self._counts.dropped += missed
                number += missed
                wait_s = max(0.0, started_s + number / self._rate_hz - time.monotonic())
            if self._is_over(number) or stop.wait(wait_s):
                return
            yield number
            number += 1

    def _is_over(self, number: int) -> bool:
        return 0 < self._config.duration_s <= number / self._rate_hz
