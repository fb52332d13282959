"""Corrects the times of what was recorded before the clock was set, and releases it to be sent."""

from __future__ import annotations

import logging
from functools import partial

from hivewatch.daemon.recorder import Recorder
from hivewatch.daemon.service import Service
from hivewatch.messages.alert import with_corrected_times
from hivewatch.system.clock import Clock

log = logging.getLogger(__name__)


class TimekeepingService(Service):
    """Corrects provisional times once the clock is trusted."""

    def __init__(self, recorder: Recorder, clock: Clock) -> None:
        """Correct at once if the clock is trusted already; raises StoreError like the store."""
        self._store = recorder.store
        self._publisher = recorder.publisher
        self._clock = clock
        if clock.trusted:
            self.on_clock_trusted()

    def on_clock_trusted(self) -> None:
        """Correct the times in the store and the outbox; raises StoreError like the store."""
        count = self._store.correct_times(partial(with_corrected_times, date_of=self._clock.date_of))
        if count:
            log.info("corrected the times of %d sightings recorded before the clock was set", count)
        self._clock.release_messages()
        self._publisher.wake()
