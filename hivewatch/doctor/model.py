"""Checks the model: whether it loads on this machine, and how fast it runs."""

from __future__ import annotations

import statistics

from hivewatch.config.sections import Config
from hivewatch.daemon.app import make_classifier
from hivewatch.doctor.finding import Finding, fail, ok, warn
from hivewatch.errors import ModelError
from hivewatch.system.stopwatch import Stopwatch

_STAGES = ("preprocess", "forward", "localize")


def check_model(config: Config, *, daemon_runs: bool) -> Finding:
    """Load the model, time it on frames of the camera's size, and compare its speed with the camera's."""
    stopwatch = Stopwatch()
    try:
        classifier = make_classifier(config, stopwatch)
        for durations in stopwatch.durations_s.values():
            durations.clear()  # the first runs include compilation
        classifier.warm_up(config.camera.width_px, config.camera.height_px)
    except ModelError as error:
        return fail("model", str(error), "remove classifier.model to use the released one, or reinstall")
    took_s = sum(statistics.median(stopwatch.durations_s[stage]) for stage in _STAGES)
    info, rate_hz = classifier.model, 1 / took_s
    found = (
        f"{info.name} {info.version} takes {took_s * 1000:.0f} ms per frame on {classifier.threads} threads:"
        f" up to {rate_hz:.1f} frames/s"
        + ("" if info.second_look is None else ", fewer when it takes a second look")
        + (", measured while hivewatch is running" if daemon_runs else "")
    )
    if rate_hz < config.camera.rate_hz:
        return warn(
            "model",
            f"{found}, but camera.rate_hz is {config.camera.rate_hz:g}: some frames are skipped",
            f"set camera.rate_hz to {max(0.1, round(rate_hz, 1))}, or leave it:"
            " a live camera delivers its newest frame",
        )
    return ok("model", found)
