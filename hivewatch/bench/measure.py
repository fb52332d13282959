"""Measures every stage of the loop on this machine, with frames of the simulator."""

from __future__ import annotations

import contextlib
import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from hivewatch.bench.broker import DeliveryTime, DeliveryTimer, delivery_text, mosquitto
from hivewatch.camera.simulator.camera import SimulatorCamera
from hivewatch.config.sections import Config, MotionConfig, MqttConfig
from hivewatch.daemon.app import make_classifier
from hivewatch.daemon.loop import Loop, Step
from hivewatch.daemon.recorder import Recorder, guest_publisher, open_recorder
from hivewatch.domain.frames import Frame, Prediction
from hivewatch.errors import ModelError, PublishError
from hivewatch.messages.test_alert import made_up_sighting
from hivewatch.system.stopwatch import Stopwatch
from hivewatch.vision.classifier import fit_to_input
from hivewatch.vision.model_file import TORCH_VERSION

STAGES = (
    *("capture", "gate", "preprocess", "forward", "closer", "localize"),
    *("decide", "compose", "store", "publish"),
)
# A sighting event is recorded and published on every 4th frame, which is enough for percentiles.
_EVENT_EVERY = 4
_TIMEOUT_S = 10.0

# Runs in a process of its own, since start-up can be measured only once per process.
_STARTUP_CODE = """
import json, sys, time
from pathlib import Path
start_s, model, precision, threads, writable, width_px, height_px = json.loads(sys.argv[1])
import torch
torch_s = time.time()
from hivewatch.vision.classifier import load_classifier
classifier = load_classifier(
    Path(model) if model else None, threads, precision=precision, allow_writable=writable
)
loaded_s = time.time()
classifier.warm_up(width_px, height_px)
print(json.dumps({"import_torch_s": torch_s - start_s, "load_model_s": loaded_s - torch_s,
                  "first_prediction_s": time.time() - start_s}))
"""


@dataclass(frozen=True, slots=True)
class StageTime:
    """Median and 95th percentile of a stage, and the number of measurements."""

    p50_ms: float
    p95_ms: float
    count: int


@dataclass(frozen=True, slots=True)
class Report:
    """The results. ``overhead`` is the loop's time outside the network, relative to the network's.

    ``stages`` and ``deliveries`` hold None where nothing was measured. ``capture`` is the time to draw a
    simulated frame, not a camera's; ``overhead`` does not include it. ``import_torch_s`` and
    ``first_prediction_s`` count from the start of a process.
    """

    machine: str
    frame_size_px: tuple[int, int]
    threads: int
    model: str
    stages: dict[str, StageTime | None]
    deliveries: dict[str, DeliveryTime | None]
    bare_forward: StageTime
    overhead: float
    loop_to_bare_forward: float
    frames_per_s: float
    peak_rss_mb: float
    import_torch_s: float
    load_model_s: float
    first_prediction_s: float

    def document(self) -> dict[str, object]:
        """Return the report as plain values for JSON."""
        return asdict(self)

    def table(self) -> str:
        """Return the report as a table of text."""
        rows = [f"{name:14} {_row(time)}" for name, time in self.stages.items()]
        deliveries = [f"{name:16} {delivery_text(time)}" for name, time in self.deliveries.items()]
        return "\n".join(
            [
                f"{self.machine}, {self.threads} threads, {self.frame_size_px[0]}x{self.frame_size_px[1]} px,"
                f" model {self.model}",
                f"{'stage':14} {'p50 ms':>9} {'p95 ms':>9} {'count':>6}",
                *rows,
                f"{'bare forward':14} {_row(self.bare_forward)}",
                *deliveries,
                f"loop overhead: {self.overhead:.1%} of the network's time;"
                f" whole loop / bare forward: {self.loop_to_bare_forward:.2f}",
                f"{self.frames_per_s:.1f} frames/s, peak memory {self.peak_rss_mb:.0f} MB",
                f"start to first prediction {self.first_prediction_s:.1f} s,"
                f" of which importing torch {self.import_torch_s:.1f} s,"
                f" loading the model {self.load_model_s:.1f} s",
            ]
        )


