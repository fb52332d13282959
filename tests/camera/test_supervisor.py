"""The supervisor: what a camera may do to it, and what it makes of that."""

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

from hivewatch.camera.base import CameraCounts, Meanwhile
from hivewatch.camera.supervisor import Supervisor
from hivewatch.config.sections import CameraChecksConfig, CameraConfig, FolderConfig
from hivewatch.domain.frames import Frame
from hivewatch.domain.status import CameraFault, CameraState, CameraStatus
from hivewatch.errors import CameraError, PublishError

CHECKS = CameraChecksConfig(raise_after_s=4.0, clear_after_s=2.0, reopenings=2)
CONFIG = CameraConfig(rate_hz=1.0, timeout_s=0.2, checks=CHECKS)


class ScriptedCamera:
    """A live camera that goes through ``openings``: picture seeds, None for an outage, exceptions to raise.

    Its clock goes on one second a frame.
    """

    name = "scripted camera"
    is_live = True

    def __init__(self, *openings: Iterable[int | Exception | None]) -> None:
        self.counts = CameraCounts()
        self.opened = self.closed = 0
        self.meanwhile: Meanwhile = lambda: None
        self.news = threading.Event()
        self._openings = list(openings)
        self._clock = count()

    def __call__(self, _config: CameraConfig, meanwhile: Meanwhile) -> ScriptedCamera:
        self.meanwhile = meanwhile
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
                    wait_until(self._is_noticed, "the outage is noticed")
                else:
                    yield make_frame(make_pixels(seed=seed), next(self._clock), number)
        finally:
            self.closed += 1

    def _is_noticed(self) -> bool:
        self.meanwhile()
        return self.news.is_set()


