"""Runs the daemon's loop in simulated time, as fast as possible, in its own process: its memory is measured.

    python soaking.py DIRECTORY MODEL PORT FRAMES RATE_HZ

Prints a JSON line 50 times during the run, and finally the keys of all recorded events.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from hivewatch.camera.simulator.camera import SimulatorCamera
from hivewatch.camera.supervisor import Supervisor
from hivewatch.config.sections import (
    CameraConfig,
    ClassifierConfig,
    ClockConfig,
    Config,
    DecisionConfig,
    GateConfig,
    MotionConfig,
    MqttConfig,
    SimulatorConfig,
    StoreConfig,
)
from hivewatch.daemon.app import make_classifier
from hivewatch.daemon.configuration import Configuration
from hivewatch.daemon.frame_counts import FrameCounts
from hivewatch.daemon.health import HealthService
from hivewatch.daemon.loop import Loop
from hivewatch.daemon.maintenance import MaintenanceService
from hivewatch.daemon.pressure import PressureService
from hivewatch.daemon.recorder import daemon_publisher, open_recorder
from hivewatch.daemon.service import Service
from hivewatch.daemon.status import StatusService
from hivewatch.daemon.summary import SummaryService
from hivewatch.domain.frames import Frame
from hivewatch.domain.sightings import Sighting
from hivewatch.domain.wire import Alert
from hivewatch.system.clock import Clock
from hivewatch.system.stopwatch import Stopwatch
from support.trials import event_key, rss_bytes

MORNING = datetime(2027, 5, 14, 6, 0, tzinfo=UTC)
PARTS = 50


class Time:
    """Wall clock and monotonic clock; both return the time of the latest frame."""

    now_s = 0.0

    def monotonic_s(self) -> float:
        return self.now_s

    def wall(self) -> datetime:
        return MORNING + timedelta(seconds=self.now_s)

    def flow(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        for frame in frames:
            self.now_s = frame.monotonic_s
            yield replace(frame, taken_at=self.wall())


def configured(directory: Path, model: Path, port: int, rate_hz: float) -> Config:
    # The gate holds back all but one frame a minute, which the untrained model classifies as a hornet, so
    # that a sighting starts and ends every half hour.
    return Config(
        camera=CameraConfig(
            width_px=96,
            height_px=64,
            rate_hz=rate_hz,
            simulator=SimulatorConfig(bees=0, hornet_every_s=1800),
        ),
        gate=GateConfig(motion=MotionConfig(changed_share=1.0, hold_s=0.0, look_anyway_s=60.0)),
        classifier=ClassifierConfig(model=model, threads=1),
        decision=DecisionConfig(threshold=0.0, release=0.0, votes=1, out_of=1, cool_down_s=1700),
        store=StoreConfig(directory=directory),
        mqtt=MqttConfig(host="127.0.0.1", port=port),
    )


def main(directory: Path, model: Path, port: int, frames: int, rate_hz: float) -> None:
    config = configured(directory, model, port, rate_hz)
    time, stopwatch, keys = Time(), Stopwatch(), list[str]()
    clock = Clock(
        ClockConfig(wait_s=0), now=time.wall, monotonic_s=time.monotonic_s, synchronised=lambda: True
    )
    clock.start(None)
    clock.release_messages()
    services: list[Service] = []

    def on_sighting(sighting: Sighting, alert: Alert) -> None:
        keys.append(event_key(alert.event.payload))
        for service in services:
            service.on_sighting(sighting, alert)

    with contextlib.ExitStack() as opened:
        classifier = make_classifier(config, stopwatch)
        recorder = open_recorder(
            *(config, classifier, stopwatch, opened, partial(daemon_publisher, clock=clock, inbox=None)),
            on_recorded=on_sighting,
        )
        size = config.camera.width_px, config.camera.height_px
        camera = SimulatorCamera(config.camera.simulator, *size, rate_hz, paced=False)
        supervisor = Supervisor(config.camera, lambda _config, _on_idle: camera)
        loop = Loop(config, classifier, recorder.record, stopwatch, live=True)
        configuration = Configuration(directory, config, recorder.store, lambda _config: None)
        counts = FrameCounts(clock.monotonic_s)
        services += (
            counts,
            HealthService(configuration, supervisor, loop, recorder, clock, counts),
            SummaryService(config, loop, recorder, clock, counts),
            PressureService(config, recorder, clock),
            MaintenanceService(config, recorder, clock),
            StatusService(config, supervisor, loop, recorder, clock, counts),
        )
        stop = threading.Event()
        for done, step in enumerate(loop.run(time.flow(camera.frames(stop))), 1):
            clock.tick()
            for service in services:
                service.on_frame(step)
                service.tick(clock.monotonic_s())
            if done % max(1, frames // PARTS) == 0:
                print(json.dumps(sample(done, recorder.store.outbox_depth())), flush=True)
            if done >= frames:
                stop.set()
        recorder.publisher.drain(30)
    print(json.dumps({"keys": keys}), flush=True)


def sample(frames: int, outbox_depth: int) -> dict[str, int]:
    """Return the figures that must not grow."""
    return {
        "frames": frames,
        "rss_bytes": rss_bytes(),
        "files": len(list(Path("/proc/self/fd").iterdir())),
        "threads": len(list(Path("/proc/self/task").iterdir())),
        "outbox": outbox_depth,
    }


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    logging.basicConfig(level=logging.WARNING)
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]))
