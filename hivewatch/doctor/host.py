"""The machine: room and wear of the disk, the clock, heat and power."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from hivewatch.config.sections import ClockConfig, StoreConfig
from hivewatch.doctor.finding import Finding, fail, ok, warn
from hivewatch.system.clock import EARLIEST
from hivewatch.system.sensors import Throttling

_MEGABYTE = 1_000_000
# A Raspberry Pi slows down at 80 to 85 degrees; nearer than this a warm afternoon does it.
_WARM_C, _HOT_C = 75.0, 85.0
_FEW_INODES = 2000
# JEDEC JESD84-B51: the wear estimate is in tenths of the life time, 0x0B when it is over; 0 says nothing.
_WORN_TENTHS, _OVER_TENTHS = 9, 11
_RESERVE = {2: "80 % of its spare blocks are used up", 3: "almost all of its spare blocks are used up"}


def nearest(path: Path) -> Path:
    """Return ``path``, or the folder it would be made in."""
    return next(p for p in (path, *path.parents) if p.exists())


def disk(config: StoreConfig) -> Finding:
    """Say whether there is room for what the store may keep."""
    status = os.statvfs(nearest(config.directory))
    free_mb = status.f_bavail * status.f_frsize / _MEGABYTE
    found = f"{free_mb:.0f} MB free for {config.directory}"
    if free_mb < config.least_free_mb / 4:
        return fail(
            "disk", found, "no new picture can be kept: remove what is not needed, or use a larger disk"
        )
    if free_mb < config.least_free_mb:
        return warn(
            "disk",
            f"{found}, less than store.least_free_mb ({config.least_free_mb:.0f}): old pictures go first",
            "remove what is not needed, or use a larger disk",
        )
    if status.f_files and status.f_favail < _FEW_INODES:
        return warn("disk", f"{found}, but only for {status.f_favail} more files", "remove small files")
    return ok("disk", found)


def wear(directory: Path, sysfs: Path = Path("/sys")) -> Finding:
    """Say how worn the disk of ``directory`` is, where it tells."""
    device = _disk_of(directory, sysfs)
    if device is None:
        return ok("wear", "unknown: this is no disk of its own that could tell")
    tenths = [int(word, 16) for word in _read(device / "device" / "life_time").split()]
    reserve = _RESERVE.get(int(_read(device / "device" / "pre_eol_info") or "0", 16), "")
    if not any(tenths):
        kind = _read(device / "device" / "type") or "disk"
        return ok("wear", f"unknown: {device.name} ({kind}) does not tell its life time")
    most = max(tenths)
    used = (
        "its estimated life is over" if most >= _OVER_TENTHS else f"about {10 * most} % of its life is used"
    )
    found = f"{device.name}: {used}" + (f", {reserve}" if reserve else "")
    if reserve or most >= _WORN_TENTHS:
        verdict = fail if most >= _OVER_TENTHS else warn
        return verdict("wear", found, "copy store.directory to a new card or disk before this one fails")
    return ok("wear", found)


def clock(config: ClockConfig, now: datetime, *, synchronised: bool) -> Finding:
    """Say whether what is seen can be dated."""
    says = f"{now:%Y-%m-%d %H:%M:%S} UTC"
    if now < EARLIEST:
        return fail(
            "clock",
            f"it is not {says}",
            "let the machine reach a time server (`timedatectl set-ntp true`), or give it a clock module",
        )
    if not synchronised:
        return warn(
            "clock",
            f"{says}, but nothing keeps it on time: after a start alerts wait up to {config.wait_s:.0f} s",
            "`timedatectl set-ntp true`, and a network; with a clock module set clock.wait_s to 0",
        )
    return ok("clock", f"{says}, kept on time over the network")


def temperature(cpu_c: float | None) -> Finding:
    """Say whether the processor runs too hot."""
    if cpu_c is None:
        return ok("temperature", "unknown: no sensor")
    found = f"processor {cpu_c:.0f} °C"
    if cpu_c >= _HOT_C:
        return fail("temperature", f"{found}: it is slowed down", "shade and air for the box, or a cooler")
    if cpu_c >= _WARM_C:
        return warn("temperature", f"{found}: close to being slowed down", "shade and air for the box")
    return ok("temperature", found)


def power(throttling: Throttling | None) -> Finding:
    """Say whether the power supply, or heat, slows the machine down."""
    if throttling is None:
        return ok("power", "unknown: only a Raspberry Pi tells")
    advice = "a supply and a cable made for this Pi; nothing else on its USB ports; then start it afresh"
    if throttling.now:
        verdict = fail if "under-voltage" in throttling.now else warn
        return verdict("power", f"now: {', '.join(throttling.now)}", advice)
    if throttling.since_boot:
        return warn("power", f"since the last start: {', '.join(throttling.since_boot)}", advice)
    return ok("power", "no low voltage and no throttling since the last start")


def _disk_of(directory: Path, sysfs: Path) -> Path | None:
    """Return the folder of sysfs for the whole disk that ``directory`` lies on."""
    number = nearest(directory).stat().st_dev
    device = (sysfs / "dev" / "block" / f"{os.major(number)}:{os.minor(number)}").resolve()
    if not device.exists():
        return None
    return device.parent if (device / "partition").exists() else device


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
