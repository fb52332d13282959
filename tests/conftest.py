"""Fixtures that many tests share."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from support.brokers import Broker
from support.models import make_untrained_model

# A machine with other work is slow, not wrong.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a golden file be written anew on purpose."""
    parser.addoption("--update-expected", action="store_true", help="write the expected results anew")


@pytest.fixture(scope="session")
def tiny_model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Path of a model file of the released format with random weights: quick to make, valid, and no judge."""
    return make_untrained_model(tmp_path_factory.mktemp("model") / "untrained.pt")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A real mosquitto on a free port of loopback, running, open to everybody."""
    directory = tmp_path / "broker"
    directory.mkdir()
    broker = Broker(directory).start()
    yield broker
    broker.kill()


@pytest.fixture(autouse=True)
def no_signal_stays_blocked() -> Iterator[None]:
    """Fail a test that leaves signals blocked: every process started after it would never hear them."""
    yield
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, blocked)
    assert not blocked


@pytest.fixture(autouse=True)
def log_level_is_put_back() -> Iterator[None]:
    """Commands run in this process set the level of the package's log: the next test begins as the first."""
    package = logging.getLogger("hivewatch")
    level = package.level
    yield
    package.setLevel(level)


@pytest.fixture
def local_time_is_that_of_paris(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let days begin and summer time change as in Paris, wherever the tests run."""
    monkeypatch.setenv("TZ", "Europe/Paris")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()
