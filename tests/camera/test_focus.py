"""Sharpness falls with blur in any picture, and light is the mean grey level."""

from __future__ import annotations

import threading

import cv2
import numpy as np
import pytest

from hivewatch.camera.focus import SHARP, light, sharpness
from hivewatch.camera.simulator.camera import SimulatorCamera
from hivewatch.config.sections import SimulatorConfig
from hivewatch.domain.frames import Pixels


def hive(seed: int, width_px: int = 1280) -> Pixels:
    """Return a frame of the simulator with sensor noise."""
    camera = SimulatorCamera(SimulatorConfig(seed=seed), width_px, width_px * 9 // 16, 5.0, paced=False)
    return noisy(next(camera.frames(threading.Event())).pixels)


def noisy(pixels: Pixels) -> Pixels:
    noise = np.random.default_rng(0).normal(0, 3, pixels.shape)
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)


def blurred(pixels: Pixels, share: float) -> Pixels:
    """Return the picture out of focus: blurred by a Gaussian of ``share`` of the width, then with noise."""
    return noisy(np.asarray(cv2.GaussianBlur(pixels, (0, 0), share * pixels.shape[1]), np.uint8))


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("width_px", [640, 1280, 1920])
def test_a_hive_in_focus_is_sharp_and_one_out_of_focus_is_not(seed: int, width_px: int) -> None:
    pixels = hive(seed, width_px)
    assert sharpness(pixels) > SHARP > sharpness(blurred(pixels, 4 / 1280))


def test_sharpness_rises_as_the_focus_improves() -> None:
    pixels = hive(1)
    figures = [sharpness(blurred(pixels, px / 1280)) for px in (16, 8, 4, 2, 1)]
    assert figures == sorted(figures)
    assert figures[0] < figures[-1] - 0.2


def test_a_picture_of_one_colour_is_not_sharp() -> None:
    assert sharpness(np.full((48, 64, 3), 90, np.uint8)) == 0
    assert sharpness(np.full((1, 1, 3), 90, np.uint8)) == 0


def test_light_is_the_mean_grey_level() -> None:
    assert light(np.full((48, 64, 3), 90, np.uint8)) == pytest.approx(90, abs=0.5)