def measure(config: Config, frames: int) -> Report:
    """Run ``frames`` simulated frames through the loop with the gate off, and return the results.

    Sightings are stored in a temporary directory and published to a private mosquitto; without mosquitto,
    ``publish`` is None. Raises ModelError and PublishError.
    """
    startup = _measure_startup(config)
    with contextlib.ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="hivewatch-bench-")))
        port = opened.enter_context(mosquitto(folder))
        config = _bench_config(config, folder / "store", port)
        stopwatch = Stopwatch()
        classifier = make_classifier(config, stopwatch)
        stopwatch.durations_s.clear()  # without the warm-up
        recorder = open_recorder(
            *(config, classifier, stopwatch, opened, guest_publisher if port else None),
            on_recorded=lambda _sighting, _alert: None,
        )
        loop = Loop(config, classifier, recorder.record, stopwatch)
        timer = DeliveryTimer(config, port, opened)
        loop_s = _run(config, frames, recorder, loop, timer)
    durations_s = stopwatch.durations_s
    bare_s = statistics.median(durations_s["bare forward"])
    network_s = sum(durations_s["forward"]) + sum(durations_s["closer"])
    return Report(
        machine=f"{platform.machine()}, Python {platform.python_version()}, torch {TORCH_VERSION}",
        frame_size_px=(config.camera.width_px, config.camera.height_px),
        threads=classifier.threads,
        model=f"{classifier.model.name} {classifier.model.version}",
        stages={name: _stage_time(durations_s[name]) if durations_s[name] else None for name in STAGES},
        deliveries=timer.times(),
        bare_forward=_stage_time(durations_s["bare forward"]),
        overhead=(sum(loop_s) - network_s) / network_s,
        loop_to_bare_forward=statistics.median(loop_s) / bare_s,
        frames_per_s=len(loop_s) / sum(loop_s),
        peak_rss_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        **startup,
    )


def _run(config: Config, frames: int, recorder: Recorder, loop: Loop, timer: DeliveryTimer) -> list[float]:
    """Return the loop's time for each frame in seconds, without capture.

    After each frame, the bare graph runs once on the same input, so that both see the same noise.
    """
    camera = config.camera
    source = SimulatorCamera(camera.simulator, camera.width_px, camera.height_px, camera.rate_hz, paced=False)
    stopwatch, info = recorder.stopwatch, loop.classifier.model
    loop_s: list[float] = []
    steps = loop.run(islice(source.frames(threading.Event()), frames))
    for number, step in enumerate(_timed(steps, stopwatch, loop_s)):
        start_s = time.perf_counter() - loop_s[-1]
        if number % _EVENT_EVERY == 0 and step.prediction is not None:
            _record(recorder, step.frame, step.prediction, number)
            timer.await_delivery(start_s)
        pixels = fit_to_input(step.frame.pixels, info.input_long_side_px, info.input_multiple_px)
        with stopwatch("bare forward"):
            loop.classifier.forward(pixels)
    return loop_s


def _timed(steps: Iterator[Step], stopwatch: Stopwatch, loop_s: list[float]) -> Iterator[Step]:
    """Yield the steps; append to ``loop_s`` the time of each, without capture."""
    start_s = time.perf_counter()
    for step in steps:
        loop_s.append(time.perf_counter() - start_s - stopwatch.durations_s["capture"][-1])
        yield step
        start_s = time.perf_counter()


def _record(recorder: Recorder, frame: Frame, prediction: Prediction, number: int) -> None:
    """Record the start of a sighting as the loop does, and wait until the broker has acknowledged it."""
    recorder.record(made_up_sighting(frame, f"bench{number}", prediction))
    if recorder.publisher.delivers:
        with recorder.stopwatch("publish"):
            delivered = recorder.publisher.drain(_TIMEOUT_S)
        if not delivered:
            raise PublishError(f"the bench's broker acknowledged nothing for {_TIMEOUT_S:g} s")


def _bench_config(config: Config, directory: Path, port: int | None) -> Config:
    """Return ``config`` with every frame classified, and no sightings stored or sent but the bench's own."""
    return config.model_copy(
        update={
            "gate": config.gate.model_copy(update={"motion": MotionConfig(enabled=False)}),
            "decision": config.decision.model_copy(update={"threshold": 1.0}),
            "store": config.store.model_copy(update={"directory": directory}),
            "mqtt": MqttConfig(host="127.0.0.1", port=port or 1883),
        }
    )


def _measure_startup(config: Config) -> dict[str, float]:
    camera, classifier = config.camera, config.classifier
    model = str(classifier.model or "")
    chosen = model, classifier.precision, classifier.threads, classifier.allow_writable_model
    arguments = [time.time(), *chosen, camera.width_px, camera.height_px]
    command = [sys.executable, "-c", _STARTUP_CODE, json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ModelError(f"the model cannot be loaded: {done.stderr.strip().splitlines()[-1]}")
    times: dict[str, float] = json.loads(done.stdout)
    return times


def _stage_time(durations_s: Sequence[float]) -> StageTime:
    p50_s, p95_s = np.percentile(durations_s, [50, 95])
    return StageTime(float(p50_s) * 1000, float(p95_s) * 1000, len(durations_s))


def _row(time: StageTime | None) -> str:
    return "not measured" if time is None else f"{time.p50_ms:9.2f} {time.p95_ms:9.2f} {time.count:6}"
