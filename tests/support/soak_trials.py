"""Hours of watching in simulated time: nothing may be lost, and neither memory nor queues may grow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

from support.brokers import Broker, Subscriber, wait_until
from support.paths import SUPPORT, python_path
from support.trials import Outcome, compare, event_key, timed

PROGRAM = SUPPORT / "soaking.py"
# What torch, SQLite and the allocator may add by chance between two quarters of a run.
NOISE_BYTES = 8_000_000


def soak(directory: Path, model: Path, frames: int, rate_hz: float) -> Outcome:
    """Process frames as fast as possible; in simulated time they come at ``rate_hz``."""
    outcome = Outcome(f"soak: {frames} frames, {frames / rate_hz / 3600:.1f} simulated hours", runs=1)
    (directory / "broker").mkdir(parents=True)
    broker = Broker(directory / "broker").start()
    environment = os.environ | {"PYTHONPATH": python_path(), "OMP_NUM_THREADS": "1"}
    arguments = [str(value) for value in (directory / "store", model, broker.port, frames, rate_hz)]
    with timed(outcome), Subscriber(broker.port) as subscriber:
        done = subprocess.run(
            [sys.executable, str(PROGRAM), *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        *samples, end = map(json.loads, done.stdout.splitlines())
        wait_until(lambda: len(subscriber.on("event")) >= len(end["keys"]), "all events arrive")
    broker.kill()
    compare(outcome, end["keys"], [event_key(payload) for payload in subscriber.on("event")])
    _judge(outcome, samples)
    return outcome


def _judge(outcome: Outcome, samples: list[dict[str, Any]]) -> None:
    half = len(samples) // 2
    third, last = samples[half : half + half // 2], samples[half + half // 2 :]
    before, after = (median(sample["rss_bytes"] for sample in part) for part in (third, last))
    million_frames = (last[0]["frames"] - third[0]["frames"]) / 1e6
    slope_mb = (after - before) / 1e6 / million_frames
    outcome.note = (
        f"RSS {after / 1e6:.0f} MB, {after - before:+,.0f} bytes ({slope_mb:+.1f} MB/million frames)"
    )
    if after - before > NOISE_BYTES:
        outcome.problems.append("memory grows")
    for name in ("files", "threads"):
        if max(s[name] for s in last) > max(s[name] for s in third):
            outcome.problems.append(f"{name} grow")
        outcome.note += f", {last[-1][name]} {name}"
    if max(sample["outbox"] for sample in last) > 4:
        outcome.problems.append("the outbox grows")
