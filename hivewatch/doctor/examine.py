"""All examinations, in an order in which the first that fails explains the later ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from hivewatch.config.reader import load
from hivewatch.config.sections import ClockConfig, Config
from hivewatch.doctor import host
from hivewatch.doctor.finding import Finding, fail, ok
from hivewatch.doctor.permissions import permissions, who_runs_it
from hivewatch.errors import ConfigError
from hivewatch.store.disk import is_locked
from hivewatch.system.clock import synchronised, utc_now
from hivewatch.system.sensors import cpu_temperature_c, throttling


def examine(path: Path) -> Iterator[Finding]:
    """Examine this machine for the configuration at ``path``; what needs none is examined without one too.

    Nothing is changed but for a picture in the folder for temporary files and a message on the broker.
    """
    try:
        config = load(path)
    except ConfigError as error:
        advice = "correct it; what depends on it was not examined"
        yield fail("config", "; ".join(error.problems), advice)
        yield from _machine(ClockConfig())
        return
    yield ok("config", f"{path} is in order")
    yield from _configured(path, config)


def _configured(path: Path, config: Config) -> Iterator[Finding]:
    runs = is_locked(config.store.directory)
    yield _daemon(config, runs)
    yield from _safely("permissions", lambda: permissions(path, config, who_runs_it(config)))
    yield from _safely("disk", lambda: [host.disk(config.store)])
    yield from _safely("wear", lambda: [host.wear(config.store.directory)])
    yield from _machine(config.clock)
    yield from _safely("model", partial(_model, config, runs=bool(runs)))
    yield from _safely("camera", partial(_camera, config, runs=bool(runs)))
    yield from _safely("broker", partial(_broker, config))


def _machine(clock: ClockConfig) -> Iterator[Finding]:
    is_kept = synchronised()
    yield from _safely("clock", lambda: [host.clock(clock, utc_now(), synchronised=is_kept)])
    yield from _safely("temperature", lambda: [host.temperature(cpu_temperature_c())])
    yield from _safely("power", lambda: [host.power(throttling())])


def _daemon(config: Config, runs: bool | None) -> Finding:
    directory = config.store.directory
    if runs is None:
        return ok("daemon", f"whether it runs cannot be told: {directory} is not ours to look into")
    return ok("daemon", f"hivewatch runs on {directory}" if runs else f"no hivewatch runs on {directory}")


# These import torch, OpenCV or paho: what is told before them shall not wait for that.
def _model(config: Config, *, runs: bool) -> Iterator[Finding]:
    from hivewatch.doctor.model import model

    yield model(config, daemon_runs=runs)


def _camera(config: Config, *, runs: bool) -> Iterator[Finding]:
    from hivewatch.doctor.camera import camera

    yield from camera(config, daemon_runs=runs)


def _broker(config: Config) -> Iterator[Finding]:
    from hivewatch.doctor.broker import broker

    yield broker(config)


def _safely(check: str, look: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """Yield what ``look`` finds; a fault in it is a failure of its own and no end of the examination."""
    try:
        yield from look()
    except Exception as error:  # noqa: BLE001  whatever it is, the other checks are still worth having
        advice = "this is a fault in hivewatch or a very odd machine: please report the line"
        yield fail(check, f"could not be examined: {error!r}", advice)
