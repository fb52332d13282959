"""What the machine tells of itself. A sensor that is not there reads None and is no error."""

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
# vcgencmd get_throttled: these bits say what is, 16 places higher what was since boot.
_THROTTLING = ("under-voltage", "frequency capped", "throttled", "soft temperature limit")
_SINCE_BOOT_SHIFT = 16


@dataclass(frozen=True, slots=True)
class Throttling:
    """What slows a Raspberry Pi down, in words: at this moment, and at any time since it was started."""

    now: tuple[str, ...]
    since_boot: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Versions:
    """What is at work here."""

    hivewatch: str
    python: str
    torch: str
    opencv: str


def versions(torch: str) -> Versions:
    """Return the versions; that of torch is told by who has imported it."""
    return Versions(__version__, platform.python_version(), torch, cv2.__version__)


def cpu_temperature_c(sensor: Path = _THERMAL_ZONE) -> float | None:
    """Return the temperature of the processor."""
    try:
        return int(sensor.read_text()) / 1000
    except (OSError, ValueError):
        return None


def throttling(program: str = "vcgencmd", sysfs: Path = Path("/sys")) -> Throttling | None:
    """Return what slows the machine down; only a Raspberry Pi knows.

    Where the program is missing or may not ask the firmware, as in a sandbox, the kernel may know.
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
    """Return the same bits from sysfs, or the alarm for low voltage alone: it stays set from boot on."""
    for file in sysfs.glob("devices/platform/soc*/soc*:firmware/get_throttled"):
        return file.read_text()
    for name in sysfs.glob("class/hwmon/hwmon*/name"):
        if name.read_text().strip() == "rpi_volt":
            alarm = int((name.parent / "in0_lcrit_alarm").read_text())
            return hex(alarm << _SINCE_BOOT_SHIFT)
    raise FileNotFoundError(sysfs)


def _named(bits: int) -> tuple[str, ...]:
    return tuple(name for place, name in enumerate(_THROTTLING) if bits >> place & 1)
