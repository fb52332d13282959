"""A daemon whose clock is wrong or is set while it runs: every sighting arrives with the right time."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hivewatch.store import Store
from support.brokers import Broker, Subscriber, wait_until
from support.daemons import ALWAYS_A_HORNET, Daemon
from support.paths import SUPPORT, python_path
from support.trials import Outcome, compare, timed

YEAR_S = 365 * 86_400.0
ALWAYS = ALWAYS_A_HORNET | {"cool_down_s": 0.0}
NEVER = {"threshold": 1.0, "release": 1.0, "quiet_s": 0.1, "cool_down_s": 0.0}
# Daemon, subscriber and this process read the time one after the other.
PRECISION = timedelta(minutes=2)


class WrongClock:
    """The wall clock of a daemon, off by any number of seconds."""

    def __init__(self, directory: Path, off_by_s: float) -> None:
        directory.mkdir(exist_ok=True)
        self._file = directory / "off-by-s"
        self.set(off_by_s)
        self.environment = {
            "PYTHONPATH": python_path(SUPPORT / "wrong_clock"),
            "WRONG_CLOCK_OFF_BY_S": str(self._file),
        }

    def set(self, off_by_s: float) -> None:
        """Set the clock."""
        partial = self._file.with_suffix(".part")
        partial.write_text(str(off_by_s))
        partial.replace(self._file)


def boot_in_1970(directory: Path, model: Path, visits: int, wait_s: float) -> Outcome:
    """Record visits in 1970, then set the clock; the daemon trusts it ``wait_s`` after the start."""
    outcome = Outcome("clock: starts in 1970, is set later", runs=visits)
    clock = WrongClock(directory, 600 - time.time())
    trusted_at_s = time.monotonic() + wait_s  # after boot, if this machine's clock is not synchronised
    with timed(outcome), watching(directory, model, clock, trusted_at_s) as (subscriber, daemon):
        daemon.wait_for_log("start, best score")
        for _ in range(visits - 1):
            reload(daemon, NEVER, "end, best score")
            reload(daemon, ALWAYS, "start, best score")
        if subscriber.on("event"):
            outcome.problems.append("sent before the clock was set")
        clock.set(0)
        wait_until(lambda: bool(subscriber.on("event")), "events arrive", wait_s + 60)
        _stop_and_compare(outcome, daemon, subscriber, visits)
    if "before the clock was set" not in daemon.log:
        outcome.problems.append("no times were corrected")
    if any(_is_off(event, timedelta()) for event in events(subscriber)):
        outcome.problems.append("wrong times were sent")
    return outcome


def jump_during_a_sighting(directory: Path, model: Path, jump_s: float) -> Outcome:
    """Set the clock while one sighting is open and another one is stored."""
    outcome = Outcome(f"clock: jumps {jump_s / 3600:+.0f} h during a sighting", runs=1)
    clock = WrongClock(directory, 0)
    with timed(outcome), watching(directory, model, clock) as (subscriber, daemon):
        daemon.wait_for_log("start, best score")
        reload(daemon, NEVER, "end, best score")
        reload(daemon, ALWAYS, "start, best score")
        clock.set(jump_s)
        daemon.wait_for_log("the clock jumped")
        _stop_and_compare(outcome, daemon, subscriber, 2)
    last = events(subscriber)[-1]
    if _is_off(last, timedelta(seconds=jump_s)):
        outcome.problems.append("the sighting is not dated by the clock as it was set")
    if not 0 <= last["duration_s"] < PRECISION.total_seconds():
        outcome.problems.append(f"the sighting took {last['duration_s']} s")
    return outcome


def reload(daemon: Daemon, decision: dict[str, float], words: str) -> None:
    """Reload the daemon with another decision section and wait until the log contains ``words`` again."""
    before = daemon.log.count(words)
    daemon.configure(decision=decision)
    daemon.signal(signal.SIGHUP)
    wait_until(lambda: daemon.log.count(words) > before, f"the log says {words!r} again", 60)


def events(subscriber: Subscriber) -> list[dict[str, Any]]:
    """Return the event documents received so far."""
    return [json.loads(payload) for payload in subscriber.on("event")]


@contextmanager
def watching(
    directory: Path, model: Path, clock: WrongClock, wait_s: float = 0.0
) -> Iterator[tuple[Subscriber, Daemon]]:
    """Run a daemon with this clock that classifies every frame as a hornet, a broker and a subscriber."""
    (directory / "broker").mkdir()
    broker = Broker(directory / "broker").start()
    sections: dict[str, Any] = {
        "mqtt": {"host": "127.0.0.1", "port": broker.port},
        "decision": ALWAYS,
        "clock": {"wait_s": wait_s},
    }
    try:
        with (
            Subscriber(broker.port) as subscriber,
            Daemon(directory, model, clock.environment, **sections) as daemon,
        ):
            yield subscriber, daemon
    finally:
        broker.kill()


def _stop_and_compare(outcome: Outcome, daemon: Daemon, subscriber: Subscriber, visits: int) -> None:
    if daemon.stop() != 0:
        outcome.problems.append("it did not stop with exit code 0")
    with Store(daemon.store) as store:
        kept = len(store.sightings(10 * visits))
    if kept != visits:
        outcome.problems.append(f"{kept} of {visits} sightings are kept")
    # Events are logged when they are on disk.
    expected = [" ".join(found) for found in re.findall(r"sighting (\w+): (start|end)", daemon.log)]
    wait_until(lambda: _told(subscriber)[-1:] == expected[-1:], "the end arrives")
    compare(outcome, expected, _told(subscriber))


def _told(subscriber: Subscriber) -> list[str]:
    told = [(event["sighting_id"], event["event_type"]) for event in events(subscriber)]
    return [f"{id_} {phase}" for id_, phase in told if phase != "update"]


def _is_off(event: dict[str, Any], by: timedelta) -> bool:
    names = ("at", "started_at", "last_seen_at")
    moments = (datetime.fromisoformat(event[name]) for name in names)
    return "clock" in event or any(abs(moment - by - datetime.now(UTC)) > PRECISION for moment in moments)
