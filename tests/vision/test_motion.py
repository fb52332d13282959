"""The motion gate passes views with motion, narrowed to the motion, and holds back still ones."""

from __future__ import annotations

import numpy as np
import pytest
from support.fakes import make_frame, make_pixels

from hivewatch.config.sections import MotionConfig
from hivewatch.domain.frames import WHOLE, Box, Pixels, View
from hivewatch.vision.motion import MotionGate

SCENE = make_pixels(1280, 720)


def view(pixels: Pixels = SCENE, at_s: float = 0.0) -> View:
    return View(make_frame(pixels, at_s=at_s), pixels, WHOLE, max(pixels.shape[:2]))


def with_hornet(x_px: int = 600) -> Pixels:
    pixels = SCENE.copy()
    pixels[300:330, x_px : x_px + 60] = 20
    return pixels


def settled(**options: float | bool) -> MotionGate:
    """Return a gate that has seen the still scene long enough to hold it back."""
    gate = MotionGate(MotionConfig(**options))  # type: ignore[arg-type]
    for n in range(8):
        gate.filter(view(at_s=n * 0.5))
    return gate


def test_the_first_view_passes() -> None:
    assert MotionGate(MotionConfig()).filter(view())


def test_a_still_scene_is_held_back() -> None:
    assert not settled().filter(view(at_s=4.0))


def test_a_hornet_sized_change_passes() -> None:
    assert settled().filter(view(with_hornet(), at_s=4.0))


def test_a_change_below_the_configured_share_is_held_back() -> None:
    assert not settled(changed_share=0.01).filter(view(with_hornet(), at_s=4.0))


def test_after_motion_the_gate_stays_open_for_the_hold_time_and_no_longer() -> None:
    gate = settled(hold_s=2.0, changed_share=0.002)
    assert gate.filter(view(with_hornet(), at_s=4.0))
    assert gate.filter(view(at_s=6.0))
    assert not gate.filter(view(at_s=6.1))


def test_without_motion_a_view_passes_every_look_anyway_s() -> None:
    gate = settled(look_anyway_s=5.0, hold_s=0.0)
    passed_s = [n / 2 for n in range(8, 48) if gate.filter(view(at_s=n / 2))]
    assert passed_s == [5.0, 10.0, 15.0, 20.0]


@pytest.mark.parametrize("change", [-12, 12])
def test_a_passing_cloud_is_not_motion(change: int) -> None:
    cloudy = (SCENE.astype(np.int16) + change).clip(0, 255).astype(np.uint8)
    assert not settled(difference=10).filter(view(cloudy, at_s=4.0))


def test_sensor_noise_is_not_motion() -> None:
    noise = np.random.default_rng(1).normal(0, 6, SCENE.shape)
    noisy = (SCENE + noise).clip(0, 255).astype(np.uint8)
    assert not settled().filter(view(noisy, at_s=4.0))


def test_a_disabled_gate_passes_everything() -> None:
    gate = MotionGate(MotionConfig(enabled=False))
    assert all(gate.filter(view(at_s=n * 0.5)) for n in range(9))


def test_of_a_still_scene_only_the_first_view_passes() -> None:
    gate = MotionGate(MotionConfig(hold_s=0.0))
    passed = [n for n in range(8) if gate.filter(view(at_s=n * 0.5))]
    assert passed == [0]


def test_a_changed_frame_shape_passes_and_starts_a_new_background() -> None:
    gate = settled()
    assert gate.filter(view(make_pixels(640, 480), at_s=4.0))
    assert not gate.filter(view(make_pixels(640, 480), at_s=8.0))


def test_a_view_is_narrowed_to_the_motion_and_its_surroundings() -> None:
    narrowed = settled().filter(view(with_hornet(600), at_s=4.0))
    assert narrowed is not None
    height, width = narrowed.pixels.shape[:2]
    assert (width, height) == (512, 504), "0.3 of the longer side, rounded out to the grid of tenths"
    hornet = Box(600 / 1280, 300 / 720, 660 / 1280, 330 / 720)
    assert narrowed.extent.x0 < hornet.x0 - 0.05 < hornet.x1 + 0.05 < narrowed.extent.x1
    assert narrowed.extent.y0 < hornet.y0 - 0.05 < hornet.y1 + 0.05 < narrowed.extent.y1
    left, top, right, bottom = narrowed.extent.pixels(1280, 720)
    np.testing.assert_array_equal(narrowed.pixels, with_hornet(600)[top:bottom, left:right])
    assert narrowed.watched_px == 1280, "the network must see it at the same scale"


def test_a_window_at_the_border_lies_inside_the_view() -> None:
    narrowed = settled().filter(view(with_hornet(1219), at_s=4.0))
    assert narrowed is not None
    assert narrowed.extent.x1 == 1.0
    assert narrowed.extent.x1 - narrowed.extent.x0 >= 0.3 - 1e-9


def test_the_window_covers_all_motion_within_the_hold_time() -> None:
    gate = settled(hold_s=2.0)
    gate.filter(view(with_hornet(100), at_s=4.0))
    both = gate.filter(view(with_hornet(1000), at_s=5.0))
    assert both is not None
    assert both.extent.x0 <= 100 / 1280
    assert both.extent.x1 >= 1060 / 1280


def test_the_extent_of_a_narrowed_region_is_normalised_to_the_full_frame() -> None:
    part = Box(0.5, 0.0, 1.0, 1.0)
    gate = MotionGate(MotionConfig())
    for n in range(8):
        gate.filter(View(make_frame(SCENE, at_s=n * 0.5), SCENE[:, 640:], part, 720))
    moved = with_hornet(1000)
    narrowed = gate.filter(View(make_frame(moved, at_s=4.0), moved[:, 640:], part, 720))
    assert narrowed is not None
    left, top, right, bottom = narrowed.extent.pixels(1280, 720)
    np.testing.assert_array_equal(narrowed.pixels, moved[top:bottom, left:right])
    assert left >= 640


@pytest.mark.parametrize("options", [{"narrow": False}, {"enabled": False}])
def test_without_narrowing_the_whole_view_passes(options: dict[str, bool]) -> None:
    moved = view(with_hornet(), at_s=4.0)
    assert settled(**options).filter(moved) is moved
