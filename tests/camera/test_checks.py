"""The camera's checks on drawn frames: each fault is named in its time, and an ordinary day names none."""

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
LEARNT_S = 90.0
RAISE_S, MOVED_S, CLEAR_S = 10.0, 40.0, 5.0
CONFIG = CameraConfig(
    rate_hz=RATE_HZ,
    checks=CameraChecksConfig(raise_after_s=RAISE_S, moved_after_s=MOVED_S, clear_after_s=CLEAR_S),
)
# What a measure needs beside the hold: a whole window of the frame rate, a look at the scenery every 2 s.
SLACK_S = {CameraFault.SLOW: 22.0}

Change = Callable[[Pixels, int], Pixels]


@cache
def film(seed: int = 1) -> tuple[Frame, ...]:
    """Return three minutes of a drawn hive."""
    config = SimulatorConfig(seed=seed, duration_s=180)
    return tuple(SimulatorCamera(config, 320, 180, RATE_HZ, paced=False).frames(threading.Event()))


class Spell:
    """Checks that have learnt a hive, and the time that goes on as frames come."""

    def __init__(self, config: CameraConfig = CONFIG, learnt_s: float = LEARNT_S) -> None:
        self.checks = CameraChecks(config, "test camera")
        self.now_s = 0.0
        self.usable: list[bool] = []
        self._number = 0
        self.run(learnt_s)

    def run(
        self, duration_s: float, change: Change = lambda pixels, _: pixels, rate_hz: float = RATE_HZ
    ) -> None:
        """Give frames for so long, each changed by ``change``, which also gets its number."""
        for _ in range(round(duration_s * rate_hz)):
            self.step(change, rate_hz)

    def step(self, change: Change, rate_hz: float = RATE_HZ) -> None:
        pixels = film()[self._number % len(film())].pixels
        frame = make_frame(change(pixels, self._number), self.now_s, self._number)
        self.usable.append(self.checks.check(frame))
        self._number += 1
        self.now_s += 1 / rate_hz

    def seconds_until(self, wanted: set[CameraFault], change: Change, rate_hz: float = RATE_HZ) -> float:
        """Give frames until the reasons are as wanted; return how long that took."""
        started_s = self.now_s
        while set(self.checks.status.reasons) != wanted:
            assert self.now_s - started_s < 200, f"{self.checks.status} instead of {wanted}"
            self.step(change, rate_hz)
        return self.now_s - started_s


def same(_pixels: Pixels, _number: int) -> Pixels:
    return film()[7].pixels


def ring(_pixels: Pixels, number: int) -> Pixels:
    return film()[number % 4].pixels


def with_a_clock_drawn_in(_pixels: Pixels, number: int) -> Pixels:
    picture = film()[7].pixels.copy()
    cv2.putText(picture, str(number), (2, 12), cv2.FONT_HERSHEY_PLAIN, 0.7, (255, 255, 255))
    return picture


def black(pixels: Pixels, _number: int) -> Pixels:
    return pixels // 12


def white(pixels: Pixels, _number: int) -> Pixels:
    return pixels // 64 + np.uint8(251)


def blurred(pixels: Pixels, number: int) -> Pixels:
    """Return what a leaf on the lens leaves: blobs of light, and the sensor's noise as before."""
    noise = np.random.default_rng(number).integers(0, 6, pixels.shape, np.uint8)
    return cv2.add(cv2.GaussianBlur(pixels, (0, 0), 30), noise)


def fog(pixels: Pixels, _number: int) -> Pixels:
    return (pixels * 0.12 + 180).astype(np.uint8)


def shifted(pixels: Pixels, _number: int) -> Pixels:
    return np.roll(pixels, 20, axis=1)


def turned(pixels: Pixels, _number: int) -> Pixels:
    turn = cv2.getRotationMatrix2D((160, 90), 12, 1.1)
    return np.asarray(cv2.warpAffine(pixels, turn, (320, 180), borderMode=cv2.BORDER_REFLECT), np.uint8)


def elsewhere(_pixels: Pixels, number: int) -> Pixels:
    return film(4)[number % len(film(4))].pixels


def unchanged(pixels: Pixels, _number: int) -> Pixels:
    return pixels


