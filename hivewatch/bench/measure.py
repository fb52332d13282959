"""Measure every stage of the loop on this machine, on the simulator's frames."""

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

from hivewatch.bench.broker import DeliveryTime, Post, in_words, mosquitto
from hivewatch.camera.simulator.camera import SimulatorCamera
from hivewatch.config.sections import Config, MotionConfig, MqttConfig
from hivewatch.daemon.app import make_classifier, make_watch
from hivewatch.daemon.loop import Step, Watch
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
# A sighting event is recorded and published on every so many frames: enough of them to take a percentile of.
_EVENT_EVERY = 4
_PATIENCE_S = 10.0

# Run in a process of its own: what a start costs can be measured only once in each.
_START_UP = """
import json, sys, time
from pathlib import Path
began_s, model, precision, threads, width_px, height_px = json.loads(sys.argv[1])
import torch
torch_s = time.time()
from hivewatch.vision.classifier import load_classifier
classifier = load_classifier(Path(model) if model else None, threads, precision=precision)
loaded_s = time.time()
classifier.warm_up(width_px, height_px)
print(json.dumps({"import_torch_s": torch_s - began_s, "load_model_s": loaded_s - torch_s,
                  "first_prediction_s": time.time() - began_s}))
"""


@dataclass(frozen=True, slots=True)
class StageTime:
    """Median and 95th percentile of a stage, and how often it was measured."""

    p50_ms: float
    p95_ms: float
    count: int


