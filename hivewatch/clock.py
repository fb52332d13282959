"""Whether the wall clock can be believed.

A Raspberry Pi has no clock of its own: after a power cut it goes on from some earlier time, or from 1970, until
the network has set it. Until then sightings are stamped provisionally and wait in the store
(``Clock.holds``). The monotonic clock counts on through all this within one boot, so what was stamped
wrongly can be put right once the wall clock is (``Stamp``).
"""

from __future__ import annotations

import ctypes
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hivewatch.config import ClockConfig
from hivewatch.domain import Stamp

log = logging.getLogger(__name__)

# hivewatch did not exist before: a clock that says so is wrong, whoever set it.
EARLIEST = datetime(2026, 11, 1, tzinfo=UTC)
_LOOK_EVERY_S = 1.0
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
    """The wall clock, and since when it is trusted: once it is, it stays so, and jumps are somebody's wish.

    It is trusted when it is synchronised; or, since some machines have a good clock and no network,
    ``config.wait_s`` after boot if it is later than ``newest``, the last thing known to have happened.
    """

    def __init__(
        self,
        config: ClockConfig,
        newest: datetime | None = None,
        *,
        now: Callable[[], datetime] = utc_now,
        monotonic_s: Callable[[], float] = time.monotonic,
        synchronised: Callable[[], bool] = synchronised,
    ) -> None:
        """Look at once. The last three are for tests: what the machine's clocks say."""
        self.now = now
        self.monotonic_s = monotonic_s
        self.trusted = False
        self._wait_s = config.wait_s
        self._newest = max(newest or EARLIEST, EARLIEST)
        self._synchronised = synchronised
        self._look_at_s = monotonic_s()
        self._boot_id = _read_boot_id()
        self._warned = False
        self.look()

    @property
    def holds(self) -> bool:
        """Whether sightings wait to be sent until the clock is trusted: for a bounded time, then they go."""
        return not self.trusted and self.monotonic_s() < self._wait_s

    def look(self) -> bool:
        """Look whether the clock can be trusted by now, if it is time; return whether it has just become so."""
        if self.trusted or self.monotonic_s() < self._look_at_s:
            return False
        self._look_at_s = self.monotonic_s() + _LOOK_EVERY_S
        now = self.now()
        if now >= EARLIEST and self._synchronised():
            self.trusted = True
        elif self.monotonic_s() >= self._wait_s:
            self.trusted = now > self._newest
            self._warn(now)
        if self.trusted:
            log.info("the clock is trusted: %s", f"{now:%Y-%m-%d %H:%M:%S} UTC")
        return self.trusted

    def stamp(self) -> Stamp | None:
        """Return what is needed to put right a time noted now; None where the clock is trusted."""
        return None if self.trusted else Stamp(self._boot_id, self._wall_offset_s())

    def correction(self, stamp: Stamp) -> timedelta | None:
        """Return what to add to times noted with ``stamp``; None where they are of an earlier boot."""
        if stamp.boot_id != self._boot_id:
            return None
        return timedelta(seconds=self._wall_offset_s() - stamp.wall_offset_s)

    def _wall_offset_s(self) -> float:
        return self.now().timestamp() - self.monotonic_s()

    def _warn(self, now: datetime) -> None:
        if not self.trusted and not self._warned:
            self._warned = True
            log.warning(
                "the clock says %s, which is before %s: sightings are sent marked as not to be dated;"
                " let the machine reach a time server, or give it a clock",
                *(f"{moment:%Y-%m-%d %H:%M} UTC" for moment in (now, self._newest)),
            )


def _kernel_says_so() -> bool:
    timex = ctypes.create_string_buffer(_STRUCT_TIMEX_BYTES)  # zeros: read, change nothing
    try:
        state = ctypes.CDLL(None).adjtimex(timex)
    except (OSError, AttributeError):  # no such call in this C library
        return False
    return 0 <= state < _TIME_ERROR


def _read_boot_id() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""
