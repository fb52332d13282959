"""Settings of all tests, and fixtures that many of them share."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from support.brokers import Broker
from support.models import make_untrained_model

# No deadline: on a busy machine a test is slow, not wrong.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


def pytest_configure() -> None:
    """Keep torch to one thread, here and in the processes that tests start, if other tests run beside.

    A model file that the group may write is refused, so the tests must not write such files.
    """
    os.umask(0o022)
    if "PYTEST_XDIST_WORKER" in os.environ:
        os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add an option that rewrites golden files on purpose."""
    parser.addoption("--update-expected", action="store_true", help="rewrite the files in tests/expected")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the integration tests first: they take longest, and short tests at the end fill the gaps."""
    items.sort(key=lambda item: item.get_closest_marker("integration") is None)


@pytest.fixture(scope="session")
def tiny_model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the path of a model file in the released format with random weights."""
    return make_untrained_model(tmp_path_factory.mktemp("model") / "untrained.pt")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """Return a running mosquitto on a free port of loopback that needs no password."""
    directory = tmp_path / "broker"
    directory.mkdir()
    broker = Broker(directory).start()
    yield broker
    broker.kill()


@pytest.fixture(autouse=True)
def no_signal_stays_blocked() -> Iterator[None]:
    """Fail a test that leaves signals blocked: processes started after it would never receive them."""
    yield
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, blocked)
    assert not blocked


@pytest.fixture(autouse=True)
def log_level_is_restored() -> Iterator[None]:
    """Restore the level of the package's logger, which commands run in this process set."""
    package = logging.getLogger("hivewatch")
    level = package.level
    yield
    package.setLevel(level)


@pytest.fixture
def local_time_is_that_of_paris(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set the time zone to that of Paris, which has summer time."""
    monkeypatch.setenv("TZ", "Europe/Paris")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()
