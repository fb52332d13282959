"""Maintenance of the store: keeps its bounds, reports what was dropped, checks the database once a day."""

from __future__ import annotations

import logging

from hivewatch.config.sections import Config
from hivewatch.daemon.recorder import Recorder
from hivewatch.daemon.service import Service, Timer
from hivewatch.messages.alert import backlog_message
from hivewatch.messages.topics import HiveTopics
from hivewatch.store.disk import tolerate_full_disk
from hivewatch.system.clock import Clock
from hivewatch.system.memory import give_back_memory

log = logging.getLogger(__name__)

EVERY_S = 60.0
CHECK_EVERY_S = 86_400.0


class MaintenanceService(Service):
    """Maintains the store and the memory on the data path."""

    def __init__(self, config: Config, recorder: Recorder, clock: Clock) -> None:
        """Do nothing yet: the database was checked when it was opened."""
        self._store_bounds, self._outbox_bounds = config.store, config.outbox
        self._topics = HiveTopics.of(config)
        self._store = recorder.store
        self._publisher = recorder.publisher
        self._clock = clock
        self._bounds = Timer(EVERY_S)
        self._check = Timer(CHECK_EVERY_S, clock.monotonic_s() + CHECK_EVERY_S)

    def tick(self, now_s: float) -> None:
        """Do what is due; raises StoreError, also for a damaged database."""
        if not self._bounds.is_due(now_s):
            return
        if self._check.is_due(now_s):
            self._store.check_integrity()
        with tolerate_full_disk("the store was not tidied"):
            self._keep_in_bounds()
        give_back_memory()

    def _keep_in_bounds(self) -> None:
        now = self._clock.now_for_ages()
        dropped = self._store.keep_in_bounds(self._store_bounds, self._outbox_bounds, now)
        if self._store.exceeds_bounds:
            self._bounds.expire()  # the next portion comes after the next frame
        if dropped is None:
            return
        message = backlog_message(dropped, self._topics)
        self._store.queue_backlog(dropped, message)
        log.error(
            "dropped what was too much, too old or too large for the broker: %s",
            message.payload.decode(),
        )
        self._publisher.wake()
