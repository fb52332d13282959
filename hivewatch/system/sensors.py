"""Sensors and versions of this machine. A missing sensor reads None and is no error."""

from __future__ import annotations

import platform
import shutil
import subprocess
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2

from hivewatch import __version__

_THERMAL_ZONE = Path("/sys/class/thermal/thermal_zone0/temp")
_ASK_S = 2.0
# vcgencmd get_throttled: the low bits are the present state, the bits 16 higher anything since boot.
_THROTTLING = ("under-voltage", "frequency capped", "throttled", "soft temperature limit")
_SINCE_BOOT_SHIFT = 16


@dataclass(frozen=True, slots=True)
class Throttling:
    """What slows a Raspberry Pi down: ``now``, and at any time ``since_boot``."""

    now: tuple[str, ...]
    since_boot: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Versions:
    """Versions of hivewatch and of what it runs on."""

    hivewatch: str
    python: str
    torch: str
    opencv: str


def versions(torch: str) -> Versions:
    """Return the versions; the caller has imported torch and passes its version."""
    return Versions(__version__, platform.python_version(), torch, cv2.__version__)


def cpu_temperature_c(sensor: Path = _THERMAL_ZONE) -> float | None:
    """Return the temperature of the processor in degrees Celsius."""
    try:
        return int(sensor.read_text()) / 1000
    except (OSError, ValueError):
        return None


def throttling(program: str = "vcgencmd", sysfs: Path = Path("/sys")) -> Throttling | None:
    """Return what slows the machine down; None on anything but a Raspberry Pi.

    ``program`` asks the firmware. If it is missing or not permitted, as in a sandbox, the kernel is asked.
    """
    for ask in (partial(_ask_program, program), partial(_ask_kernel, sysfs)):
        try:
            bits = int(ask().strip().removeprefix("throttled="), 16)
        except (OSError, subprocess.SubprocessError, ValueError):
            continue
        return Throttling(_named(bits), _named(bits >> _SINCE_BOOT_SHIFT))
    return None


def _ask_program(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise FileNotFoundError(program)
    return subprocess.run(
        [path, "get_throttled"], capture_output=True, text=True, timeout=_ASK_S, check=True
    ).stdout


def _ask_kernel(sysfs: Path) -> str:
    """Return the same bits from sysfs, or only the low-voltage alarm, which stays set once raised."""
    for file in sysfs.glob("devices/platform/soc*/soc*:firmware/get_throttled"):
        return file.read_text()
    for name in sysfs.glob("class/hwmon/hwmon*/name"):
        if name.read_text().strip() == "rpi_volt":
            alarm = int((name.parent / "in0_lcrit_alarm").read_text())
            return hex(alarm << _SINCE_BOOT_SHIFT)
    raise FileNotFoundError(sysfs)


def _named(bits: int) -> tuple[str, ...]:
    return tuple(name for bit, name in enumerate(_THROTTLING) if bits >> bit & 1)
