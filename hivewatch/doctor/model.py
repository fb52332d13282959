"""The model: does it load here, and how fast is it?"""

from __future__ import annotations

import statistics

from hivewatch.config.sections import Config
from hivewatch.daemon.app import make_classifier
from hivewatch.doctor.finding import Finding, fail, ok, warn
from hivewatch.errors import ModelError
from hivewatch.system.stopwatch import Stopwatch

_STAGES = ("preprocess", "forward", "localize")


def model(config: Config, *, daemon_runs: bool) -> Finding:
    """Load it, run it on frames of the camera's size, and hold its speed against the camera's."""
    stopwatch = Stopwatch()
    try:
        classifier = make_classifier(config, stopwatch)
        for durations in stopwatch.durations_s.values():
            durations.clear()  # of the first runs, which compile
        classifier.warm_up(config.camera.width_px, config.camera.height_px)
    except ModelError as error:
        return fail("model", str(error), "leave out classifier.model for the released one, or install again")
    took_s = sum(statistics.median(stopwatch.durations_s[stage]) for stage in _STAGES)
    info, rate_hz = classifier.model, 1 / took_s
    found = (
        f"{info.name} {info.version} takes {took_s * 1000:.0f} ms a frame on {classifier.threads} threads:"
        f" up to {rate_hz:.1f} frames/s"
        + ("" if info.second_look is None else ", fewer while it looks closer at something")
        + (", while hivewatch runs beside it" if daemon_runs else "")
    )
    if rate_hz < config.camera.rate_hz:
        return warn(
            "model",
            f"{found}, and camera.rate_hz asks for {config.camera.rate_hz:g}: some will be passed over",
            f"camera.rate_hz: {max(0.1, round(rate_hz, 1))}, or leave it: live cameras give the newest frame",
        )
    return ok("model", found)
