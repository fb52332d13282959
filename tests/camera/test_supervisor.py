"""The supervisor handles every camera fault: status reports, reopening, and errors."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterable
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from support.brokers import wait_until
from support.fakes import make_frame, make_pixels

from hivewatch.camera.base import CameraCounts, OnIdle
from hivewatch.camera.supervisor import Supervisor
from hivewatch.config.sections import CameraChecksConfig, CameraConfig, FolderConfig
from hivewatch.domain.frames import Frame
from hivewatch.domain.status import CameraFault, CameraState, CameraStatus
from hivewatch.errors import CameraError, PublishError

CHECKS = CameraChecksConfig(raise_after_s=4.0, clear_after_s=2.0, reopenings=2)
CONFIG = CameraConfig(rate_hz=1.0, timeout_s=0.2, checks=CHECKS)


class ScriptedCamera:
    """A live camera that plays ``openings``: picture seeds, None for an outage, exceptions to raise.

    Its clock advances one second per frame. An outage lasts until ``outage_reported`` is set.
    """

    name = "scripted camera"
    is_live = True

    def __init__(self, *openings: Iterable[int | Exception | None]) -> None:
        self.counts = CameraCounts()
        self.opened = self.closed = 0
        self.on_idle: OnIdle = lambda: None
        self.outage_reported = threading.Event()
        self._openings = list(openings)
        self._clock = count()

    def __call__(self, _config: CameraConfig, on_idle: OnIdle) -> ScriptedCamera:
        self.on_idle = on_idle
        return self

    def frames(self, stop: threading.Event) -> Generator[Frame]:
        self.opened += 1
        try:
            for number, seed in enumerate(self._openings.pop(0)):
                if isinstance(seed, Exception):
                    raise seed
                if stop.is_set():
                    return
                if seed is None:
                    wait_until(self._idle, "the outage is reported")
                else:
                    yield make_frame(make_pixels(seed=seed), next(self._clock), number)
        finally:
            self.closed += 1

    def _idle(self) -> bool:
        self.on_idle()
        return self.outage_reported.is_set()


class StatusLog:
    """An ``on_status`` callback that records each status."""

    def __init__(self) -> None:
        self.entries: list[tuple[CameraState, tuple[CameraFault, ...]]] = []

    def __call__(self, status: CameraStatus) -> None:
        self.entries.append((status.state, status.reasons))


OFFLINE = (CameraState.OFFLINE, (CameraFault.NO_FRAMES,))
ONLINE = (CameraState.ONLINE, ())
STUCK = (CameraState.OFFLINE, (CameraFault.REPEATING,))


def test_frames_pass_through_in_sequence_and_the_first_two_bring_the_camera_online() -> None:
    supervisor = Supervisor(CONFIG, ScriptedCamera(range(5)))
    statuses = StatusLog()
    frames = list(supervisor.frames(threading.Event(), statuses))
    assert [frame.sequence for frame in frames] == list(range(5))
    assert all(frame.usable for frame in frames)
    assert statuses.entries == [OFFLINE, ONLINE]


def test_a_stuck_camera_is_reopened_and_recovers_without_repeating_a_sequence_number() -> None:
    camera = ScriptedCamera([1, 2, *[3] * 50], range(10, 16))
    statuses = StatusLog()
    frames = list(Supervisor(CONFIG, camera).frames(threading.Event(), statuses))
    assert (camera.opened, camera.closed) == (2, 2)
    assert [frame.sequence for frame in frames] == list(range(len(frames)))
    assert [frame.usable for frame in frames] == [True] * 3 + [False] * (len(frames) - 9) + [True] * 6
    assert statuses.entries == [OFFLINE, ONLINE, STUCK, ONLINE]


def test_a_camera_that_stays_stuck_is_reopened_with_growing_waits_and_then_raises() -> None:
    camera = ScriptedCamera([1, *[2] * 99], [2] * 99, [2] * 99)
    frames: list[Frame] = []
    with pytest.raises(CameraError, match=r"the same picture repeats, although it was reopened 2 times"):
        frames.extend(Supervisor(CONFIG, camera).frames(threading.Event()))
    assert camera.opened == 3
    assert len(frames) == 2 + 4 + 4 + 8 + 1, "reopened after 4 s and after 4 s more, given up after 8 s more"


def test_each_time_the_camera_gets_stuck_it_has_the_full_number_of_attempts() -> None:
    camera = ScriptedCamera(*[[*range(3, 8), *[2] * 99]] * 5, range(20, 30))
    list(Supervisor(CONFIG, camera).frames(threading.Event()))
    assert camera.opened == 6


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (CameraError("cable"), "^cable$"),
        (RuntimeError("odd"), r"failed unexpectedly: RuntimeError: odd"),
        (ValueError("a frame is uint8 H x W x 3, not uint8 (0, 5)"), "H x W x 3"),
        (cv2.error("no"), "failed unexpectedly"),
    ],
)
def test_any_exception_of_a_camera_takes_it_offline_and_becomes_a_camera_error(
    fault: Exception, words: str
) -> None:
    supervisor = Supervisor(CONFIG, ScriptedCamera([1, 2, fault]))
    statuses = StatusLog()
    with pytest.raises(CameraError, match=words):
        list(supervisor.frames(threading.Event(), statuses))
    assert statuses.entries == [OFFLINE, ONLINE, OFFLINE]


@pytest.mark.parametrize(
    "garbage",
    [
        np.zeros((0, 5, 3), np.uint8),
        np.zeros((5, 5), np.uint8),
        np.zeros((5, 5, 4), np.uint8),
        np.zeros((5, 5, 3), np.float32),
    ],
)
def test_a_picture_of_the_wrong_shape_or_type_is_a_camera_error_and_never_a_frame(garbage: Any) -> None:
    class GarbageCamera(ScriptedCamera):
        def frames(self, stop: threading.Event) -> Generator[Frame]:
            yield make_frame(make_pixels(seed=1), 0, 0)
            yield make_frame(garbage, 1, 1)

    frames: list[Frame] = []
    with pytest.raises(CameraError, match="a frame is uint8 H x W x 3"):
        frames.extend(Supervisor(CONFIG, GarbageCamera()).frames(threading.Event()))
    assert len(frames) == 1


def test_an_outage_is_reported_while_it_lasts_but_not_before_a_frame_is_overdue() -> None:
    camera = ScriptedCamera([1, 2, None, 3, 4, 5, 6])
    statuses = StatusLog()
    reported_s: list[float] = []

    def on_outage() -> None:
        reported_s.append(time.monotonic())
        camera.outage_reported.set()

    frames = Supervisor(CONFIG, camera).frames(threading.Event(), statuses, on_outage)
    arrived_s = [time.monotonic() for _ in frames]
    assert reported_s[0] - arrived_s[1] >= CONFIG.timeout_s
    assert statuses.entries == [OFFLINE, ONLINE, OFFLINE, ONLINE]


def test_a_busy_consumer_is_not_an_outage() -> None:
    class PollingCamera(ScriptedCamera):
        def frames(self, stop: threading.Event) -> Generator[Frame]:
            for frame in super().frames(stop):
                self.on_idle()
                yield frame

    statuses = StatusLog()
    for _ in Supervisor(CONFIG, PollingCamera(range(4))).frames(threading.Event(), statuses):
        time.sleep(1.5 * CONFIG.timeout_s)
    assert statuses.entries == [OFFLINE, ONLINE]


def test_an_error_raised_by_on_outage_is_not_blamed_on_the_camera() -> None:
    def fail() -> None:
        raise PublishError("disk")

    supervisor = Supervisor(CONFIG, ScriptedCamera([1, None]))
    with pytest.raises(PublishError, match="disk"):
        list(supervisor.frames(threading.Event(), on_outage=fail))


def test_pictures_from_files_are_neither_checked_nor_read_twice(tmp_path: Path) -> None:
    for number in range(20):
        cv2.imwrite(str(tmp_path / f"{number}.png"), make_pixels())
    config = CameraConfig(kind="folder", rate_hz=120.0, folder=FolderConfig(path=tmp_path), checks=CHECKS)
    statuses = StatusLog()
    frames = list(Supervisor(config).frames(threading.Event(), statuses))
    assert len(frames) == 20
    assert all(frame.usable for frame in frames)
    assert statuses.entries == [OFFLINE, ONLINE]


def test_stop_ends_the_frames_of_a_stuck_camera() -> None:
    stop = threading.Event()
    camera = ScriptedCamera([1, *[2] * 99], [2] * 99)
    for frame in Supervisor(CONFIG, camera).frames(stop):
        if camera.opened == 2:
            assert not frame.usable
            stop.set()
    assert camera.closed == 2


def test_each_status_change_is_logged_once_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "hivewatch.camera.supervisor")
    list(Supervisor(CONFIG, ScriptedCamera([1, 2, *[3] * 50], range(10, 16))).frames(threading.Event()))
    assert caplog.messages == [
        "camera scripted camera is online",
        "camera scripted camera is offline: the same picture repeats",
        "reopening scripted camera, attempt 1 of 2",
        "camera scripted camera is online",
    ]
