"""The status line for systemd, and the hourly line in the log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.rig import Rig

from hivewatch.config.sections import Config
from hivewatch.daemon.status import StatusService
from hivewatch.domain.status import CameraState

pytestmark = pytest.mark.usefixtures("local_time_is_that_of_paris")


class Hive(Rig):
    """A rig with the status service."""

    def __init__(self, directory: Path, config: Config) -> None:
        super().__init__(directory, config)
        self.status = self.add(
            StatusService(config, self.supervisor, self.loop, self.recorder, self.clock, self.counts)
        )


@pytest.fixture
def hive(tmp_path: Path) -> Iterator[Hive]:
    """A hive at noon, 14 May 2027."""
    hive = Hive(tmp_path, Config())
    yield hive
    hive.store.close()


def hourly(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if "frames seen" in record.getMessage()]


def test_an_hour_without_a_fault_leaves_one_line_in_the_log(
    hive: Hive, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "hivewatch")
    hive.watch(2 * 3600 + 60, every_s=10)
    lines = hourly(caplog)
    assert [record.levelname for record in lines] == ["INFO", "INFO"]
    assert lines[0].getMessage() == "all well; 360 frames seen, 360 classified, 0 sightings today"


def test_an_hour_with_a_fault_is_not_called_well(hive: Hive, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "hivewatch")
    hive.set_camera(CameraState.DEGRADED)
    hive.publisher.is_connected = False
    hive.watch(3610, every_s=10)
    (line,) = hourly(caplog)
    assert line.levelname == "WARNING"
    assert "the camera is degraded" in line.getMessage()
    assert "no connection to the broker" in line.getMessage()
    assert "all well" not in line.getMessage()


def test_the_line_shows_rate_last_hornet_and_outbox(hive: Hive) -> None:
    hive.watch(120, every_s=0.5)
    assert hive.status.line == "watching, 2.0 fps, no hornet yet, outbox 0"
    hive.record("visit1")
    hive.watch(2)
    assert "last hornet 12:02" in hive.status.line
    hive.machine.pass_time(86_400)
    hive.watch(2)
    assert "last hornet 2027-05-14" in hive.status.line, "that was another day"


def test_the_line_names_a_pause_and_a_fault_of_the_camera(hive: Hive) -> None:
    hive.set_camera(CameraState.DEGRADED)
    hive.watch(2)
    assert hive.status.line.startswith("camera degraded, ")
    hive.loop.pause()
    hive.watch(2)
    assert hive.status.line.startswith("paused, ")
