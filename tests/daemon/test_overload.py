"""Frames that arrive faster than they can be classified: the newest is used, the others are counted."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import cast

import pytest
from support.fakes import make_prediction
from support.mjpeg_server import MjpegServer

from hivewatch.camera.base import Camera, open_camera
from hivewatch.config.sections import CameraConfig, Config, GateConfig, MotionConfig, VideoConfig
from hivewatch.daemon.loop import Loop
from hivewatch.domain.frames import Prediction, View
from hivewatch.domain.sightings import Sighting
from hivewatch.system.stopwatch import Stopwatch
from hivewatch.vision.classifier import Classifier

pytestmark = pytest.mark.slow

RATE_HZ = 40.0
FORWARD_S = 0.25
STEPS = 12
# Age of the last frame if the frames that arrived meanwhile had been queued.
QUEUED_AGE_S = STEPS * (FORWARD_S - 1 / RATE_HZ)


class SlowClassifier:
    """Takes ten times as long as the interval between two frames."""

    def predict(self, _view: View) -> Prediction:
        """Find nothing, slowly."""
        time.sleep(FORWARD_S)
        return make_prediction(0.1)


@contextmanager
def fast_camera(kind: str) -> Iterator[Camera]:
    """A camera that delivers RATE_HZ frames a second: the simulator, or a real network stream."""
    small = {"width_px": 96, "height_px": 64, "rate_hz": RATE_HZ}
    if kind == "simulator":
        yield open_camera(CameraConfig.model_validate(small | {"kind": "simulator"}))
        return
    server = MjpegServer(RATE_HZ).start()
    try:
        yield open_camera(
            CameraConfig.model_validate(small | {"kind": "video", "video": VideoConfig(source=server.url)})
        )
    finally:
        server.kill()


def slow_loop(recorded: list[Sighting]) -> Loop:
    config = Config(gate=GateConfig(motion=MotionConfig(enabled=False)))
    return Loop(config, cast(Classifier, SlowClassifier()), recorded.append, Stopwatch(), live=True)


@pytest.mark.parametrize("kind", ["simulator", "video"])
def test_the_newest_frame_is_used_and_skipped_ones_are_counted(kind: str) -> None:
    stop = threading.Event()
    recorded: list[Sighting] = []
    with fast_camera(kind) as camera, closing(camera.frames(stop)) as frames:
        ages_s = []
        for step in slow_loop(recorded).run(frames):
            ages_s.append(time.monotonic() - step.frame.monotonic_s - FORWARD_S)
            if len(ages_s) == STEPS:
                stop.set()
        dropped = camera.counts.dropped
    assert ages_s[-1] < QUEUED_AGE_S / 2
    assert dropped >= STEPS * (FORWARD_S * RATE_HZ - 1) / 2
    assert not recorded