FAULTS = [
    (same, CameraFault.REPEATING, CameraState.OFFLINE, False),
    (ring, CameraFault.REPEATING, CameraState.OFFLINE, False),
    (with_a_clock_drawn_in, CameraFault.FROZEN, CameraState.OFFLINE, False),
    (black, CameraFault.DARK, CameraState.DEGRADED, False),
    (white, CameraFault.WHITE, CameraState.DEGRADED, False),
    (blurred, CameraFault.COVERED, CameraState.DEGRADED, True),
    (fog, CameraFault.COVERED, CameraState.DEGRADED, True),
    (shifted, CameraFault.MOVED, CameraState.DEGRADED, True),
    (turned, CameraFault.MOVED, CameraState.DEGRADED, True),
    (elsewhere, CameraFault.MOVED, CameraState.DEGRADED, True),
]


@pytest.mark.parametrize(("change", "fault", "state", "votes"), FAULTS)
def test_each_fault_is_raised_after_its_time_and_taken_back_after_its_own(
    change: Change, fault: CameraFault, state: CameraState, votes: bool
) -> None:
    spell = Spell()
    assert spell.checks.status.state is CameraState.ONLINE
    hold_s = MOVED_S if fault is CameraFault.MOVED else RAISE_S
    assert hold_s <= spell.seconds_until({fault}, change) <= hold_s + 4
    assert spell.checks.status.state is state
    assert spell.usable[-1] is votes, "what shows nothing new of the hive has no vote"
    assert CLEAR_S - 1 <= spell.seconds_until(set(), unchanged) <= CLEAR_S + 4
    assert spell.checks.status.state is CameraState.ONLINE
    assert spell.checks.raised == {fault: 1}


def test_a_falling_frame_rate_is_told_and_frames_dropped_for_a_busy_reader_are_not_missed() -> None:
    spell = Spell()
    assert RAISE_S <= spell.seconds_until({CameraFault.SLOW}, unchanged, rate_hz=0.8) <= RAISE_S + 26
    spell.seconds_until(set(), unchanged)
    busy = CameraChecks(CONFIG, "test camera")
    for number in range(60):
        busy.check(make_frame(film()[number].pixels, number / 0.8, number), dropped=2 * number)
    assert busy.status.state is CameraState.ONLINE


@pytest.mark.parametrize("seed", [2, 3, 5])
def test_ten_minutes_of_bees_hornets_shade_and_clouds_raise_nothing(seed: int) -> None:
    config = SimulatorConfig(seed=seed, bees=25, duration_s=600)
    checks = CameraChecks(CONFIG.model_copy(update={"rate_hz": 1.0}), "simulator")
    frames = list(SimulatorCamera(config, 320, 180, 1.0, paced=False).frames(threading.Event()))
    usable = [checks.check(frame) for frame in frames]
    assert all(usable)
    assert checks.status.state is CameraState.ONLINE
    assert not checks.raised


def test_a_cloud_and_dusk_raise_nothing_until_it_is_dark() -> None:
    spell = Spell()
    spell.run(30, lambda pixels, _: cv2.convertScaleAbs(pixels, alpha=0.5))
    spell.run(30, lambda pixels, _: cv2.convertScaleAbs(pixels, alpha=1.3))
    began = spell.now_s
    spell.run(180, lambda pixels, _: cv2.convertScaleAbs(pixels, alpha=0.99 ** (spell.now_s - began)))
    assert set(spell.checks.raised) <= {CameraFault.DARK}
    spell.run(60, black)
    assert spell.checks.status.reasons == (CameraFault.DARK,)


def test_at_night_frames_that_are_alike_prove_nothing() -> None:
    spell = Spell()
    spell.run(60, lambda pixels, _: np.zeros_like(pixels))
    assert spell.checks.status.reasons == (CameraFault.DARK,)


def test_a_view_that_moved_stays_moved_through_the_night() -> None:
    spell = Spell()
    spell.seconds_until({CameraFault.MOVED}, shifted)
    spell.seconds_until({CameraFault.MOVED, CameraFault.DARK}, black)
    spell.seconds_until({CameraFault.MOVED}, shifted)
    assert spell.checks.raised[CameraFault.MOVED] == 1


