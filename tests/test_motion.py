"""The motion gate: passes what moves, holds back what stands still, and counts both."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import make_frame, make_pixels

from hivewatch.config import MotionConfig
from hivewatch.domain import WHOLE, Pixels, View
from hivewatch.motion import MotionGate

SCENE = make_pixels(1280, 720)


def view(pixels: Pixels = SCENE, at_s: float = 0.0) -> View:
    return View(make_frame(pixels, at_s=at_s), pixels, WHOLE)


def with_hornet(x_px: int = 600) -> Pixels:
    pixels = SCENE.copy()
    pixels[300:330, x_px : x_px + 60] = 20
    return pixels


def settled(**options: float | bool) -> MotionGate:
    """Return a gate that has watched the still scene until it holds it back."""
    gate = MotionGate(MotionConfig(**options))  # type: ignore[arg-type]
    for n in range(8):
        gate.passes(view(at_s=n * 0.5))
    return gate


def test_the_first_view_passes() -> None:
    assert MotionGate(MotionConfig()).passes(view())


def test_a_still_scene_is_held_back() -> None:
    assert not settled().passes(view(at_s=4.0))


def test_a_hornet_sized_change_passes() -> None:
    assert settled().passes(view(with_hornet(), at_s=4.0))


def test_a_change_smaller_than_the_set_share_is_held_back() -> None:
    assert not settled(changed_share=0.01).passes(view(with_hornet(), at_s=4.0))


def test_after_motion_the_gate_stays_open_for_the_hold_time_and_no_longer() -> None:
    gate = settled(hold_s=2.0, changed_share=0.002)
    assert gate.passes(view(with_hornet(), at_s=4.0))
    assert gate.passes(view(at_s=6.0))
    assert not gate.passes(view(at_s=6.1))


def test_a_view_passes_now_and_then_without_any_motion() -> None:
    gate = settled(look_anyway_s=5.0, hold_s=0.0)
    passed_s = [n / 2 for n in range(8, 48) if gate.passes(view(at_s=n / 2))]
    assert passed_s == [5.0, 10.0, 15.0, 20.0]


@pytest.mark.parametrize("change", [-12, 12])
def test_a_passing_cloud_is_no_motion(change: int) -> None:
    cloudy = (SCENE.astype(np.int16) + change).clip(0, 255).astype(np.uint8)
    assert not settled(difference=10).passes(view(cloudy, at_s=4.0))


def test_sensor_noise_is_no_motion() -> None:
    noise = np.random.default_rng(1).normal(0, 6, SCENE.shape)
    noisy = (SCENE + noise).clip(0, 255).astype(np.uint8)
    assert not settled().passes(view(noisy, at_s=4.0))


def test_switched_off_the_gate_passes_everything() -> None:
    gate = settled(enabled=False)
    assert gate.passes(view(at_s=4.0))
    assert gate.held_back == 0


def test_what_passes_and_what_is_held_back_is_counted() -> None:
    gate = settled(hold_s=0.0)
    assert (gate.passed, gate.held_back) == (1, 7)


def test_a_changed_frame_shape_passes_and_starts_a_new_background() -> None:
    gate = settled()
    assert gate.passes(view(make_pixels(640, 480), at_s=4.0))
    assert not gate.passes(view(make_pixels(640, 480), at_s=8.0))
