"""Whether the wall clock can be trusted.

A Raspberry Pi has no real-time clock: after a power cut its wall clock continues from some earlier time, or
from 1970, until the network sets it. Sightings recorded before that carry a ``Stamp`` and wait to be sent
(``Clock.holds_messages``). The monotonic clock is unaffected, so their times can be corrected afterwards.
"""

from __future__ import annotations

import ctypes
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hivewatch.config.sections import ClockConfig
from hivewatch.domain.sightings import Stamp

log = logging.getLogger(__name__)

# hivewatch did not exist before this date: a clock that shows an earlier time is wrong, whoever set it.
EARLIEST = datetime(2026, 11, 1, tzinfo=UTC)
_TICK_EVERY_S = 1.0
# A larger jump may be a mistake; a time server corrects by less.
_JUMP_S = 600.0
_DAY_S = 86_400.0
_TIMESYNCD_MARK = Path("/run/systemd/timesync/synchronized")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# adjtimex(2): the state of an unsynchronised clock, and room for a struct timex of any architecture.
_TIME_ERROR = 5
_STRUCT_TIMEX_BYTES = 1024


def utc_now() -> datetime:
    """Return the time of the wall clock."""
    return datetime.now(UTC)


def synchronised() -> bool:
    """Return whether a time service (timesyncd, chrony, ntpd) has set the wall clock."""
    return _kernel_is_synchronised() or _TIMESYNCD_MARK.exists()


class Clock:
    """The wall clock, and whether it is trusted. Once trusted it stays so: later jumps are deliberate.

    It is trusted when it is synchronised. Some machines have a good clock and no network, so it is also
    trusted ``config.wait_s`` after boot if it is later than the latest sighting in the store.
    """

    def __init__(
        self,
        config: ClockConfig,
        *,
        now: Callable[[], datetime] = utc_now,
        monotonic_s: Callable[[], float] = time.monotonic,
        synchronised: Callable[[], bool] = synchronised,
    ) -> None:
        """Start untrusted. The last three arguments replace the machine's clocks in tests.

        Messages must wait while ``holds_messages`` is set: until recorded times have been corrected and
        ``release_messages`` is called, or until the wait is over without a trusted clock.
        """
        self.now = now
        self.monotonic_s = monotonic_s
        self.trusted = False
        self.holds_messages = True
        self._wait_s = config.wait_s
        self._latest = EARLIEST
        self._warned = False
        self._offset_s = self._wall_offset_s()
        self._ages_valid_from_s = 0.0
        self._synchronised = synchronised
        self._tick_at_s = 0.0
        self._was_plausible = False
        self._boot_id = _read_boot_id()

    def start(self, latest: datetime | None) -> None:
        """Check the clock for the first time; ``latest`` is the time of the latest sighting in the store."""
        self._latest = max(latest or EARLIEST, EARLIEST)
        self._was_plausible = True  # nothing has been stamped yet, so one plausible check is enough
        self.tick()

    def tick(self) -> bool:
        """Check the clock, once a second at most; return whether it has just become trusted.

        Two plausible checks are needed: a frame in the pipeline may date from before the clock was set.
        """
        if self.monotonic_s() < self._tick_at_s:
            return False
        self._tick_at_s = self.monotonic_s() + _TICK_EVERY_S
        self._watch_for_jumps()
        if self.trusted:
            return False
        before, self._was_plausible = self._was_plausible, self._is_plausible()
        self.trusted = before and self._was_plausible
        if self.trusted:
            log.info("the clock is trusted: it is %s", _in_words(self.now()))
        elif self._has_waited() and not self._was_plausible:
            self.holds_messages = False
            self._warn()
        return self.trusted

    def release_messages(self) -> None:
        """Release held messages: their timestamps are corrected."""
        self.holds_messages = False

    def _warn(self) -> None:
        if not self._warned:
            self._warned = True
            log.warning(
                "the clock shows %s, but it must be later than %s: sightings are sent marked as undated;"
                " connect the machine to a time server or add a clock module",
                *(_in_words(self.now()), _in_words(self._latest)),
            )

    def now_for_ages(self) -> datetime | None:
        """Return the time if ages may be computed with it: trusted, and without a large jump for a day.

        A clock set a year ahead by mistake must not make all stored data too old before a person notices.
        """
        steady = self.monotonic_s() >= self._ages_valid_from_s
        return self.now() if self.trusted and steady else None

    def stamp(self) -> Stamp | None:
        """Return the stamp for a sighting recorded now; None if the clock is trusted and none is needed."""
        return None if self.trusted else Stamp(self._boot_id, round(self.monotonic_s(), 3))

    def date_of(self, stamp: Stamp) -> datetime | None:
        """Return the time at which ``stamp`` was made; None if that was before this boot."""
        if stamp.boot_id != self._boot_id:
            return None
        return self.now() - timedelta(seconds=self.monotonic_s() - stamp.monotonic_s)

    def _wall_offset_s(self) -> float:
        return self.now().timestamp() - self.monotonic_s()

    def _watch_for_jumps(self) -> None:
        jump_s = self._wall_offset_s() - self._offset_s
        self._offset_s += jump_s
        if abs(jump_s) > _JUMP_S and self.trusted:
            self._ages_valid_from_s = self.monotonic_s() + _DAY_S
            log.warning(
                "the clock jumped by %+.1f hours, to %s: nothing is removed for its age for one day",
                *(jump_s / 3600, _in_words(self.now())),
            )

    def _has_waited(self) -> bool:
        return self.monotonic_s() >= self._wait_s

    def _is_plausible(self) -> bool:
        now = self.now()
        return now >= EARLIEST and (self._synchronised() or (self._has_waited() and now > self._latest))


def _kernel_is_synchronised() -> bool:
    timex = ctypes.create_string_buffer(_STRUCT_TIMEX_BYTES)  # zeros: read, change nothing
    try:
        state: int = ctypes.CDLL(None).adjtimex(timex)
    except (OSError, AttributeError):  # this C library has no such call
        return False
    return 0 <= state < _TIME_ERROR


def _read_boot_id() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def _in_words(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
