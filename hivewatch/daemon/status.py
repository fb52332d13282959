"""What the daemon is doing, in one line for systemd, and once an hour in the log."""

from __future__ import annotations

import logging
from datetime import datetime

from hivewatch.camera.supervisor import Supervisor
from hivewatch.config.sections import Config
from hivewatch.daemon.days import count_since_midnight
from hivewatch.daemon.frame_counts import FrameCounts
from hivewatch.daemon.loop import Loop
from hivewatch.daemon.recorder import Recorder, log_sighting
from hivewatch.daemon.service import Service, Timer
from hivewatch.domain.sightings import Sighting
from hivewatch.domain.status import CameraState
from hivewatch.domain.wire import Alert
from hivewatch.system.clock import Clock

log = logging.getLogger(__name__)

_CHECK_EVERY_S = 1.0
_LOG_EVERY_S = 3600.0


class StatusService(Service):
    """Keeps the status line, and logs one line an hour: a log that stops then means something."""

    def __init__(
        self,
        config: Config,
        supervisor: Supervisor,
        loop: Loop,
        recorder: Recorder,
        clock: Clock,
        counts: FrameCounts,
    ) -> None:
        """Log for the first time in an hour."""
        self._zone = config.hive.zone
        self._supervisor = supervisor
        self._loop = loop
        self._store = recorder.store
        self._publisher = recorder.publisher
        self._clock = clock
        self._counts = counts
        self._check = Timer(_CHECK_EVERY_S)
        self._hourly = Timer(_LOG_EVERY_S, clock.monotonic_s() + _LOG_EVERY_S)
        self._last_hornet_at: datetime | None = None
        self._is_last_hornet_known = False
        self.line = "watching"
        """The state in one line, as of the last check."""

    def on_sighting(self, sighting: Sighting, alert: Alert) -> None:
        """Log the event."""
        log_sighting(sighting, alert)
        self._is_last_hornet_known = False

    def on_clock_trusted(self) -> None:
        """Read the time of the last hornet again: it may have been corrected."""
        self._is_last_hornet_known = False

    def tick(self, now_s: float) -> None:
        """Update the line, and log if an hour has passed; raises StoreError like the store."""
        if not self._check.is_due(now_s):
            return
        self.line = self._line(now_s)
        if self._hourly.is_due(now_s):
            self._log_state()

    def _line(self, now_s: float) -> str:
        camera = self._supervisor.checks.status.state
        is_online = camera is CameraState.ONLINE
        doing = "paused" if self._loop.paused else "watching" if is_online else f"camera {camera}"
        rate = f"{self._counts.rate_hz(now_s):.1f} fps"
        return f"{doing}, {rate}, {self._last_hornet()}, outbox {self._store.outbox_depth()}"

    def _last_hornet(self) -> str:
        # The store reads all its records to answer, so ask only if the answer may have changed.
        if not self._is_last_hornet_known:
            self._last_hornet_at, self._is_last_hornet_known = self._store.latest_seen_at(), True
        if self._last_hornet_at is None:
            return "no hornet yet"
        local, now = self._last_hornet_at.astimezone(self._zone), self._clock.now().astimezone(self._zone)
        return f"last hornet {local:%H:%M}" if local.date() == now.date() else f"last hornet {local:%Y-%m-%d}"

    def _log_state(self) -> None:
        faults = self._faults()
        level, words = (logging.WARNING, ", ".join(faults)) if faults else (logging.INFO, "all well")
        today = count_since_midnight(self._store, self._clock.now(), self._zone)
        figures = self._counts.seen, self._counts.classified, today
        fields = {"CAMERA": self._supervisor.camera.name, "CODE": "trouble" if faults else "all_well"}
        log.log(level, "%s; %d frames seen, %d classified, %d sightings today", words, *figures, extra=fields)

    def _faults(self) -> list[str]:
        faults = []
        if (camera := self._supervisor.checks.status.state) is not CameraState.ONLINE:
            faults.append(f"the camera is {camera}")
        if self._loop.paused:
            faults.append("paused by a command")
        if self._publisher.delivers and not self._publisher.is_connected:
            faults.append(f"no connection to the broker, {self._store.outbox_depth()} messages waiting")
        if not self._clock.trusted:
            faults.append("the clock is not trusted")
        return faults
