"""Trials of a daemon whose network camera fails: how soon are the fault and its end published?"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from support.brokers import Broker, Subscriber, wait_until
from support.daemons import ALWAYS_A_HORNET, Daemon
from support.damage import damaged
from support.fakes import make_pixels
from support.mjpeg_server import MjpegServer
from support.trials import Outcome, timed

TIMEOUT_S, RAISE_S, CLEAR_S = 1.0, 1.5, 0.5
# The longest wait between two attempts to reconnect; the camera has twice its time-out to open.
RECONNECT_S = 0.5
PATIENCE_S = 20.0
_LATENESS_S = 5.0  # tolerated on a machine that is busy with other tests
_RATE_HZ = 8.0

Picture = Callable[[int], np.ndarray | bytes]


def entrance(number: int) -> np.ndarray:
    """Return a picture with sensor noise: no two are identical."""
    noise = np.random.default_rng(number).integers(0, 12, (120, 160, 3), np.uint8)
    return make_pixels(160, 120) // 2 + 60 + noise


def frozen(_number: int) -> np.ndarray:
    """Return always the same picture."""
    return entrance(0)


def black(number: int) -> np.ndarray:
    """Return a picture taken at night."""
    return entrance(number) // 20


def white(number: int) -> np.ndarray:
    """Return a picture of a failed exposure."""
    return entrance(number) // 64 + np.uint8(251)


def garbage(number: int) -> bytes:
    """Return random bytes."""
    return random.Random(number).randbytes(3000)


def broken(number: int) -> bytes:
    """Return a JPEG that is damaged in another way for each number."""
    whole = cv2.imencode(".jpg", entrance(number))[1].tobytes()
    return whole[:20] + damaged(whole[20:], random.Random(number))


@dataclass(slots=True)
class Site:
    """A camera, a daemon and a subscriber."""

    server: MjpegServer
    daemon: Daemon
    subscriber: Subscriber

    @property
    def documents(self) -> list[dict[str, Any]]:
        """The camera status documents received so far."""
        return [json.loads(payload) for payload in self.subscriber.on("camera/status")]

    def wait_for(self, status: str, *reasons: str, timeout_s: float = PATIENCE_S) -> float:
        """Wait until the camera has this status; return how many seconds that took."""
        started_s = time.monotonic()
        wait_until(
            lambda: [(d["status"], d["reasons"]) for d in self.documents[-1:]] == [(status, list(reasons))],
            f"{status} {reasons}; received so far: {[(d['status'], d['reasons']) for d in self.documents]}",
            timeout_s,
        )
        return time.monotonic() - started_s


@contextmanager
def open_site(directory: Path, model: Path, broker: Broker, **checks: float) -> Iterator[Site]:
    """Run a daemon and wait until its camera is online. ``checks`` override the options of this trial."""
    server = MjpegServer(rate_hz=10.0)
    server.picture = entrance
    server.start()
    video = {"source": server.url, "reconnect_first_s": 0.2, "reconnect_longest_s": RECONNECT_S}
    # A busy machine may be slow, so the frame rate is not checked.
    limits = {
        "raise_after_s": RAISE_S,
        "clear_after_s": CLEAR_S,
        "reopenings": 100,
        "slow_share": 0.0,
        **checks,
    }
    sections = {
        "camera": {
            "kind": "video",
            "rate_hz": _RATE_HZ,
            "timeout_s": TIMEOUT_S,
            "video": video,
            "checks": limits,
        },
        "decision": ALWAYS_A_HORNET | {"cool_down_s": 0.0},
        "mqtt": {"host": "127.0.0.1", "port": broker.port},
    }
    try:
        with Subscriber(broker.port) as subscriber, Daemon(directory, model, **sections) as daemon:
            site = Site(server, daemon, subscriber)
            site.wait_for("online", timeout_s=60)
            yield site
    finally:
        server.kill()


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault, the status it leads to, and the time limit for that."""

    name: str
    start: Callable[[MjpegServer], None]
    end: Callable[[MjpegServer], None]
    status: str
    reason: str
    reported_within_s: float


def _shows(picture: Picture) -> Callable[[MjpegServer], None]:
    def show(server: MjpegServer) -> None:
        server.picture = picture

    return show


def _restart(server: MjpegServer) -> None:
    server.start()


_NO_FRAME_S = TIMEOUT_S + 0.5
_RAISED_S = RAISE_S + 0.5
FAULTS = (
    Fault("hangs", lambda s: s.hangs.set(), lambda s: s.hangs.clear(), "offline", "no_frames", _NO_FRAME_S),
    Fault("vanishes", lambda s: s.kill(), _restart, "offline", "no_frames", _NO_FRAME_S),
    Fault("garbage", _shows(garbage), _shows(entrance), "offline", "no_frames", _NO_FRAME_S),
    Fault("freezes", _shows(frozen), _shows(entrance), "offline", "repeating", _RAISED_S),
    Fault("black", _shows(black), _shows(entrance), "degraded", "dark", _RAISED_S),
    Fault("white", _shows(white), _shows(entrance), "degraded", "white", _RAISED_S),
)


def try_fault(site: Site, fault: Fault, runs: int) -> Outcome:
    """Let the camera fail and recover ``runs`` times; note the longest delays until both are reported."""
    outcome = Outcome(f"camera: {fault.name}", runs)
    reported_s, recovered_s = 0.0, 0.0
    with timed(outcome):
        for _ in range(runs):
            fault.start(site.server)
            took_s = site.wait_for(fault.status, fault.reason)
            reported_s = max(reported_s, took_s)
            fault.end(site.server)
            recovered_s = max(recovered_s, site.wait_for("online"))
    if reported_s > fault.reported_within_s + _LATENESS_S:
        outcome.problems.append("reported too late")
    if "Traceback" in site.daemon.log:
        outcome.problems.append("a traceback in the log")
    outcome.note = (
        f"reported within {reported_s:.1f} s (limit: {fault.reported_within_s:.1f} s),"
        f" recovered within {recovered_s:.1f} s"
    )
    return outcome


def camera_fault(directory: Path, model: Path, fault: Fault, runs: int) -> Outcome:
    """Try one fault ``runs`` times, with its own broker and daemon."""
    (directory / "broker").mkdir(parents=True)
    broker = Broker(directory / "broker").start()
    try:
        with open_site(directory, model, broker) as site:
            return try_fault(site, fault, runs)
    finally:
        broker.kill()
