"""Whether the wall clock can be believed.

A Raspberry Pi has no clock of its own: after a power cut it goes on from some earlier time, or from 1970,
until the network has set it. Sightings of that time are kept with a ``Stamp`` and wait to be sent
(``Clock.holds``). The monotonic clock knows nothing of all this, so once the wall clock is right they can be
dated.
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

# hivewatch did not exist before: a clock that says so is wrong, whoever set it.
EARLIEST = datetime(2026, 11, 1, tzinfo=UTC)
_LOOK_EVERY_S = 1.0
# Set by more than this it may be set wrongly; a time server corrects by less.
_JUMP_S = 600.0
_DAY_S = 86_400.0
_TIMESYNCD_MARK = Path("/run/systemd/timesync/synchronized")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# adjtimex(2): the state of a clock that nobody keeps, and room for a struct timex of any architecture.
_TIME_ERROR = 5
_STRUCT_TIMEX_BYTES = 1024


def utc_now() -> datetime:
    """Return what the wall clock says."""
    return datetime.now(UTC)


def synchronised() -> bool:
    """Tell whether something (timesyncd, chrony, ntpd) keeps the wall clock on time."""
    return _kernel_says_so() or _TIMESYNCD_MARK.exists()


class Clock:
    """The wall clock, and whether it is trusted: once it is it stays so, and later jumps are somebody's wish.

    It is trusted when it is synchronised; or, since some machines have a good clock and no network,
    ``config.wait_s`` after boot if it is later than the newest thing known to have happened.
    """

    def __init__(
        self,
        config: ClockConfig,
        *,
        now: Callable[[], datetime] = utc_now,
        monotonic_s: Callable[[], float] = time.monotonic,
        synchronised: Callable[[], bool] = synchronised,
    ) -> None:
        """Trust nothing yet. The last three, what the machine's clocks say, are for tests.

        While ``holds`` is set messages are to wait: until what was noted before is dated and ``release`` is
        called, or until the wait is over without a clock to date by.
        """
        self.now = now
        self.monotonic_s = monotonic_s
        self.trusted = False
        self.holds = True
        self._wait_s = config.wait_s
        self._newest = EARLIEST
        self._warned = False
        self._offset_s = self._wall_offset_s()
        self._ages_from_s = 0.0
        self._synchronised = synchronised
        self._look_at_s = 0.0
        self._seems_right = False
        self._boot_id = _read_boot_id()

    def begin(self, newest: datetime | None) -> None:
        """Look for the first time; ``newest`` is the latest time in the store."""
        self._newest = max(newest or EARLIEST, EARLIEST)
        self._seems_right = True  # nothing was noted yet that could be older than this look
        self.look()

    def look(self) -> bool:
        """Look whether the clock can be trusted, once a second; return whether it has just become so.

        It must seem right twice: what is on its way through the stages was noted before it was set.
        """
        if self.monotonic_s() < self._look_at_s:
            return False
        self._look_at_s = self.monotonic_s() + _LOOK_EVERY_S
        self._watch_for_jumps()
        if self.trusted:
            return False
        before, self._seems_right = self._seems_right, self._is_plausible()
        self.trusted = before and self._seems_right
        if self.trusted:
            log.info("the clock is trusted: it is %s", _in_words(self.now()))
        elif self._waited() and not self._seems_right:
            self.holds = False
            self._warn()
        return self.trusted

    def release(self) -> None:
        """Let messages go: what had to be dated is."""
        self.holds = False

    def _warn(self) -> None:
        if not self._warned:
            self._warned = True
            log.warning(
                "the clock says %s, but it is later than %s: sightings go out marked as not to be dated; let"
                " the machine reach a time server, or give it a clock",
                *(_in_words(self.now()), _in_words(self._newest)),
            )

    def now_for_ages(self) -> datetime | None:
        """Return the time where ages may be judged by it: trusted, and not set by much for a day.

        A clock that is set a year ahead must not make all that is kept too old before a person can see it.
        """
        steady = self.monotonic_s() >= self._ages_from_s
        return self.now() if self.trusted and steady else None

    def stamp(self) -> Stamp | None:
        """Return what is needed to date later what is noted now; None where the clock is trusted."""
        return None if self.trusted else Stamp(self._boot_id, round(self.monotonic_s(), 3))

    def date(self, stamp: Stamp) -> datetime | None:
        """Return when something was noted, None where that was before this boot."""
        if stamp.boot_id != self._boot_id:
            return None
        return self.now() - timedelta(seconds=self.monotonic_s() - stamp.monotonic_s)

    def _wall_offset_s(self) -> float:
        return self.now().timestamp() - self.monotonic_s()

    def _watch_for_jumps(self) -> None:
        jump_s = self._wall_offset_s() - self._offset_s
        self._offset_s += jump_s
        if abs(jump_s) > _JUMP_S and self.trusted:
            self._ages_from_s = self.monotonic_s() + _DAY_S
            log.warning(
                "the clock was set %+.1f hours, to %s: for a day nothing is removed for its age",
                *(jump_s / 3600, _in_words(self.now())),
            )

    def _waited(self) -> bool:
        return self.monotonic_s() >= self._wait_s

    def _is_plausible(self) -> bool:
        now = self.now()
        return now >= EARLIEST and (self._synchronised() or (self._waited() and now > self._newest))


def _kernel_says_so() -> bool:
    timex = ctypes.create_string_buffer(_STRUCT_TIMEX_BYTES)  # zeros: read, change nothing
    try:
        state: int = ctypes.CDLL(None).adjtimex(timex)
    except (OSError, AttributeError):  # no such call in this C library
        return False
    return 0 <= state < _TIME_ERROR


def _read_boot_id() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def _in_words(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