class Ear:
    """Hears what a supervisor tells."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.heard: list[CameraStatus] = []
        supervisor.tell = self.heard.append

    @property
    def told(self) -> list[tuple[CameraState, tuple[CameraFault, ...]]]:
        return [(status.state, status.reasons) for status in self.heard]


OFFLINE = (CameraState.OFFLINE, (CameraFault.NO_FRAMES,))
ONLINE = (CameraState.ONLINE, ())
STUCK = (CameraState.OFFLINE, (CameraFault.REPEATING,))


def test_frames_pass_numbered_on_and_the_first_ones_make_the_camera_online() -> None:
    supervisor = Supervisor(CONFIG, ScriptedCamera(range(5)))
    ear = Ear(supervisor)
    frames = list(supervisor.frames(threading.Event()))
    assert [frame.sequence for frame in frames] == list(range(5))
    assert all(frame.usable for frame in frames)
    assert ear.told == [OFFLINE, ONLINE]


def test_a_stuck_camera_is_opened_afresh_and_heals_without_a_frame_counted_twice() -> None:
    camera = ScriptedCamera([1, 2, *[3] * 50], range(10, 16))
    supervisor = Supervisor(CONFIG, camera)
    ear = Ear(supervisor)
    frames = list(supervisor.frames(threading.Event()))
    assert (camera.opened, camera.closed) == (2, 2)
    assert [frame.sequence for frame in frames] == list(range(len(frames)))
    assert [frame.usable for frame in frames] == [True] * 3 + [False] * (len(frames) - 9) + [True] * 6
    assert ear.told == [OFFLINE, ONLINE, STUCK, ONLINE]


def test_a_camera_that_stays_stuck_is_opened_afresh_ever_more_rarely_and_then_an_error() -> None:
    camera = ScriptedCamera([1, *[2] * 99], [2] * 99, [2] * 99)
    frames: list[Frame] = []
    with pytest.raises(CameraError, match=r"same picture .* opened afresh 2 times"):
        frames.extend(Supervisor(CONFIG, camera).frames(threading.Event()))
    assert camera.opened == 3
    assert len(frames) == 2 + 4 + 4 + 8 + 1, "after 4 s, 4 s later, and 8 s later"


def test_each_spell_of_being_stuck_has_its_own_tries() -> None:
    camera = ScriptedCamera(*[[*range(3, 8), *[2] * 99]] * 5, range(20, 30))
    list(Supervisor(CONFIG, camera).frames(threading.Event()))
    assert camera.opened == 6


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (CameraError("cable"), "^cable$"),
        (RuntimeError("odd"), r"failed in a way nobody expected: RuntimeError\('odd'\)"),
        (ValueError("a frame is uint8 H x W x 3, not uint8 (0, 5)"), "H x W x 3"),
        (cv2.error("no"), "nobody expected"),
    ],
)
def test_whatever_a_camera_raises_makes_it_offline_and_is_a_camera_error(
    fault: Exception, words: str
) -> None:
    supervisor = Supervisor(CONFIG, ScriptedCamera([1, 2, fault]))
    ear = Ear(supervisor)
    with pytest.raises(CameraError, match=words):
        list(supervisor.frames(threading.Event()))
    assert ear.told == [OFFLINE, ONLINE, OFFLINE]


@pytest.mark.parametrize(
    "garbage",
    [
        np.zeros((0, 5, 3), np.uint8),
        np.zeros((5, 5), np.uint8),
        np.zeros((5, 5, 4), np.uint8),
        np.zeros((5, 5, 3), np.float32),
    ],
)
def test_a_picture_of_no_known_shape_is_a_camera_error_and_no_frame(garbage: Any) -> None:
    class Garbling(ScriptedCamera):
        def frames(self, stop: threading.Event) -> Generator[Frame]:
            yield make_frame(make_pixels(seed=1), 0, 0)
            yield make_frame(garbage, 1, 1)

    frames: list[Frame] = []
    with pytest.raises(CameraError, match="a frame is uint8 H x W x 3"):
        frames.extend(Supervisor(CONFIG, Garbling()).frames(threading.Event()))
    assert len(frames) == 1


def test_an_outage_is_told_while_it_lasts_but_not_before_a_frame_is_overdue() -> None:
    camera = ScriptedCamera([1, 2, None, 3, 4, 5, 6])
    supervisor = Supervisor(CONFIG, camera)
    ear = Ear(supervisor)
    told_s: list[float] = []

    def note() -> None:
        told_s.append(time.monotonic())
        camera.news.set()

    supervisor.in_outage = note
    came_s = [time.monotonic() for _ in supervisor.frames(threading.Event())]
    assert told_s[0] - came_s[1] >= CONFIG.timeout_s
    assert ear.told == [OFFLINE, ONLINE, OFFLINE, ONLINE]


def test_a_consumer_that_was_busy_for_long_is_no_outage() -> None:
    class Polling(ScriptedCamera):
        def frames(self, stop: threading.Event) -> Generator[Frame]:
            for frame in super().frames(stop):
                self.meanwhile()
                yield frame

    supervisor = Supervisor(CONFIG, Polling(range(4)))
    ear = Ear(supervisor)
    for _ in supervisor.frames(threading.Event()):
        time.sleep(1.5 * CONFIG.timeout_s)
    assert ear.told == [OFFLINE, ONLINE]


def test_a_fault_of_another_part_during_an_outage_is_not_blamed_on_the_camera() -> None:
    camera = ScriptedCamera([1, None])
    supervisor = Supervisor(CONFIG, camera)

    def fail() -> None:
        raise PublishError("disk")

    supervisor.in_outage = fail
    with pytest.raises(PublishError, match="disk"):
        list(supervisor.frames(threading.Event()))


def test_pictures_from_files_are_neither_checked_nor_read_again(tmp_path: Path) -> None:
    for number in range(20):
        cv2.imwrite(str(tmp_path / f"{number}.png"), make_pixels())
    config = CameraConfig(kind="folder", rate_hz=120.0, folder=FolderConfig(path=tmp_path), checks=CHECKS)
    supervisor = Supervisor(config)
    ear = Ear(supervisor)
    frames = list(supervisor.frames(threading.Event()))
    assert len(frames) == 20
    assert all(frame.usable for frame in frames)
    assert ear.told == [OFFLINE, ONLINE]


def test_a_stop_while_stuck_ends_the_frames() -> None:
    stop = threading.Event()
    camera = ScriptedCamera([1, *[2] * 99], [2] * 99)
    for frame in Supervisor(CONFIG, camera).frames(stop):
        if camera.opened == 2:
            assert not frame.usable
            stop.set()
    assert camera.closed == 2


def test_changes_are_logged_once_each_with_the_reason_in_words(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "hivewatch.camera.supervisor")
    list(Supervisor(CONFIG, ScriptedCamera([1, 2, *[3] * 50], range(10, 16))).frames(threading.Event()))
    assert caplog.messages == [
        "camera scripted camera is online",
        "camera scripted camera is offline: the same picture comes again and again",
        "opening scripted camera afresh, try 1 of 2",
        "camera scripted camera is online",
    ]
