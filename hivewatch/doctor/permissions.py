"""May the user that hivewatch runs as read, write and open what it must?"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hivewatch.camera.devices import camera_devices
from hivewatch.config.sections import Config
from hivewatch.doctor.finding import Finding, fail, ok, warn
from hivewatch.doctor.host import nearest

_READ, _WRITE = os.R_OK, os.W_OK | os.R_OK


@dataclass(frozen=True, slots=True)
class User:
    """Whose rights are looked at."""

    name: str
    uid: int
    gid: int

    def may(self, wishes: Sequence[tuple[Path, int]]) -> list[bool]:
        """Tell for each path whether access in that mode (os.access) would be granted."""
        with self._acting():
            return [os.access(path, mode, effective_ids=True) for path, mode in wishes]

    @contextmanager
    def _acting(self) -> Iterator[None]:
        """Let the kernel judge as for this user: bits say nothing of groups, ACLs and read-only disks."""
        uid, gid = os.geteuid(), os.getegid()
        if self.uid == uid:
            yield
            return
        groups = os.getgroups()
        os.setgroups(_groups(self))
        os.setegid(self.gid)
        os.seteuid(self.uid)
        try:
            yield
        finally:
            os.seteuid(uid)
            os.setegid(gid)
            os.setgroups(groups)


def who_runs_it(config: Config) -> User:
    """Return whom the store belongs to, for whom root asks; everybody else can only ask for themselves."""
    directory = config.store.directory
    if os.geteuid() == 0 and directory.exists():
        owner = directory.stat()
        return User(_name(owner.st_uid), owner.st_uid, owner.st_gid)
    return User(_name(os.geteuid()), os.geteuid(), os.getegid())


def permissions(path: Path, config: Config, user: User) -> Iterator[Finding]:
    """Look at the store, the files that are read, and the camera's devices."""
    yield _store(config.store.directory, user)
    yield from _files(path, config, user)
    yield from _devices(config, user)


def _store(directory: Path, user: User) -> Finding:
    place = nearest(directory)
    (granted,) = user.may([(place, _WRITE | os.X_OK)])
    if granted:
        where = f"{directory}" if place == directory else f"{directory}, which is made at the first start,"
        return ok("permissions", f"{user.name} may write to {where}")
    return fail(
        "permissions",
        f"{user.name} may not write to {place}: no sighting can be kept",
        f"`sudo chown -R USER {directory}` with the user hivewatch runs as; is the file system read-only?",
    )


def _files(path: Path, config: Config, user: User) -> Iterator[Finding]:
    secret = config.mqtt.password_file
    files = [file for file in (path, config.classifier.model, secret) if file is not None]
    for file, granted in zip(files, user.may([(file, _READ) for file in files]), strict=True):
        if not granted:
            advice = f"`sudo chgrp GROUP {file}` and `sudo chmod 640 {file}`"
            yield fail("permissions", f"{user.name} may not read {file}", advice)
    if secret is not None and secret.stat().st_mode & 0o007:
        yield warn("permissions", f"everybody may read the password in {secret}", f"`chmod o= {secret}`")


def _devices(config: Config, user: User) -> Iterator[Finding]:
    devices = camera_devices(config.camera)
    denied = [
        device
        for device, granted in zip(devices, user.may([(d, _WRITE) for d in devices]), strict=True)
        if not granted
    ]
    if denied:
        # As root it is not certain: the unit may grant a group that the user himself is not in.
        verdict = fail if user.uid == os.geteuid() else warn
        yield verdict(
            "permissions",
            f"{user.name} may not open {', '.join(map(str, denied))}",
            f"`sudo usermod -aG video {user.name}` and start hivewatch afresh; the unit may grant it too",
        )


def _groups(user: User) -> list[int]:
    try:
        return os.getgrouplist(user.name, user.gid)
    except (KeyError, OSError):
        return [user.gid]


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
