"""The daily summary: sent at a local time of day, even without any hornet."""

from __future__ import annotations

import logging
from datetime import date, time, timedelta

from hivewatch.config.sections import Config
from hivewatch.daemon.days import local_time
from hivewatch.daemon.frame_counts import FrameCounts
from hivewatch.daemon.loop import Loop
from hivewatch.daemon.recorder import Recorder
from hivewatch.daemon.service import Service, Timer
from hivewatch.messages.reports import Summary, summary_message
from hivewatch.messages.topics import HiveTopics
from hivewatch.store.disk import tolerate_full_disk
from hivewatch.system.clock import Clock

log = logging.getLogger(__name__)

_CHECK_EVERY_S = 1.0
_KEY = "last-summary"


class SummaryService(Service):
    """Queues one summary a day. The store remembers the last day, so a restart sends none twice."""

    def __init__(
        self, config: Config, loop: Loop, recorder: Recorder, clock: Clock, counts: FrameCounts
    ) -> None:
        """Recall the last summary; raises StoreError like the store."""
        self._time_of_day = _time_of_day(config)
        self._topics = HiveTopics.of(config)
        self._zone = config.hive.zone
        self._loop = loop
        self._store = recorder.store
        self._publisher = recorder.publisher
        self._clock = clock
        self._counts = counts
        self._started_s = clock.monotonic_s()
        self._check = Timer(_CHECK_EVERY_S)
        self._last_day = _day(self._store.recall(_KEY))
        self._reported = 0, 0

    def configure(self, config: Config) -> None:
        """Use the time of day in ``config``."""
        self._time_of_day = _time_of_day(config)

    def tick(self, now_s: float) -> None:
        """Queue the summary if it is due; raises StoreError like the store."""
        if self._check.is_due(now_s) and self._is_due():
            self._queue(now_s)

    def _is_due(self) -> bool:
        """Return whether the time of day has passed on a day without a summary yet."""
        if not self._publisher.delivers or self._clock.holds_messages:
            return False
        local = self._clock.now().astimezone(self._zone)
        return local.time() >= self._time_of_day and local.date() != self._last_day

    def _queue(self, now_s: float) -> None:
        summary = self._summary(now_s)
        # In this order a power cut in between sends the summary twice, which is harmless.
        with tolerate_full_disk("the daily summary is lost or may be sent twice"):
            self._store.queue(summary_message(summary, self._topics))
            self._store.remember(_KEY, summary.day.isoformat())
        self._last_day = summary.day
        self._reported = self._counts.seen, self._counts.classified
        log.info("%s", summary.text, extra={"CODE": "summary"})

    def _summary(self, now_s: float) -> Summary:
        now = self._clock.now()
        today = now.astimezone(self._zone).date()
        yesterday = local_time(today - timedelta(days=1), self._time_of_day, self._zone)
        seen, classified = self._reported
        return Summary(
            day=today,
            at=now,
            sightings=self._store.count_since(yesterday),
            frames_seen=self._counts.seen - seen,
            frames_classified=self._counts.classified - classified,
            uptime_s=round(now_s - self._started_s, 1),
            outbox_depth=self._store.outbox_depth(),
            paused=self._loop.paused,
        )


def _time_of_day(config: Config) -> time:
    return time.fromisoformat(config.health.summary_at)


def _day(text: str | None) -> date | None:
    """Return the day in ``text``, None if it is no date."""
    try:
        return date.fromisoformat(text or "")
    except ValueError:
        return None
