"""Runs all checks, ordered so that the first failure explains the later ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from hivewatch.config.reader import load
from hivewatch.config.sections import ClockConfig, Config
from hivewatch.doctor import host
from hivewatch.doctor.finding import Finding, fail, ok
from hivewatch.doctor.permissions import check_permissions, service_user
from hivewatch.domain.redaction import summary
from hivewatch.errors import ConfigError
from hivewatch.store.disk import is_locked
from hivewatch.system.clock import synchronised, utc_now
from hivewatch.system.sensors import cpu_temperature_c, throttling


def examine(path: Path) -> Iterator[Finding]:
    """Check this machine against the configuration at ``path``; if it is invalid, check only the machine.

    Leaves behind a picture in the temporary directory, and sends one message to the broker.
    """
    try:
        config = load(path)
    except ConfigError as error:
        advice = "correct the file; checks that depend on it were skipped"
        yield fail("config", "; ".join(error.problems), advice)
        yield from _machine(ClockConfig())
        return
    yield ok("config", f"{path} is valid")
    yield from _configured(path, config)


def _configured(path: Path, config: Config) -> Iterator[Finding]:
    runs = is_locked(config.store.directory)
    yield _daemon(config, runs)
    yield from _safely("permissions", lambda: check_permissions(path, config, service_user(config)))
    yield from _safely("disk", lambda: [host.check_disk(config.store)])
    yield from _safely("wear", lambda: [host.check_wear(config.store.directory)])
    yield from _machine(config.clock)
    yield from _safely("model", partial(_model, config, runs=bool(runs)))
    yield from _safely("camera", partial(_camera, config, runs=bool(runs)))
    yield from _safely("broker", partial(_broker, config))


def _machine(clock: ClockConfig) -> Iterator[Finding]:
    is_synchronised = synchronised()
    yield from _safely("clock", lambda: [host.check_clock(clock, utc_now(), synchronised=is_synchronised)])
    yield from _safely("temperature", lambda: [host.check_temperature(cpu_temperature_c())])
    yield from _safely("power", lambda: [host.check_power(throttling())])


def _daemon(config: Config, runs: bool | None) -> Finding:
    directory = config.store.directory
    if runs is None:
        return ok("daemon", f"unknown: {directory} cannot be read by this user")
    return ok("daemon", f"{'running' if runs else 'not running'}, store: {directory}")


# These import torch, OpenCV or paho, which takes seconds: the findings before them are printed first.
def _model(config: Config, *, runs: bool) -> Iterator[Finding]:
    from hivewatch.doctor.model import check_model

    yield check_model(config, daemon_runs=runs)


def _camera(config: Config, *, runs: bool) -> Iterator[Finding]:
    from hivewatch.doctor.camera import check_camera

    yield from check_camera(config, daemon_runs=runs)


def _broker(config: Config) -> Iterator[Finding]:
    from hivewatch.doctor.broker import check_broker

    yield check_broker(config)


def _safely(check: str, run: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """Yield what ``run`` finds; an unexpected error becomes a failure, and the other checks still run."""
    try:
        yield from run()
    except Exception as error:  # noqa: BLE001  whatever failed, the other checks are still useful
        advice = "this is a bug in hivewatch or a very unusual machine: please report this line"
        yield fail(check, f"the check itself failed: {summary(error)}", advice)
