"""Read the store of another process: without its lock, with no right but to read, and writing nothing.

A database in WAL mode consists of three files. While a process has it open, ``-shm`` exists, and SQLite can
read beside that process without changing ``-shm`` (``readonly_shm``). Otherwise SQLite would create the
missing files, so the database is read as ``immutable``, and again if a process has opened it meanwhile.
"""

from __future__ import annotations

import grp
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from os import R_OK, access
from pathlib import Path
from urllib.parse import quote

from hivewatch.errors import StoreError
from hivewatch.store.database import DATABASE, DATABASE_VERSION, iso
from hivewatch.store.disk import disk_errors
from hivewatch.store.records import StoredSighting, parse_time, select

_ATTEMPTS = 5
_BUSY_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class History:
    """The sightings that started in a period, oldest first, and what lies before it.

    ``earlier`` sightings started before the period, the latest of them at ``latest_earlier_at``.
    """

    sightings: list[StoredSighting]
    earlier: int
    latest_earlier_at: datetime | None


def read_history(directory: Path, since: datetime) -> History:
    """Return the sightings in the store ``directory`` that started at ``since`` or later.

    Raises StoreError if there is no store, this user may not read it, or it is damaged.
    """
    path = directory / DATABASE
    _require_readable(path)
    shared = path.with_name(f"{DATABASE}-shm")
    log = path.with_name(f"{DATABASE}-wal")
    with disk_errors("read the visits", directory):
        for _ in range(_ATTEMPTS):
            is_open = shared.exists()
            if not is_open and log.exists() and log.stat().st_size > 0:
                raise StoreError(
                    f"{path} was not closed, perhaps because of a power cut: start hivewatch once,"
                    " which recovers it, then try again"
                )
            try:
                history = _read(path, "readonly_shm=1" if is_open else "immutable=1", since)
            except sqlite3.Error:
                if shared.exists() == is_open:
                    raise
                continue  # a process has opened or closed the database meanwhile
            if is_open or not shared.exists():
                return history
    raise StoreError(f"{path} is opened and closed all the time: wait until hivewatch runs, then try again")


def _read(path: Path, access_mode: str, since: datetime) -> History:
    address = f"file:{quote(str(path))}?mode=ro&{access_mode}"
    with closing(sqlite3.connect(address, _BUSY_TIMEOUT_S, isolation_level=None, uri=True)) as records:
        (version,) = records.execute("PRAGMA user_version").fetchone()
        if version > DATABASE_VERSION:
            raise StoreError(f"{path} was made by a newer hivewatch (version {version}): upgrade this one")
        if version == 0:  # the daemon is about to create the tables
            return History([], 0, None)
        records.execute("BEGIN")  # one snapshot for both queries
        earlier, latest = records.execute(
            "SELECT count(*), max(started_at) FROM sightings WHERE started_at < ?", (iso(since),)
        ).fetchone()
        which = "WHERE started_at >= ? ORDER BY started_at, id"
        return History(select(records, path.parent, which, iso(since)), earlier, parse_time(latest))


def _require_readable(path: Path) -> None:
    """Raise StoreError if the database does not exist, or this user may not read it."""
    try:
        path.stat()
        is_readable = access(path, R_OK, effective_ids=True)
    except PermissionError:
        is_readable = False
    except (FileNotFoundError, NotADirectoryError) as error:
        raise StoreError(
            f"there is no store in {path.parent}: hivewatch has not run with this configuration yet,"
            " or store.directory names another folder"
        ) from error
    if not is_readable:
        raise StoreError(f"permission denied for {path}: use sudo{_group_advice(path.parent)}")


def _group_advice(directory: Path) -> str:
    """Return the advice to join the group that may read ``directory``, empty if none may."""
    with suppress(OSError, KeyError):
        status = directory.stat()
        if status.st_mode & 0o050 == 0o050 and status.st_gid != 0:
            name = grp.getgrgid(status.st_gid).gr_name
            return f", or join the group {name} (`sudo adduser $USER {name}`, then log in again)"
    return ""
