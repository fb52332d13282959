"""Checks permissions: whether the service's user may read, write and open what hivewatch needs."""

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
from hivewatch.doctor.host import existing_parent

_READ, _WRITE = os.R_OK, os.W_OK | os.R_OK


@dataclass(frozen=True, slots=True)
class User:
    """The user whose permissions are checked."""

    name: str
    uid: int
    gid: int

    def may(self, requests: Sequence[tuple[Path, int]]) -> list[bool]:
        """Return for each path whether access in that mode (os.access) is granted."""
        with self._acting():
            return [os.access(path, mode, effective_ids=True) for path, mode in requests]

    @contextmanager
    def _acting(self) -> Iterator[None]:
        """Act as this user: the kernel also checks groups, ACLs and read-only mounts, unlike mode bits."""
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


def service_user(config: Config) -> User:
    """Return the owner of the store if called as root, else the current user."""
    directory = config.store.directory
    if os.geteuid() == 0 and directory.exists():
        owner = directory.stat()
        return User(_name(owner.st_uid), owner.st_uid, owner.st_gid)
    return User(_name(os.geteuid()), os.geteuid(), os.getegid())


def check_permissions(path: Path, config: Config, user: User) -> Iterator[Finding]:
    """Check the store, the files to read, and the camera's devices."""
    yield _store(config.store.directory, user)
    yield from _files(path, config, user)
    yield from _devices(config, user)


def _store(directory: Path, user: User) -> Finding:
    existing = existing_parent(directory)
    (granted,) = user.may([(existing, _WRITE | os.X_OK)])
    if granted:
        later = "" if existing == directory else ", which will be created at the first start"
        return ok("permissions", f"{user.name} may write to {directory}{later}")
    return fail(
        "permissions",
        f"{user.name} may not write to {existing}: sightings cannot be stored",
        f"run `sudo chown -R USER {directory}`, where USER is the service's user,"
        " or check whether the file system is read-only",
    )


def _files(path: Path, config: Config, user: User) -> Iterator[Finding]:
    secret = config.mqtt.password_file
    files = [file for file in (path, config.classifier.model, secret) if file is not None]
    for file, granted in zip(files, user.may([(file, _READ) for file in files]), strict=True):
        if not granted:
            advice = (
                f"run `sudo chgrp GROUP {file}`, where GROUP is a group of {user.name},"
                f" and `sudo chmod 640 {file}`"
            )
            yield fail("permissions", f"{user.name} may not read {file}", advice)
    if secret is not None and secret.stat().st_mode & 0o007:
        yield warn("permissions", f"every user may read the password in {secret}", f"run `chmod o= {secret}`")


def _devices(config: Config, user: User) -> Iterator[Finding]:
    devices = camera_devices(config.camera)
    denied = [
        device
        for device, granted in zip(devices, user.may([(d, _WRITE) for d in devices]), strict=True)
        if not granted
    ]
    if denied:
        # As root, this is not certain: the unit may add a group that the user is not a member of.
        verdict = fail if user.uid == os.geteuid() else warn
        yield verdict(
            "permissions",
            f"{user.name} may not open {', '.join(map(str, denied))}",
            f"run `sudo usermod -aG video {user.name}` and restart hivewatch,"
            " unless its unit already adds the group",
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
