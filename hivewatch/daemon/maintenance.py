"""What the store needs from time to time: bounds kept, what was dropped told, the database looked through."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from datetime import datetime

from hivewatch.config.sections import Config
from hivewatch.errors import DiskFullError
from hivewatch.messages.alert import backlog_message
from hivewatch.store import Store

EVERY_S = 60.0
CHECK_EVERY_S = 86_400.0

log = logging.getLogger(__name__)


class Upkeep:
    """Looks after the store of the hive, on the data path. Calls are cheap until something is due."""

    def __init__(
        self,
        config: Config,
        store: Store,
        now_for_ages: Callable[[], datetime | None],
        monotonic_s: Callable[[], float],
    ) -> None:
        """``now_for_ages`` returns None while nothing may be judged by its age."""
        self._config = config
        self._store = store
        self._now_for_ages = now_for_ages
        self._monotonic_s = monotonic_s
        self._next_s = -math.inf
        self._check_s = monotonic_s() + CHECK_EVERY_S  # it was checked when it was opened

    def __call__(self) -> bool:
        """Do what is due; return whether a message was queued. Raises StoreError for a damaged database."""
        now_s = self._monotonic_s()
        if now_s < self._next_s:
            return False
        self._next_s = now_s + EVERY_S
        if now_s >= self._check_s:
            self._check_s = now_s + CHECK_EVERY_S
            self._store.check_integrity()
        try:
            return self._tidy()
        except DiskFullError as error:
            # No reason to stop watching: when something is to be recorded it shows what can still be kept.
            log.error("%s", error)  # noqa: TRY400  the sentence says it all
            return False

    def _tidy(self) -> bool:
        config = self._config
        dropped = self._store.keep_in_bounds(config.store, config.outbox, self._now_for_ages())
        if dropped is None:
            return False
        message = backlog_message(dropped, config.hive, config.mqtt.base_topic)
        self._store.tell(dropped, message)
        log.error("the outbox held too much, or for too long: %s", message.payload.decode())
        return True
