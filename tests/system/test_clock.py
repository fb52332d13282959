"""When the machine's clock is trusted: with clocks that a test sets, and with the real ones."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

import pytest

from hivewatch.config.sections import ClockConfig
from hivewatch.system.clock import EARLIEST, Clock, synchronised

NOON = datetime(2027, 5, 14, 12, 0, tzinfo=UTC)
YEAR_1970 = datetime(1970, 1, 1, tzinfo=UTC)


class Machine:
    """The clocks of a machine, 10 s after boot."""

    def __init__(self, wall: datetime, *, synchronised: bool = False) -> None:
        self.wall = wall
        self.monotonic_s = 10.0
        self.synchronised = synchronised

    def pass_time(self, seconds: float) -> None:
        self.monotonic_s += seconds
        self.wall += timedelta(seconds=seconds)

    def clock(self, wait_s: float = 600.0, latest: datetime | None = None) -> Clock:
        clock = Clock(
            ClockConfig(wait_s=wait_s),
            now=lambda: self.wall,
            monotonic_s=lambda: self.monotonic_s,
            synchronised=lambda: self.synchronised,
        )
        clock.start(latest)
        return clock


def test_a_synchronised_clock_is_trusted_at_once() -> None:
    clock = Machine(NOON, synchronised=True).clock()
    assert clock.trusted
    assert clock.stamp() is None
    assert clock.holds_messages, "until recorded times are corrected"
    clock.release_messages()
    assert not clock.holds_messages


def test_messages_are_held_before_the_first_check() -> None:
    assert Clock(ClockConfig(wait_s=0)).holds_messages


def test_an_unsynchronised_clock_is_trusted_only_after_the_wait() -> None:
    machine = Machine(NOON)
    clock = machine.clock(wait_s=60)
    machine.pass_time(49)
    assert not clock.tick()
    assert clock.holds_messages
    machine.pass_time(2)
    clock.tick()
    machine.pass_time(2)
    assert clock.holds_messages
    assert clock.tick()
    assert clock.trusted


@pytest.mark.parametrize(
    ("wall", "latest"),
    [(YEAR_1970, None), (EARLIEST - timedelta(days=1), None), (NOON, NOON + timedelta(hours=1))],
)
def test_a_clock_behind_the_latest_sighting_is_never_trusted_but_releases_messages_after_the_wait(
    wall: datetime, latest: datetime | None, caplog: pytest.LogCaptureFixture
) -> None:
    machine = Machine(wall)
    clock = machine.clock(wait_s=60, latest=latest)
    for _ in range(100):
        machine.pass_time(1)
        clock.tick()
    assert not clock.trusted
    assert not clock.holds_messages
    assert clock.stamp() is not None
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1


def test_a_clock_in_1970_is_not_trusted_even_if_synchronised() -> None:
    assert not Machine(YEAR_1970, synchronised=True).clock().trusted


def test_a_clock_set_while_watching_is_trusted_once_earlier_frames_are_processed() -> None:
    machine = Machine(YEAR_1970)
    clock = machine.clock()
    machine.pass_time(1)
    machine.wall, machine.synchronised = NOON, True
    assert not clock.tick()
    assert not clock.tick(), "a second check within one second"
    machine.pass_time(1)
    assert clock.tick()
    machine.pass_time(1)
    assert not clock.tick(), "reported once"


@pytest.mark.parametrize("jump", [timedelta(days=365), timedelta(hours=-2)])
def test_a_trusted_clock_stays_trusted_when_it_jumps(jump: timedelta) -> None:
    machine = Machine(NOON, synchronised=True)
    clock = machine.clock(latest=NOON - timedelta(seconds=1))
    machine.synchronised = False
    machine.wall += jump
    machine.pass_time(5)
    clock.tick()
    assert clock.trusted


def test_ages_need_a_trusted_clock() -> None:
    assert Machine(YEAR_1970).clock().now_for_ages() is None
    assert Machine(NOON, synchronised=True).clock().now_for_ages() == NOON


def test_after_a_jump_there_are_no_ages_for_a_day(caplog: pytest.LogCaptureFixture) -> None:
    machine = Machine(NOON, synchronised=True)
    clock = machine.clock()
    machine.wall += timedelta(days=365)
    machine.pass_time(1)
    clock.tick()
    assert clock.now_for_ages() is None
    assert "+8760.0 hours" in caplog.text
    machine.pass_time(86_399)
    clock.tick()
    assert clock.now_for_ages() is None
    machine.pass_time(2)
    clock.tick()
    assert clock.now_for_ages() == machine.wall


def test_small_corrections_are_not_a_jump() -> None:
    machine = Machine(NOON, synchronised=True)
    clock = machine.clock()
    for correction_s in (-90, 60, 300):
        machine.wall += timedelta(seconds=correction_s)
        machine.pass_time(2)
        clock.tick()
    assert clock.now_for_ages() == machine.wall


def test_a_stamp_of_1970_is_dated_by_the_time_elapsed_since() -> None:
    machine = Machine(YEAR_1970)
    clock = machine.clock()
    stamp = clock.stamp()
    assert stamp is not None
    machine.pass_time(90)
    machine.wall = NOON
    assert clock.date_of(stamp) == NOON - timedelta(seconds=90)


def test_a_stamp_of_an_earlier_boot_cannot_be_dated() -> None:
    clock = Machine(YEAR_1970).clock()
    stamp = clock.stamp()
    assert stamp is not None
    assert clock.date_of(type(stamp)("another boot", stamp.monotonic_s)) is None


def test_the_real_clocks_work() -> None:
    """Whatever the state of this machine, the result is a value and no error."""
    assert synchronised() in (True, False)
    clock = Clock(ClockConfig(wait_s=0))
    clock.start(None)
    assert clock.trusted