def test_a_lens_covered_from_the_start_is_told() -> None:
    spell = Spell(learnt_s=0)
    spell.seconds_until({CameraFault.COVERED}, lambda pixels, n: blurred(np.full_like(pixels, 120), n))


def test_what_lasts_less_than_its_time_is_not_told_but_black_frames_have_no_vote_at_once() -> None:
    spell = Spell()
    spell.run(RAISE_S - 2, black)
    assert not spell.usable[-1]
    spell.run(5)
    spell.run(MOVED_S - 5, shifted)
    assert spell.usable[-1]
    assert spell.checks.status.state is CameraState.ONLINE
    assert not spell.checks.raised


def test_a_fault_in_every_other_frame_is_not_told_and_does_not_flap() -> None:
    spell = Spell()
    spell.run(60, lambda pixels, number: black(pixels, number) if number % 2 else pixels)
    assert not spell.checks.raised
    spell.seconds_until({CameraFault.DARK}, black)
    spell.run(60, lambda pixels, number: black(pixels, number) if number % 2 else pixels)
    assert spell.checks.raised == {CameraFault.DARK: 1}
    assert spell.checks.status.reasons == (CameraFault.DARK,)


def test_before_its_first_frame_and_in_an_outage_the_camera_is_offline() -> None:
    spell = Spell(learnt_s=0)
    assert spell.checks.status.state is CameraState.OFFLINE
    spell.run(1.0)
    assert spell.checks.status.state is CameraState.ONLINE, "two frames that differ are proof enough"
    spell.checks.report_silence()
    assert spell.checks.status.state is CameraState.OFFLINE
    assert spell.checks.status.reasons == (CameraFault.NO_FRAMES,)
    spell.run(CLEAR_S - 1)
    assert spell.checks.status.state is CameraState.OFFLINE, "one frame now and then is no camera"
    spell.run(2)
    assert spell.checks.status.state is CameraState.ONLINE
    assert spell.checks.raised == {CameraFault.NO_FRAMES: 1}


@pytest.mark.parametrize("after_an_outage", [False, True])
def test_a_camera_that_is_stuck_from_its_first_frame_is_never_online(after_an_outage: bool) -> None:
    spell = Spell(learnt_s=0)
    spell.run(0.5, same)
    if after_an_outage:
        spell.checks.report_silence()
    while spell.checks.status.reasons == (CameraFault.NO_FRAMES,):
        spell.step(same)
    assert spell.checks.status.reasons == (CameraFault.REPEATING,)
    assert RAISE_S <= spell.now_s <= RAISE_S + 2


def test_evidence_on_both_sides_of_an_outage_does_not_add_up() -> None:
    spell = Spell()
    spell.run(RAISE_S - 2, black)
    spell.checks.report_silence()
    spell.now_s += 60
    spell.run(CLEAR_S + 1, black)
    assert spell.checks.status.state is CameraState.ONLINE


def test_switched_off_only_missing_frames_are_told() -> None:
    spell = Spell(CONFIG.model_copy(update={"checks": CameraChecksConfig(enabled=False)}))
    spell.run(120, same)
    assert spell.checks.status.state is CameraState.ONLINE
    assert all(spell.usable)
    spell.checks.report_silence()
    assert spell.checks.status.state is CameraState.OFFLINE


def test_pictures_of_any_size_are_judged_and_another_size_is_learnt_anew() -> None:
    spell = Spell()

    def sizes() -> Iterator[tuple[int, int]]:
        yield from ((1, 1), (3, 500), (500, 3), (64, 64), (1333, 777))

    for width_px, height_px in sizes():
        spell.run(70, lambda pixels, _, size=(width_px, height_px): cv2.resize(pixels, size))  # type: ignore[misc]
    spell.run(MOVED_S + 10)
    assert CameraFault.MOVED not in spell.checks.raised


@pytest.mark.parametrize("since", [NOON, None])
def test_the_status_document_fulfils_its_schema(since: datetime | None) -> None:
    spell = Spell()
    for change in (unchanged, black, same):
        spell.run(2 * RAISE_S, change)
        checks = spell.checks
        message = camera_message(checks.status, checks.raised, since, HiveTopics("hive1", "Hive", "bees"))
        Draft202012Validator(schema("camera_status")).validate(json.loads(message.payload))
        assert (message.topic, message.retained) == ("bees/hive1/camera/status", True)
