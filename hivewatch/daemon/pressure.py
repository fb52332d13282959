"""Publishes whether a hornet is present, and the pressure on the hive: visits and minutes of presence."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timedelta

from hivewatch.config.sections import Config
from hivewatch.daemon.days import midnight
from hivewatch.daemon.pressure_level import next_level
from hivewatch.daemon.recorder import Recorder
from hivewatch.daemon.service import Service, Timer
from hivewatch.domain.sightings import Phase, PressureLevel, Sighting
from hivewatch.domain.wire import Alert
from hivewatch.messages.states import hornet_message, pressure_message
from hivewatch.messages.topics import HiveTopics
from hivewatch.store.disk import tolerate_full_disk
from hivewatch.system.clock import Clock

log = logging.getLogger(__name__)

_COUNT_EVERY_S = 60.0
_PUBLISH_EVERY_S = 3600.0
_HOUR = timedelta(hours=1)
_KEY = "pressure"


class PressureService(Service):
    """Counts the visits in the store, so a restart loses none; the level is remembered there as well."""

    def __init__(self, config: Config, recorder: Recorder, clock: Clock) -> None:
        """Recall the level and publish that no hornet is present; raises StoreError like the store."""
        self._thresholds = config.pressure
        self._topics = HiveTopics.of(config)
        self._zone = config.hive.zone
        self._store = recorder.store
        self._publisher = recorder.publisher
        self._clock = clock
        self._level, self._since = _parse(self._store.recall(_KEY))
        self._since_s = clock.monotonic_s()
        self._count = Timer(_COUNT_EVERY_S)
        self._renewal = Timer(_PUBLISH_EVERY_S)
        self._published = b""
        self._publish_presence(present=False)

    def configure(self, config: Config) -> None:
        """Use the thresholds of ``config`` at the next count."""
        self._thresholds = config.pressure

    def on_sighting(self, sighting: Sighting, _alert: Alert) -> None:
        """Publish the start and the end of a visit, and count again at the next tick."""
        if sighting.phase is not Phase.UPDATE:
            self._publish_presence(present=sighting.phase is Phase.START)
            self._count.expire()

    def tick(self, now_s: float) -> None:
        """Count again if due; raises StoreError like the store."""
        if not self._count.is_due(now_s):
            return
        now = self._clock.now()
        hour = self._store.presence_since(now - _HOUR, now)
        today = self._store.presence_since(midnight(now, self._zone), now)
        level = next_level(self._thresholds, self._level, hour)
        if level is not self._level:
            self._change(level)
        message = pressure_message(hour, today, level, self._level_since(), self._topics)
        if message.payload != self._published or self._renewal.is_due(now_s):
            self._renewal.restart(now_s)
            self._published = message.payload
            self._publisher.publish_state(message)

    def _publish_presence(self, *, present: bool) -> None:
        self._publisher.publish_state(hornet_message(self._topics, present=present))

    def _change(self, level: PressureLevel) -> None:
        log.info("hornet pressure is %s, was %s", level, self._level)
        self._level, self._since, self._since_s = level, None, self._clock.monotonic_s()
        self._remember()

    def _level_since(self) -> datetime | None:
        """Return when the level was reached; None until the clock is trusted."""
        if self._since is None and self._clock.trusted:
            self._since = self._clock.now() - timedelta(seconds=self._clock.monotonic_s() - self._since_s)
            self._remember()
        return self._since

    def _remember(self) -> None:
        since = self._since and self._since.isoformat()
        with tolerate_full_disk("the pressure level and its start are lost at a restart"):
            self._store.remember(_KEY, json.dumps({"level": self._level, "since": since}))


def _parse(text: str | None) -> tuple[PressureLevel, datetime | None]:
    """Return the level and its start in ``text``; green and None if there is nothing valid in it."""
    try:
        document = json.loads(text or "")
        level, since = PressureLevel(document["level"]), document["since"]
        return level, None if since is None else datetime.fromisoformat(since)
    except (ValueError, LookupError, TypeError):
        return PressureLevel.GREEN, None
