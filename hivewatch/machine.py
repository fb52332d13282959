"""What the machine tells of itself. A sensor that is not there reads None and is no error."""

from __future__ import annotations

import platform
import shutil
import subprocess
from dataclasses import dataclass
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


def throttling(program: str = "vcgencmd") -> Throttling | None:
    """Return what slows the machine down; only a Raspberry Pi knows."""
    path = shutil.which(program)
    if path is None:
        return None
    try:
        told = subprocess.run(
            [path, "get_throttled"], capture_output=True, text=True, timeout=_ASK_S, check=True
        )
        bits = int(told.stdout.strip().removeprefix("throttled="), 16)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return Throttling(_named(bits), _named(bits >> _SINCE_BOOT_SHIFT))


def _named(bits: int) -> tuple[str, ...]:
    return tuple(name for place, name in enumerate(_THROTTLING) if bits >> place & 1)
