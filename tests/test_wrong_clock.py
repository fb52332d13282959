"""The daemon on a machine whose clock is wrong, and is set while it watches."""

from __future__ import annotations

import json
import os
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from brokers import Broker, Subscriber, wait_until
from daemons import ALWAYS_A_HORNET, Daemon

from hivewatch.store import Store

YEAR_S = 365 * 86_400.0
ALWAYS = ALWAYS_A_HORNET | {"cool_down_s": 0.0}
NEVER = {"threshold": 1.0, "release": 1.0, "quiet_s": 0.1, "cool_down_s": 0.0}


class Clock:
    """The wall clock of a daemon, off by as much as a test wants."""

    def __init__(self, directory: Path, off_by_s: float) -> None:
        self._file = directory / "off-by-s"
        self.set(off_by_s)
        folders = (Path(__file__).parent / "wrong_clock", Path(__file__).parent.parent)
        paths = [*map(str, folders), os.environ.get("PYTHONPATH", "")]
        self.environment = {
            "PYTHONPATH": ":".join(filter(None, paths)),
            "WRONG_CLOCK_OFF_BY_S": str(self._file),
        }

    def set(self, off_by_s: float) -> None:
        partial = self._file.with_suffix(".part")
        partial.write_text(str(off_by_s))
        partial.replace(self._file)


def reload(daemon: Daemon, decision: dict[str, float], words: str) -> None:
    """Let the daemon decide by other rules, and wait until the log says ``words`` once more."""
    before = daemon.log.count(words)
    daemon.configure(decision=decision)
    daemon.signal(signal.SIGHUP)
    wait_until(lambda: daemon.log.count(words) > before, f"the log says {words!r} again", 60)


def events(subscriber: Subscriber) -> list[dict[str, Any]]:
    return [json.loads(payload) for payload in subscriber.on("event")]


def off_by(iso: str) -> timedelta:
    return abs(datetime.fromisoformat(iso) - datetime.now(UTC))


def test_sightings_of_1970_wait_for_the_clock_and_go_out_with_the_right_time(
    tmp_path: Path, tiny_model_path: Path, broker: Broker
) -> None:
    clock = Clock(tmp_path, -time.time() + 600)
    sections = {
        "mqtt": {"host": "127.0.0.1", "port": broker.port},
        "clock": {"wait_s": time.monotonic() + 20},  # where no time server keeps this machine's clock
    }
    with (
        Subscriber(broker.port) as subscriber,
        Daemon(tmp_path, tiny_model_path, clock.environment, **sections) as daemon,
    ):
        daemon.wait_for_log("start, best score")
        reload(daemon, NEVER, "end, best score")
        wait_until(lambda: bool(subscriber.on("health")), "a health document arrives")
        assert not events(subscriber), "held back"
        assert json.loads(subscriber.on("health")[-1])["at"].startswith("1970")
        clock.set(0)
        wait_until(lambda: len(events(subscriber)) >= 2, "the events arrive", 60)
        assert daemon.stop() == 0
    assert "before the clock was set" in daemon.log
    for event in events(subscriber):
        assert "clock" not in event
        for name in ("at", "started_at", "last_seen_at"):
            assert off_by(event[name]) < timedelta(minutes=2)
    with Store(daemon.store) as store:
        assert all(sighting.started_at.year > 2000 for sighting in store.sightings(100))


def test_with_a_clock_that_stays_wrong_sightings_go_out_marked(
    tmp_path: Path, tiny_model_path: Path, broker: Broker
) -> None:
    clock = Clock(tmp_path, -time.time() + 600)
    mqtt = {"host": "127.0.0.1", "port": broker.port}
    with (
        Subscriber(broker.port) as subscriber,
        Daemon(tmp_path, tiny_model_path, clock.environment, mqtt=mqtt) as daemon,
    ):
        wait_until(lambda: bool(events(subscriber)), "an event arrives", 60)
        assert daemon.stop() == 0
    assert all(event["clock"]["monotonic_s"] > 0 for event in events(subscriber))
    assert "the clock says 1970" in daemon.log


@pytest.mark.parametrize("jump_s", [YEAR_S, -7200.0])
def test_a_jump_during_a_sighting_breaks_neither_it_nor_what_is_kept(
    tmp_path: Path, tiny_model_path: Path, jump_s: float
) -> None:
    clock = Clock(tmp_path, 0)
    with Daemon(tmp_path, tiny_model_path, clock.environment, decision=ALWAYS) as daemon:
        daemon.wait_for_log("start, best score")
        reload(daemon, NEVER, "end, best score")
        reload(daemon, ALWAYS, "start, best score")
        clock.set(jump_s)
        daemon.wait_for_log("the clock was set")
        assert daemon.stop() == 0
    with Store(daemon.store) as store:
        kept = store.sightings(1000)
    assert len(kept) == 2, "nothing was removed for its age"
    for sighting in kept:
        assert sighting.ended_at is not None
        assert timedelta(0) <= sighting.ended_at - sighting.started_at < timedelta(minutes=5)
    told = sorted(abs(sighting.last_seen_at - datetime.now(UTC)).total_seconds() for sighting in kept)
    assert told[0] < 120
    assert told[1] == pytest.approx(abs(jump_s), abs=120)
