"""The camera checks on simulated frames: each fault is raised in time, and an ordinary day raises none."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cache

import cv2
import numpy as np
import pytest
from jsonschema import Draft202012Validator
from support.fakes import NOON, make_frame

from hivewatch.camera.checks import CameraChecks
from hivewatch.camera.simulator.camera import SimulatorCamera
from hivewatch.config.sections import CameraChecksConfig, CameraConfig, SimulatorConfig
from hivewatch.domain.frames import Frame, Pixels
from hivewatch.domain.status import CameraFault, CameraState
from hivewatch.messages.documents import schema
from hivewatch.messages.states import camera_message
from hivewatch.messages.topics import HiveTopics

RATE_HZ = 2.0
LEARNING_S = 90.0
RAISE_S, MOVED_S, CLEAR_S = 10.0, 40.0, 5.0
CONFIG = CameraConfig(
    rate_hz=RATE_HZ,
    checks=CameraChecksConfig(raise_after_s=RAISE_S, moved_after_s=MOVED_S, clear_after_s=CLEAR_S),
)

Change = Callable[[Pixels, int], Pixels]


@cache
def video(seed: int = 1) -> tuple[Frame, ...]:
    """Return three minutes of a simulated hive."""
    config = SimulatorConfig(seed=seed, duration_s=180)
    return tuple(SimulatorCamera(config, 320, 180, RATE_HZ, paced=False).frames(threading.Event()))


class CheckedStream:
    """A stream of frames shown to CameraChecks that have already learnt the scenery."""

    def __init__(self, config: CameraConfig = CONFIG, learning_s: float = LEARNING_S) -> None:
        self.checks = CameraChecks(config, "test camera")
        self.now_s = 0.0
        self.usable: list[bool] = []
        self._number = 0
        self.show(learning_s)

    def show(
        self, duration_s: float, change: Change = lambda pixels, _: pixels, rate_hz: float = RATE_HZ
    ) -> None:
        """Show frames for ``duration_s``, each altered by ``change``, which also receives its number."""
        for _ in range(round(duration_s * rate_hz)):
            self.show_one(change, rate_hz)

    def show_one(self, change: Change, rate_hz: float = RATE_HZ) -> None:
        pixels = video()[self._number % len(video())].pixels
        frame = make_frame(change(pixels, self._number), self.now_s, self._number)
        self.usable.append(self.checks.check(frame))
        self._number += 1
        self.now_s += 1 / rate_hz

    def seconds_until(self, wanted: set[CameraFault], change: Change, rate_hz: float = RATE_HZ) -> float:
        """Show frames until the reasons are ``wanted``; return how many seconds that took."""
        started_s = self.now_s
        while set(self.checks.status.reasons) != wanted:
            assert self.now_s - started_s < 200, f"{self.checks.status} instead of {wanted}"
            self.show_one(change, rate_hz)
        return self.now_s - started_s


def repeated(_pixels: Pixels, _number: int) -> Pixels:
    return video()[7].pixels


def ring_of_four(_pixels: Pixels, number: int) -> Pixels:
    return video()[number % 4].pixels


def frozen_with_a_clock(_pixels: Pixels, number: int) -> Pixels:
    picture = video()[7].pixels.copy()
    cv2.putText(picture, str(number), (2, 12), cv2.FONT_HERSHEY_PLAIN, 0.7, (255, 255, 255))
    return picture


def black(pixels: Pixels, _number: int) -> Pixels:
    return pixels // 12


def white(pixels: Pixels, _number: int) -> Pixels:
    return pixels // 64 + np.uint8(251)


def blurred(pixels: Pixels, number: int) -> Pixels:
    """Return the view behind a leaf on the lens: blobs of light, and the usual sensor noise."""
    noise = np.random.default_rng(number).integers(0, 6, pixels.shape, np.uint8)
    return cv2.add(cv2.GaussianBlur(pixels, (0, 0), 30), noise)


def foggy(pixels: Pixels, _number: int) -> Pixels:
    return (pixels * 0.12 + 180).astype(np.uint8)


def shifted(pixels: Pixels, _number: int) -> Pixels:
    return np.roll(pixels, 20, axis=1)


def rotated(pixels: Pixels, _number: int) -> Pixels:
    turn = cv2.getRotationMatrix2D((160, 90), 12, 1.1)
    return np.asarray(cv2.warpAffine(pixels, turn, (320, 180), borderMode=cv2.BORDER_REFLECT), np.uint8)


def elsewhere(_pixels: Pixels, number: int) -> Pixels:
    return video(4)[number % len(video(4))].pixels


def unchanged(pixels: Pixels, _number: int) -> Pixels:
    return pixels


FAULTS = [
    (repeated, CameraFault.REPEATING, CameraState.OFFLINE, False),
    (ring_of_four, CameraFault.REPEATING, CameraState.OFFLINE, False),
    (frozen_with_a_clock, CameraFault.FROZEN, CameraState.OFFLINE, False),
    (black, CameraFault.DARK, CameraState.DEGRADED, False),
    (white, CameraFault.WHITE, CameraState.DEGRADED, False),
    (blurred, CameraFault.COVERED, CameraState.DEGRADED, True),
    (foggy, CameraFault.COVERED, CameraState.DEGRADED, True),
    (shifted, CameraFault.MOVED, CameraState.DEGRADED, True),
    (rotated, CameraFault.MOVED, CameraState.DEGRADED, True),
    (elsewhere, CameraFault.MOVED, CameraState.DEGRADED, True),
]


@pytest.mark.parametrize(("change", "fault", "state", "is_usable"), FAULTS)
def test_each_fault_is_raised_and_cleared_in_time(
    change: Change, fault: CameraFault, state: CameraState, is_usable: bool
) -> None:
    stream = CheckedStream()
    assert stream.checks.status.state is CameraState.ONLINE
    raise_after_s = MOVED_S if fault is CameraFault.MOVED else RAISE_S
    assert raise_after_s <= stream.seconds_until({fault}, change) <= raise_after_s + 4
    assert stream.checks.status.state is state
    assert stream.usable[-1] is is_usable, "a frame that shows nothing new of the hive has no vote"
    assert CLEAR_S - 1 <= stream.seconds_until(set(), unchanged) <= CLEAR_S + 4
    assert stream.checks.status.state is CameraState.ONLINE
    assert stream.checks.raised == {fault: 1}


def test_a_low_frame_rate_is_a_fault_unless_a_busy_consumer_drops_the_frames() -> None:
    stream = CheckedStream()
    assert RAISE_S <= stream.seconds_until({CameraFault.SLOW}, unchanged, rate_hz=0.8) <= RAISE_S + 26
    stream.seconds_until(set(), unchanged)
    busy = CameraChecks(CONFIG, "test camera")
    for number in range(60):
        busy.check(make_frame(video()[number].pixels, number / 0.8, number), dropped=2 * number)
    assert busy.status.state is CameraState.ONLINE


@pytest.mark.parametrize("seed", [2, 3, 5])
def test_ten_minutes_of_bees_hornets_shade_and_clouds_raise_no_fault(seed: int) -> None:
    config = SimulatorConfig(seed=seed, bees=25, duration_s=600)
    checks = CameraChecks(CONFIG.model_copy(update={"rate_hz": 1.0}), "simulator")
    frames = list(SimulatorCamera(config, 320, 180, 1.0, paced=False).frames(threading.Event()))
    usable = [checks.check(frame) for frame in frames]
    assert all(usable)
    assert checks.status.state is CameraState.ONLINE
    assert not checks.raised


def test_clouds_and_dusk_raise_no_fault_until_it_is_dark() -> None:
    stream = CheckedStream()
    stream.show(30, lambda pixels, _: cv2.convertScaleAbs(pixels, alpha=0.5))
    stream.show(30, lambda pixels, _: cv2.convertScaleAbs(pixels, alpha=1.3))
    started_s = stream.now_s
    stream.show(180, lambda pixels, _: cv2.convertScaleAbs(pixels, alpha=0.99 ** (stream.now_s - started_s)))
    assert set(stream.checks.raised) <= {CameraFault.DARK}
    stream.show(60, black)
    assert stream.checks.status.reasons == (CameraFault.DARK,)


def test_identical_frames_at_night_do_not_count_as_repeating() -> None:
    stream = CheckedStream()
    stream.show(60, lambda pixels, _: np.zeros_like(pixels))
    assert stream.checks.status.reasons == (CameraFault.DARK,)


def test_a_view_that_moved_stays_moved_through_the_night() -> None:
    stream = CheckedStream()
    stream.seconds_until({CameraFault.MOVED}, shifted)
    stream.seconds_until({CameraFault.MOVED, CameraFault.DARK}, black)
    stream.seconds_until({CameraFault.MOVED}, shifted)
    assert stream.checks.raised[CameraFault.MOVED] == 1


def test_a_lens_covered_from_the_start_is_a_fault() -> None:
    stream = CheckedStream(learning_s=0)
    stream.seconds_until({CameraFault.COVERED}, lambda pixels, n: blurred(np.full_like(pixels, 120), n))


def test_a_short_fault_is_not_raised_but_black_frames_are_unusable_at_once() -> None:
    stream = CheckedStream()
    stream.show(RAISE_S - 2, black)
    assert not stream.usable[-1]
    stream.show(5)
    stream.show(MOVED_S - 5, shifted)
    assert stream.usable[-1]
    assert stream.checks.status.state is CameraState.ONLINE
    assert not stream.checks.raised


def test_a_fault_in_every_other_frame_is_neither_raised_nor_cleared() -> None:
    stream = CheckedStream()
    stream.show(60, lambda pixels, number: black(pixels, number) if number % 2 else pixels)
    assert not stream.checks.raised
    stream.seconds_until({CameraFault.DARK}, black)
    stream.show(60, lambda pixels, number: black(pixels, number) if number % 2 else pixels)
    assert stream.checks.raised == {CameraFault.DARK: 1}
    assert stream.checks.status.reasons == (CameraFault.DARK,)


def test_before_its_first_frame_and_in_an_outage_the_camera_is_offline() -> None:
    stream = CheckedStream(learning_s=0)
    assert stream.checks.status.state is CameraState.OFFLINE
    stream.show(1.0)
    assert stream.checks.status.state is CameraState.ONLINE, "two different frames prove that it works"
    stream.checks.report_silence()
    assert stream.checks.status.state is CameraState.OFFLINE
    assert stream.checks.status.reasons == (CameraFault.NO_FRAMES,)
    stream.show(CLEAR_S - 1)
    assert stream.checks.status.state is CameraState.OFFLINE, "a few frames do not end an outage"
    stream.show(2)
    assert stream.checks.status.state is CameraState.ONLINE
    assert stream.checks.raised == {CameraFault.NO_FRAMES: 1}


@pytest.mark.parametrize("after_an_outage", [False, True])
def test_a_camera_that_is_stuck_from_its_first_frame_is_never_online(after_an_outage: bool) -> None:
    stream = CheckedStream(learning_s=0)
    stream.show(0.5, repeated)
    if after_an_outage:
        stream.checks.report_silence()
    while stream.checks.status.reasons == (CameraFault.NO_FRAMES,):
        stream.show_one(repeated)
    assert stream.checks.status.reasons == (CameraFault.REPEATING,)
    assert RAISE_S <= stream.now_s <= RAISE_S + 2


def test_evidence_on_both_sides_of_an_outage_does_not_add_up() -> None:
    stream = CheckedStream()
    stream.show(RAISE_S - 2, black)
    stream.checks.report_silence()
    stream.now_s += 60
    stream.show(CLEAR_S + 1, black)
    assert stream.checks.status.state is CameraState.ONLINE


def test_with_checks_disabled_only_missing_frames_are_a_fault() -> None:
    stream = CheckedStream(CONFIG.model_copy(update={"checks": CameraChecksConfig(enabled=False)}))
    stream.show(120, repeated)
    assert stream.checks.status.state is CameraState.ONLINE
    assert all(stream.usable)
    stream.checks.report_silence()
    assert stream.checks.status.state is CameraState.OFFLINE


def test_pictures_of_any_size_are_checked_and_a_new_size_restarts_the_learning() -> None:
    stream = CheckedStream()

    def sizes() -> Iterator[tuple[int, int]]:
        yield from ((1, 1), (3, 500), (500, 3), (64, 64), (1333, 777))

    for width_px, height_px in sizes():
        stream.show(70, lambda pixels, _, size=(width_px, height_px): cv2.resize(pixels, size))  # type: ignore[misc]
    stream.show(MOVED_S + 10)
    assert CameraFault.MOVED not in stream.checks.raised


@pytest.mark.parametrize("since", [NOON, None])
def test_the_status_document_matches_its_schema(since: datetime | None) -> None:
    stream = CheckedStream()
    for change in (unchanged, black, repeated):
        stream.show(2 * RAISE_S, change)
        checks = stream.checks
        message = camera_message(checks.status, checks.raised, since, HiveTopics("hive1", "Hive", "bees"))
        Draft202012Validator(schema("camera_status")).validate(json.loads(message.payload))
        assert (message.topic, message.retained) == ("bees/hive1/camera/status", True)
