"""Files that survive a power cut, and conversion of disk and database errors to StoreErrors with a remedy."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hivewatch.errors import DiskFullError, StoreError

log = logging.getLogger(__name__)

MEGABYTE = 1_000_000
LOCK = "hivewatch.lock"

_FULL = "the disk is full: free some space, or choose another store.directory"
_READ_ONLY = (
    "the file system is read-only: mount it writable (a worn-out SD card turns read-only: replace it)"
)
_DENIED = (
    "permission denied: give the directory to the user that hivewatch runs as (chown), "
    "or choose another store.directory"
)
_UNSUITABLE = (
    "its file system cannot do what the store needs to survive a power cut and to keep a second process out "
    "(network shares, FUSE and some USB disks cannot): choose a store.directory on the machine's own disk, "
    "ext4 for example"
)
_CORRUPT = "hivewatch.db is damaged: the next start moves it aside and salvages what can be read"
# SQLite reports an I/O error if it cannot map a page on a full disk. With less than this free, it means that.
_NO_ROOM_BYTES = 1_000_000

_BY_ERRNO = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EROFS: _READ_ONLY,
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
    errno.ENOENT: "a file or directory has vanished: make sure that nothing else removes or unmounts it",
    errno.ENOTDIR: "part of the path is not a directory: correct store.directory",
    errno.EEXIST: "the path is a file: correct store.directory",
    errno.EIO: "the disk has failed: check its cable and health, or replace the SD card",
}
_BY_SQLITE_CODE = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_READONLY: "hivewatch.db cannot be written: check its permissions and the file system",
    sqlite3.SQLITE_CANTOPEN: "hivewatch.db cannot be opened: check permissions and free space",
    sqlite3.SQLITE_CORRUPT: _CORRUPT,
    sqlite3.SQLITE_NOTADB: _CORRUPT,
    sqlite3.SQLITE_IOERR: "the disk has failed: check free space, its cable and health",
    sqlite3.SQLITE_BUSY: "another program holds hivewatch.db: close it",
    sqlite3.SQLITE_PROTOCOL: _UNSUITABLE,
    sqlite3.SQLITE_NOLFS: _UNSUITABLE,
}
# What a file system answers that cannot lock a file or sync a folder.
_UNSUPPORTED = {errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTTY}
# SQLite reports these if it cannot lock the database or share memory with other connections.
_UNSUPPORTED_SQLITE_CODES = {
    *(sqlite3.SQLITE_IOERR_LOCK, sqlite3.SQLITE_IOERR_RDLOCK, sqlite3.SQLITE_IOERR_UNLOCK),
    *(sqlite3.SQLITE_IOERR_SHMLOCK, sqlite3.SQLITE_IOERR_SHMMAP, sqlite3.SQLITE_IOERR_SHMOPEN),
    *(sqlite3.SQLITE_IOERR_CHECKRESERVEDLOCK, sqlite3.SQLITE_IOERR_DIR_FSYNC),
}


@contextmanager
def disk_errors(doing: str, directory: Path) -> Iterator[None]:
    """Convert disk and database errors to StoreErrors that name the action, the directory and a remedy.

    A full disk becomes DiskFullError.
    """
    try:
        yield
    except OSError as error:
        remedy = _BY_ERRNO.get(error.errno or 0, "check the disk")
        kind = DiskFullError if remedy is _FULL else StoreError
        raise kind(f"cannot {doing} in {directory}: {remedy} ({error})") from error
    except sqlite3.Error as error:
        remedy = _remedy(error, directory)
        kind = DiskFullError if remedy is _FULL else StoreError
        raise kind(f"cannot {doing} in {directory}: {remedy} ({error})") from error
    except UnicodeDecodeError as error:  # from Python's sqlite3, if a message quotes damaged text
        raise StoreError(f"cannot {doing} in {directory}: {_CORRUPT} ({error})") from error


def _remedy(error: sqlite3.Error, directory: Path) -> str:
    code = primary_code(error)
    if code == sqlite3.SQLITE_IOERR and 0 <= free_bytes(directory) < _NO_ROOM_BYTES:
        return _FULL
    if getattr(error, "sqlite_errorcode", 0) in _UNSUPPORTED_SQLITE_CODES:
        return _UNSUITABLE
    if code == sqlite3.SQLITE_OK and isinstance(error, sqlite3.OperationalError):
        return _CORRUPT  # Python's own error: a text is not UTF-8
    return _BY_SQLITE_CODE.get(code, "check hivewatch.db")


@contextmanager
def tolerate_full_disk(consequence: str) -> Iterator[None]:
    """Log a DiskFullError as "``consequence``: error" and continue; other errors pass.

    A full disk is no reason to stop watching. Recording the next sighting shows whether anything can still be
    stored, and that error must not be tolerated.
    """
    try:
        yield
    except DiskFullError as error:
        log.error("%s: %s", consequence, error)  # noqa: TRY400  the traceback adds nothing


def primary_code(error: sqlite3.Error) -> int:
    """Return SQLite's primary result code for ``error``, without the extended part; 0 if it has none."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


def free_bytes(directory: Path) -> int:
    """Return how much this user may still write to the disk of ``directory``, -1 if that is unknown."""
    try:
        disk = os.statvfs(directory)
    except OSError:
        return -1
    return disk.f_bavail * disk.f_frsize


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file at ``path``; raises StoreError if another process holds it or it cannot be held."""
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreError(
                f"another hivewatch uses {path.parent}: stop it, or give this one its own store.directory"
            ) from error
        except OSError as error:
            raise _unsuitable(path.parent, error) from error
        yield


def is_locked(directory: Path) -> bool | None:
    """Return whether a process uses the store in ``directory``, None if this user may not read its lock."""
    try:
        with (directory / LOCK).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except PermissionError:
        return None
    except OSError:
        return False
    return False


def read_if_there(path: Path) -> bytes:
    """Return the content of a file, nothing if there is no such file; other errors pass."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def move_if_there(path: Path, target: Path) -> None:
    """Rename a file if there is one; other errors pass."""
    with suppress(FileNotFoundError):
        path.rename(target)


def make_folder(path: Path) -> None:
    """Make ``path`` and its parents if they are missing, and sync each so that it survives a power cut."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    sync_folder(path.parent)


def write_durably(path: Path, content: bytes) -> None:
    """Write a file atomically and sync it; its name is durable once the folder has been synced.

    After a power cut the file is there whole or not at all.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def sync_folder(path: Path) -> None:
    """Sync a folder, which makes the names of the files in it durable.

    Raises StoreError if the file system cannot do that.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        raise _unsuitable(path, error) from error
    finally:
        os.close(descriptor)


def _unsuitable(directory: Path, error: OSError) -> Exception:
    """Return the error to raise for ``error``: StoreError if the file system does not support the call."""
    if error.errno not in _UNSUPPORTED:
        return error
    return StoreError(f"cannot use {directory} as a store: {_UNSUITABLE} ({error})")
