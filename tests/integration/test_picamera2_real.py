"""Picamera2Camera with the real picamera2 and libcamera, on libcamera's virtual camera.

A Debian 13 tree contains both. ``report.py`` runs once in it, and each test checks a part of its report. The
last test runs the whole daemon there.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pytest
from support.brokers import Broker, Subscriber, wait_until
from support.daemons import Daemon
from support.debian_tree import DebianTree, runtime_requirements
from support.installed import WAIT_S, torch_for_trixie
from support.paths import PROJECT, SUPPORT

from hivewatch.vision.trust import RELEASED_MODEL

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1500)]

RIG = SUPPORT / "libcamera"
MOUNTS = {
    RIG: "/rig",
    RIG / "virtual.yaml": "/usr/share/libcamera/pipeline/virtual/virtual.yaml",
    PROJECT / "hivewatch": "/opt/hivewatch/hivewatch",
}
ENVIRONMENT = {"LD_PRELOAD": "/opt/preload.so", "PYTHONPATH": "/opt/hivewatch"}
BARS = {
    "white": (255, 255, 255),
    "yellow": (255, 255, 0),
    "cyan": (0, 255, 255),
    "green": (0, 255, 0),
    "magenta": (255, 0, 255),
    "red": (255, 0, 0),
    "blue": (0, 0, 255),
    "black": (0, 0, 0),
}


def libcamera_tree() -> DebianTree:
    """Return the recipe: libcamera from Debian, picamera2 from PyPI, and the library of preload.c."""
    without_torch = [line for line in runtime_requirements() if not line.startswith("torch")]
    requirements = " ".join(f"'{line}'" for line in ("picamera2==0.3.38", *without_torch))
    return DebianTree(
        name="libcamera",
        suite="trixie",
        packages=(
            *("python3", "python3-venv", "python3-dev", "python3-libcamera", "libcamera-ipa"),
            *("gcc", "libc6-dev", "linux-libc-dev", "libcap-dev"),
        ),
        script=f"""
            python3 -m venv --system-site-packages /opt/venv
            /opt/venv/bin/pip install --quiet --no-cache-dir {requirements}
            gcc -Wall -Wextra -Werror -O2 -shared -fPIC -o /opt/preload.so /rig/preload.c
        """,
        files=(RIG / "preload.c",),
    )


def run_report(*arguments: str, environment: dict[str, str] | None = None) -> Any:
    """Run report.py in the tree with this checkout's package and return its report."""
    tree = libcamera_tree()
    tree.ensure()
    done = tree.run(
        ["/opt/venv/bin/python", "-B", "/rig/report.py", *arguments],
        mounts=MOUNTS,
        environment=ENVIRONMENT | (environment or {}),
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def report() -> Any:
    """Return the report on the camera that exists."""
    return run_report()


def test_the_camera_is_listed_with_its_number_and_model(report: Any) -> None:
    assert report["listed"] == [[0, "Virtual Video Device"]]


def test_frames_are_numbered_and_their_times_rise(report: Any) -> None:
    frames = report["steady"]["frames"]
    assert [frame["sequence"] for frame in frames] == list(range(20))
    assert (np.diff([frame["monotonic_s"] for frame in frames]) > 0).all()


def test_frames_are_fresh_by_both_clocks(report: Any) -> None:
    for frame in report["steady"]["frames"]:
        assert 0 <= frame["age_s"] < 0.5
        assert frame["age_by_clock_s"] == pytest.approx(frame["age_s"], abs=0.1)


def test_a_camera_faster_than_the_rate_is_throttled(report: Any) -> None:
    """The virtual camera ignores frame durations and delivers hundreds of frames a second."""
    times_s = [frame["monotonic_s"] for frame in report["steady"]["frames"]]
    assert np.diff(times_s).min() >= 0.9 / 10
    assert report["fastest"] > 10


def test_the_size_is_that_of_the_camera(report: Any) -> None:
    assert all(frame["shape"] == [768, 1024, 3] for frame in report["steady"]["frames"])
    assert report["other_sizes"] == {"640x512": [512, 640, 3], "1280x720": [768, 1024, 3]}


@pytest.mark.parametrize("row", ["top_row", "bottom_row"])
def test_the_test_pattern_has_its_colours(report: Any, row: str) -> None:
    """The bars move left from frame to frame, so they are counted from the start of the white one."""
    pixels = np.array(report["steady"][row])
    white = (pixels > 250).all(axis=1)
    first = np.flatnonzero(white & ~np.roll(white, 1))[0]
    bar_px = len(pixels) // len(BARS)
    middles = (first + bar_px // 2 + bar_px * np.arange(len(BARS))) % len(pixels)
    assert np.abs(pixels[middles] - list(BARS.values())).max() <= 4


def test_a_slow_reader_gets_fresh_frames_and_dropped_ones_are_counted(report: Any) -> None:
    frames = report["slow_reader"]["frames"]
    assert max(frame["age_s"] for frame in frames) < 0.3, "the reader slept for 0.5 s between frames"
    assert report["slow_reader"]["dropped"] >= 8 * (len(frames) - 1), "at 20 Hz, 9 are due in 0.5 s"


def test_the_stop_event_ends_the_frames_soon(report: Any) -> None:
    assert report["stopped_while_frames_come"] < 0.5 + 0.5, "half a second to notice, the rest to close"
    assert report["stopped_while_none_come"] < 0.5 + 0.5


def test_a_reader_that_leaves_early_closes_the_camera(report: Any) -> None:
    assert report["steady"]["is_open_after_close"] is False


def test_a_camera_that_stops_delivering_frames_is_an_error(report: Any) -> None:
    assert report["starved"].startswith("no fresh frame from picamera2:0 within 1 s. Check that the cable")


def test_a_camera_that_dies_is_an_error_in_time_and_can_be_reopened(report: Any) -> None:
    assert report["dying"]["waited_s"] < 1 + 3, "time_out_s is 1, the rest is for closing"
    assert report["dying"]["sequence_after_reopening"] == 0


def test_a_camera_in_use_is_reported_as_busy(report: Any) -> None:
    assert "busy" in report["in_use"]
    assert "Another program has it" in report["in_use"]


def test_a_number_too_high_lists_the_existing_cameras() -> None:
    assert "no camera number 5: libcamera sees only Virtual Video Device." in run_report("5")


def test_no_camera_at_all_says_what_to_check() -> None:
    message = run_report("0", environment={"LIBCAMERA_PIPELINES_MATCH_LIST": "none"})
    assert "libcamera sees none at all. Check that the cable" in message


class DaemonInTree(Daemon):
    """A daemon that runs in the tree. ``inside`` is the path of its directory there."""

    inside: str
    torch: Path
    """Directory on this machine with torch for the tree's Python."""

    def _start(self, log: TextIO) -> subprocess.Popen[bytes]:
        arguments = ["run", "--config", f"{self.inside}/{self.config_path.name}"]
        return libcamera_tree().start(
            ["/opt/venv/bin/python", "-B", "/rig/command_line.py", *arguments],
            log,
            mounts=MOUNTS | {self.torch: "/opt/torch"},
            environment=ENVIRONMENT | {"PYTHONPATH": "/opt/hivewatch:/opt/torch"},
        )


@pytest.fixture
def daemon(broker: Broker) -> Iterator[DaemonInTree]:
    """Return a daemon, not started, with the camera, the released model and this machine's broker."""
    tree = libcamera_tree()
    tree.ensure()
    with tempfile.TemporaryDirectory(prefix="daemon-", dir=tree.path / "tmp") as folder:
        inside = f"/{Path(folder).relative_to(tree.path)}"
        # The test pattern is not a natural scene, so faults of the view are not raised.
        checks = {"raise_after_s": 3600.0}
        daemon = DaemonInTree(
            Path(folder),
            Path("/opt/hivewatch", RELEASED_MODEL.relative_to(PROJECT)),
            camera={"kind": "picamera2", "width_px": 1024, "height_px": 768, "checks": checks},
            store={"directory": f"{inside}/store"},
            mqtt={"host": "127.0.0.1", "port": broker.port},
            health={"interval_s": 1.0},
        )
        daemon.inside, daemon.torch = inside, torch_for_trixie()
        yield daemon


@pytest.mark.timeout(3600)  # both trees may have to be built
def test_the_daemon_watches_through_picamera2(daemon: DaemonInTree, broker: Broker) -> None:
    """The camera is online, frames are classified and cause alerts, and SIGTERM ends the daemon cleanly."""

    def last(leaf: str) -> Any:
        assert daemon.process.poll() is None, "the daemon has ended"
        return json.loads((subscriber.on(leaf) or [b"{}"])[-1])

    def frames() -> Any:
        return last("health").get("frames", {"seen": 0, "classified": 0})

    with Subscriber(broker.port) as subscriber, daemon:
        wait_until(lambda: last("camera/status").get("status") == "online", "the camera is online", WAIT_S)
        wait_until(lambda: frames()["seen"] >= 10, "frames are seen", WAIT_S)
        wait_until(lambda: frames()["classified"] >= 3, "frames are classified", WAIT_S)
        wait_until(lambda: bool(subscriber.on("snapshot")), "a snapshot", WAIT_S)
        assert last("camera/status")["status"] == "online"
        assert {last("camera/status")["source"], last("health")["source"]} == {"picamera2:0"}
        assert daemon.stop() == 0
        assert "not stopped within" not in daemon.log
        wait_until(lambda: subscriber.on("availability")[-1:] == [b"offline"], "it publishes offline")
