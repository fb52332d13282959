"""Simulator frames to train on, so that the released model also works on the simulator."""

from __future__ import annotations

import threading
from itertools import islice
from pathlib import Path

import numpy as np

from hivewatch.camera.simulator.camera import SimulatorCamera
from hivewatch.config.sections import SimulatorConfig
from hivewatch.domain.frames import Frame
from hivewatch.training.data.dataset import HORNET, Insect, Picture, Shot

SCENES = 12
WIDTH_PX, HEIGHT_PX, RATE_HZ = 896, 504, 0.5
FIRST_SEED = 10_000
"""Far from the seeds that users set, so that no demo or test shows training frames."""


def simulated_shots(count: int, seed: int, scenes: int = SCENES) -> list[Shot]:
    """Return ``count`` boxed frames of ``scenes`` simulated hives, about half of them with a hornet."""
    shots: list[Shot] = []
    for scene, number in enumerate(np.diff(np.linspace(0, count, scenes + 1).astype(int))):
        config = SimulatorConfig(
            seed=FIRST_SEED + 100 * seed + scene, bees=4 + 3 * scene, hornet_every_s=8.0, hornet_stay_s=8.0
        )
        camera = SimulatorCamera(config, WIDTH_PX, HEIGHT_PX, RATE_HZ, paced=False)
        shots += [_shot(frame, scene) for frame in islice(camera.frames(threading.Event()), int(number))]
    return shots


def _shot(frame: Frame, scene: int) -> Shot:
    insects = tuple(Insect(HORNET, box) for box in frame.truth or ())
    species = HORNET if insects else "none"
    path = Path(f"simulator/{scene}/{frame.sequence}.png")
    return Picture(
        path, bool(insects), species, "simulator", f"simulator_{scene}", "train", insects
    ), frame.pixels