@dataclass(frozen=True, slots=True)
class Report:
    """What was measured. ``overhead`` is the loop's time beside the forward pass, as a share of that pass.

    ``stages`` and ``deliveries`` hold None for what could not be measured. ``capture`` is the drawing of a
    simulated frame, no camera's; it is not part of ``overhead``. ``import_torch_s`` and
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
        """Return the report for people."""
        rows = [f"{name:14} {_row(time)}" for name, time in self.stages.items()]
        ways = [f"{name:16} {in_words(time)}" for name, time in self.deliveries.items()]
        return "\n".join(
            [
                f"{self.machine}, {self.threads} threads, {self.frame_size_px[0]}x{self.frame_size_px[1]} px,"
                f" model {self.model}",
                f"{'stage':14} {'p50 ms':>9} {'p95 ms':>9} {'count':>6}",
                *rows,
                f"{'bare forward':14} {_row(self.bare_forward)}",
                *ways,
                f"loop beside the forward pass: {self.overhead:.1%} of it;"
                f" whole loop to bare forward: {self.loop_to_bare_forward:.2f}",
                f"{self.frames_per_s:.1f} frames/s, peak memory {self.peak_rss_mb:.0f} MB",
                f"start to first prediction {self.first_prediction_s:.1f} s,"
                f" of which import of torch {self.import_torch_s:.1f} s, model {self.load_model_s:.1f} s",
            ]
        )


def measure(config: Config, frames: int) -> Report:
    """Run ``frames`` simulated frames through the loop, nothing gated, and report.

    Sightings are kept in a temporary folder and published to a mosquitto started for the purpose; where there
    is none ``publish`` is None.
    """
    start_up = _start_up(config)
    with contextlib.ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="hivewatch-bench-")))
        port = opened.enter_context(mosquitto(folder))
        config = _bench_config(config, folder / "store", port)
        stopwatch = Stopwatch()
        classifier = make_classifier(config, stopwatch)
        stopwatch.durations_s.clear()  # the warm-up's times are not the loop's
        recorder = open_recorder(config, classifier, stopwatch, opened, guest_publisher if port else None)
        recorder.told = lambda _sighting, _alert: None
        post = Post(config, port, opened)
        loop_s = _run(config, frames, recorder, make_watch(config, classifier, recorder), post)
    durations_s = stopwatch.durations_s
    bare_s = statistics.median(durations_s["bare forward"])
    network_s = sum(durations_s["forward"]) + sum(durations_s["closer"])
    return Report(
        machine=f"{platform.machine()}, Python {platform.python_version()}, torch {TORCH_VERSION}",
        frame_size_px=(config.camera.width_px, config.camera.height_px),
        threads=classifier.threads,
        model=f"{classifier.model.name} {classifier.model.version}",
        stages={name: _stage_time(durations_s[name]) if durations_s[name] else None for name in STAGES},
        deliveries=post.times(),
        bare_forward=_stage_time(durations_s["bare forward"]),
        overhead=(sum(loop_s) - network_s) / network_s,
        loop_to_bare_forward=statistics.median(loop_s) / bare_s,
        frames_per_s=len(loop_s) / sum(loop_s),
        peak_rss_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        **start_up,
    )


def _run(config: Config, frames: int, recorder: Recorder, watch: Watch, post: Post) -> list[float]:
    """Return how long the loop took for each frame, from having it to being done with it, in seconds.

    Beside each frame the bare graph runs once on the same input, so that both meet the same noise.
    """
    camera = config.camera
    source = SimulatorCamera(camera.simulator, camera.width_px, camera.height_px, camera.rate_hz, paced=False)
    stopwatch, info = recorder.stopwatch, watch.classifier.model
    loop_s: list[float] = []
    steps = watch.steps(islice(source.frames(threading.Event()), frames))
    for number, step in enumerate(_timed(steps, stopwatch, loop_s)):
        began_s = time.perf_counter() - loop_s[-1]
        if number % _EVENT_EVERY == 0 and step.prediction is not None:
            _record(recorder, step.frame, step.prediction, number)
            post.await_delivery(began_s)
        pixels = fit_to_input(step.frame.pixels, info.input_long_side_px, info.input_multiple_px)
        with stopwatch("bare forward"):
            watch.classifier.forward(pixels)
    return loop_s


def _timed(steps: Iterator[Step], stopwatch: Stopwatch, loop_s: list[float]) -> Iterator[Step]:
    """Pass the steps on; add to ``loop_s`` what each took beside the drawing of its frame."""
    begun_s = time.perf_counter()
    for step in steps:
        loop_s.append(time.perf_counter() - begun_s - stopwatch.durations_s["capture"][-1])
        yield step
        begun_s = time.perf_counter()


def _record(recorder: Recorder, frame: Frame, prediction: Prediction, number: int) -> None:
    """Record the start of a sighting as the loop would, and wait until the broker has acknowledged it."""
    recorder(made_up_sighting(frame, f"bench{number}", prediction))
    if recorder.publisher is not None:
        with recorder.stopwatch("publish"):
            delivered = recorder.publisher.drain(_PATIENCE_S)
        if not delivered:
            raise PublishError(f"the bench's own broker took nothing for {_PATIENCE_S:g} s")


def _bench_config(config: Config, directory: Path, port: int | None) -> Config:
    """Classify every frame; let no sighting arise, be kept or be published but the bench's own."""
    return config.model_copy(
        update={
            "gate": config.gate.model_copy(update={"motion": MotionConfig(enabled=False)}),
            "decision": config.decision.model_copy(update={"threshold": 1.0}),
            "store": config.store.model_copy(update={"directory": directory}),
            "mqtt": MqttConfig(host="127.0.0.1", port=port or 1883),
        }
    )


def _start_up(config: Config) -> dict[str, float]:
    camera, classifier = config.camera, config.classifier
    model = str(classifier.model or "")
    chosen = model, classifier.precision, classifier.threads
    arguments = [time.time(), *chosen, camera.width_px, camera.height_px]
    command = [sys.executable, "-c", _START_UP, json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ModelError(f"the model does not start: {done.stderr.strip().splitlines()[-1]}")
    times: dict[str, float] = json.loads(done.stdout)
    return times


def _stage_time(durations_s: Sequence[float]) -> StageTime:
    p50_s, p95_s = np.percentile(durations_s, [50, 95])
    return StageTime(float(p50_s) * 1000, float(p95_s) * 1000, len(durations_s))


def _row(time: StageTime | None) -> str:
    return "not measured" if time is None else f"{time.p50_ms:9.2f} {time.p95_ms:9.2f} {time.count:6}"
