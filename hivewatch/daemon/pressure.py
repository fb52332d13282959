"""Tells whether a hornet is there, and how hard hornets press the hive, as visits come and go."""

from __future__ import annotations

import json
import logging
import math
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta

from hivewatch.config.sections import Config
from hivewatch.daemon.pressure_level import next_level
from hivewatch.domain.sightings import Phase, PressureLevel, Sighting
from hivewatch.errors import StoreError
from hivewatch.messages.pressure import hornet_message, pressure_message
from hivewatch.mqtt.publisher import Publisher
from hivewatch.store import Store
from hivewatch.store.notes import Note
from hivewatch.system.clock import Clock

log = logging.getLogger(__name__)

_LOOK_EVERY_S = 60.0
_TELL_EVERY_S = 3600.0
_HOUR = timedelta(hours=1)


@dataclass(slots=True)
class Predation:
    """Counts what the store holds, so a restart forgets nothing; level and time are kept there as well."""

    config: Config
    store: Store
    publisher: Publisher | None
    clock: Clock
    _note: Note = field(init=False)
    _level: PressureLevel = PressureLevel.GREEN
    _since: datetime | None = None
    _since_s: float = 0.0
    _look_at_s: float = -math.inf
    _tell_at_s: float = -math.inf
    _told: bytes = b""

    def __post_init__(self) -> None:
        """Say that no visit is open; raises StoreError like the store."""
        self._note = Note(self.store.directory, "pressure")
        self._since_s = self.clock.monotonic_s()
        self._remember(self._note.read())
        self._tell_presence(present=False)

    def sighted(self, sighting: Sighting) -> None:
        """Tell that a visit has begun or ended."""
        if sighting.phase is not Phase.UPDATE:
            self._tell_presence(present=sighting.phase is Phase.START)
            self._look_at_s = -math.inf

    def look(self) -> None:
        """Count anew where it is time; raises StoreError like the store."""
        now_s = self.clock.monotonic_s()
        if self.publisher is None or now_s < self._look_at_s:
            return
        self._look_at_s = now_s + _LOOK_EVERY_S
        now = self.clock.now()
        hour = self.store.presence_since(now - _HOUR, now)
        level = next_level(self.config.pressure, self._level, hour)
        if level is not self._level:
            self._change(level)
        today = self.store.presence_since(_midnight(now), now)
        config = self.config
        message = pressure_message(hour, today, level, self._began(), config.hive, config.mqtt.base_topic)
        if message.payload != self._told or now_s >= self._tell_at_s:
            self._told = message.payload
            self._tell_at_s = now_s + _TELL_EVERY_S
            self.publisher.state(message)

    def _tell_presence(self, *, present: bool) -> None:
        if self.publisher is not None:
            message = hornet_message(self.config.hive, self.config.mqtt.base_topic, present=present)
            self.publisher.state(message)

    def _change(self, level: PressureLevel) -> None:
        log.info("hornets press the hive: %s, was %s", level, self._level)
        self._level, self._since, self._since_s = level, None, self.clock.monotonic_s()
        self._keep()

    def _began(self) -> datetime | None:
        """Return when the level began, once the clock can say so."""
        if self._since is None and self.clock.trusted:
            self._since = self.clock.now() - timedelta(seconds=self.clock.monotonic_s() - self._since_s)
            self._keep()
        return self._since

    def _keep(self) -> None:
        since = self._since and self._since.isoformat()
        try:
            self._note.write(json.dumps({"level": self._level, "since": since}))
        except StoreError as error:
            # No reason to stop watching: when something is to be recorded it shows what can still be kept.
            log.error("after a restart nobody will know since when the level is so: %s", error)  # noqa: TRY400

    def _remember(self, text: str) -> None:
        try:
            kept = json.loads(text)
            level, since = PressureLevel(kept["level"]), kept["since"]
            self._since = None if since is None else datetime.fromisoformat(since)
            self._level = level
        except (ValueError, LookupError, TypeError):
            return  # nothing, or nothing of ours: it begins at green


def _midnight(now: datetime) -> datetime:
    # Of a time without zone astimezone() looks up what the local offset was then: it need not be today's.
    return datetime.combine(now.astimezone().date(), time()).astimezone()
