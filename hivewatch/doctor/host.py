"""The machine: disk space and wear, clock, temperature and power."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from hivewatch.config.sections import ClockConfig, StoreConfig
from hivewatch.doctor.finding import Finding, fail, ok, warn
from hivewatch.system.clock import EARLIEST
from hivewatch.system.sensors import Throttling

_MEGABYTE = 1_000_000
# A Raspberry Pi throttles at 80 to 85 degrees; from 75 on, a warm afternoon is enough to get there.
_WARM_C, _HOT_C = 75.0, 85.0
_FEW_INODES = 2000
# JEDEC JESD84-B51: wear is estimated in tenths of the life time, 0x0B once it is exceeded; 0 is undefined.
_WORN_TENTHS, _EXCEEDED_TENTHS = 9, 11
_RESERVE = {2: "80 % of its spare blocks are used up", 3: "almost all of its spare blocks are used up"}


def existing_parent(path: Path) -> Path:
    """Return ``path`` if it exists, else its nearest existing parent, in which it would be created."""
    return next(p for p in (path, *path.parents) if p.exists())


def check_disk(config: StoreConfig) -> Finding:
    """Check that there is room for new pictures."""
    status = os.statvfs(existing_parent(config.directory))
    free_mb = status.f_bavail * status.f_frsize / _MEGABYTE
    found = f"{free_mb:.0f} MB free for {config.directory}"
    if free_mb < config.least_free_mb / 4:
        return fail("disk", f"{found}: too little for new pictures", "delete files, or use a larger disk")
    if free_mb < config.least_free_mb:
        return warn(
            "disk",
            f"{found}, less than store.least_free_mb ({config.least_free_mb:.0f}): old pictures are deleted",
            "delete other files, or use a larger disk",
        )
    if status.f_files and status.f_favail < _FEW_INODES:
        return warn("disk", f"{found}, but room for only {status.f_favail} more files", "delete small files")
    return ok("disk", found)


def check_wear(directory: Path, sysfs: Path = Path("/sys")) -> Finding:
    """Check how worn the disk of ``directory`` is, if it reports that."""
    device = _disk_of(directory, sysfs)
    if device is None:
        return ok("wear", "unknown: the store is not on a physical disk")
    tenths = [int(word, 16) for word in _read(device / "device" / "life_time").split()]
    reserve = _RESERVE.get(int(_read(device / "device" / "pre_eol_info") or "0", 16), "")
    if not any(tenths):
        kind = _read(device / "device" / "type") or "disk"
        return ok("wear", f"unknown: {device.name} ({kind}) does not report its wear")
    most = max(tenths)
    used = (
        "its estimated life is exceeded"
        if most >= _EXCEEDED_TENTHS
        else f"about {10 * most} % of its life is used"
    )
    found = f"{device.name}: {used}" + (f", {reserve}" if reserve else "")
    if reserve or most >= _WORN_TENTHS:
        verdict = fail if most >= _EXCEEDED_TENTHS else warn
        return verdict("wear", found, "copy store.directory to a new card or disk before this one fails")
    return ok("wear", found)


def check_clock(config: ClockConfig, now: datetime, *, synchronised: bool) -> Finding:
    """Check that sightings get the right time."""
    time = f"{now:%Y-%m-%d %H:%M:%S} UTC"
    if now < EARLIEST:
        return fail(
            "clock",
            f"wrong: it says {time}",
            "connect the machine to a time server (`timedatectl set-ntp true`), or fit a clock module",
        )
    if not synchronised:
        return warn(
            "clock",
            f"{time}, but not synchronised: after a start, alerts wait for up to {config.wait_s:.0f} s",
            "run `timedatectl set-ntp true`, check the network; with a clock module, set clock.wait_s to 0",
        )
    return ok("clock", f"{time}, synchronised over the network")


def check_temperature(cpu_c: float | None) -> Finding:
    """Check that the processor is not too hot."""
    if cpu_c is None:
        return ok("temperature", "unknown: no sensor")
    found = f"processor {cpu_c:.0f} °C"
    if cpu_c >= _HOT_C:
        return fail(
            "temperature", f"{found}: it is throttled", "shade and ventilate the box, or add a cooler"
        )
    if cpu_c >= _WARM_C:
        return warn("temperature", f"{found}: close to throttling", "shade and ventilate the box")
    return ok("temperature", found)


def check_power(throttling: Throttling | None) -> Finding:
    """Check whether low voltage or heat throttles the machine."""
    if throttling is None:
        return ok("power", "unknown: only a Raspberry Pi reports it")
    advice = "use a power supply and cable made for this Pi, unplug other USB devices, then restart it"
    if throttling.now:
        verdict = fail if "under-voltage" in throttling.now else warn
        return verdict("power", f"now: {', '.join(throttling.now)}", advice)
    if throttling.since_boot:
        return warn("power", f"since the last start: {', '.join(throttling.since_boot)}", advice)
    return ok("power", "no low voltage and no throttling since the last start")


def _disk_of(directory: Path, sysfs: Path) -> Path | None:
    """Return the sysfs directory of the whole disk that holds ``directory``, None if it is on no disk."""
    number = existing_parent(directory).stat().st_dev
    device = (sysfs / "dev" / "block" / f"{os.major(number)}:{os.minor(number)}").resolve()
    if not device.exists():
        return None
    return device.parent if (device / "partition").exists() else device


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
