"""Sensors, present and missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from hivewatch.system.sensors import Throttling, cpu_temperature_c, throttling, versions


def make_program(directory: Path, script: str) -> str:
    """Return the path of a shell script that stands for vcgencmd."""
    path = directory / "vcgencmd"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_the_temperature_is_read_from_the_thermal_zone(tmp_path: Path) -> None:
    (tmp_path / "temp").write_text("48312\n")
    assert cpu_temperature_c(tmp_path / "temp") == 48.312


@pytest.mark.parametrize("content", [None, "", "hot"])
def test_a_missing_or_broken_sensor_reads_none(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "temp").write_text(content)
    assert cpu_temperature_c(tmp_path / "temp") is None


def test_the_real_sensor_reads_a_temperature_or_none() -> None:
    temperature_c = cpu_temperature_c()
    assert temperature_c is None or -40 < temperature_c < 130


def test_throttling_is_named_now_and_since_boot(tmp_path: Path) -> None:
    program = make_program(tmp_path, "echo throttled=0x50005")
    both = ("under-voltage", "throttled")
    assert throttling(program) == Throttling(now=both, since_boot=both)
    program = make_program(tmp_path, "echo throttled=0x80000")
    assert throttling(program) == Throttling(now=(), since_boot=("soft temperature limit",))


@pytest.mark.parametrize("script", ["exit 1", "echo nonsense", "sleep 60"])
def test_a_vcgencmd_that_fails_or_hangs_reads_none(tmp_path: Path, script: str) -> None:
    assert throttling(make_program(tmp_path, f"exec {script}" if "sleep" in script else script)) is None


def test_if_vcgencmd_fails_the_kernel_is_asked(tmp_path: Path) -> None:
    firmware = tmp_path / "devices/platform/soc/soc:firmware"
    firmware.mkdir(parents=True)
    (firmware / "get_throttled").write_text("50005\n")
    both = ("under-voltage", "throttled")
    assert throttling(make_program(tmp_path, "exit 1"), tmp_path) == Throttling(both, both)


@pytest.mark.parametrize(("alarm", "since_boot"), [("1", ("under-voltage",)), ("0", ())])
def test_a_kernel_that_knows_only_the_voltage_reports_that(
    tmp_path: Path, alarm: str, since_boot: tuple[str, ...]
) -> None:
    for number, name in enumerate(("cpu_thermal", "rpi_volt")):
        (tmp_path / f"class/hwmon/hwmon{number}").mkdir(parents=True)
        (tmp_path / f"class/hwmon/hwmon{number}/name").write_text(f"{name}\n")
    (tmp_path / "class/hwmon/hwmon1/in0_lcrit_alarm").write_text(f"{alarm}\n")
    assert throttling("there-is-no-such-program", tmp_path) == Throttling((), since_boot)


def test_without_vcgencmd_throttling_reads_none() -> None:
    assert throttling("there-is-no-such-program") is None


def test_versions_are_those_of_this_process() -> None:
    found = versions("2.9.1")
    assert found.torch == "2.9.1"
    assert all((found.hivewatch, found.python, found.opencv))
