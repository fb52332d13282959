"""Which disk errors are tolerated, and what the others advise."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from hivewatch.errors import DiskFullError, StoreError
from hivewatch.store import Store, disk
from hivewatch.store.disk import tolerate_full_disk


def test_a_tolerated_full_disk_is_logged_with_its_consequence(caplog: pytest.LogCaptureFixture) -> None:
    with tolerate_full_disk("the summary may be sent twice"):
        raise DiskFullError("cannot store the state: the disk is full")
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info is None
    assert record.getMessage() == "the summary may be sent twice: cannot store the state: the disk is full"


@pytest.mark.parametrize("error", [StoreError("the disk is read-only"), ValueError("no")])
def test_every_other_error_passes(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(type(error), match=str(error)), tolerate_full_disk("nothing"):
        raise error
    assert caplog.records == []


def test_nothing_is_logged_without_an_error(caplog: pytest.LogCaptureFixture) -> None:
    with tolerate_full_disk("nothing"):
        pass
    assert caplog.records == []


def without_folder_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse to sync folders, as FUSE and some network file systems do."""
    fsync = os.fsync

    def refusing(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        fsync(descriptor)

    monkeypatch.setattr(disk.os, "fsync", refusing)


def without_locks(code: int) -> Callable[[pytest.MonkeyPatch], None]:
    """Refuse to lock files, as some network file systems do."""

    def refusing(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    return lambda monkeypatch: monkeypatch.setattr(disk.fcntl, "flock", refusing)


@pytest.mark.parametrize(
    "restrict", [without_folder_sync, without_locks(errno.ENOLCK), without_locks(errno.EOPNOTSUPP)]
)
def test_a_file_system_that_cannot_hold_a_store_is_named_as_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, restrict: Callable[[pytest.MonkeyPatch], None]
) -> None:
    """There is nothing wrong with the disk."""
    restrict(monkeypatch)
    with pytest.raises(StoreError, match=r"its file system cannot .* choose a store\.directory") as caught:
        Store(tmp_path / "store")
    assert "check the disk" not in str(caught.value)


@pytest.mark.parametrize(
    "code", [sqlite3.SQLITE_IOERR_SHMMAP, sqlite3.SQLITE_IOERR_LOCK, sqlite3.SQLITE_PROTOCOL]
)
def test_a_file_system_on_which_sqlite_cannot_lock_is_named_too(tmp_path: Path, code: int) -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = code
    with pytest.raises(StoreError, match="its file system cannot"), disk.disk_errors("x", tmp_path):
        raise error


def test_text_that_is_not_utf_8_is_damage(tmp_path: Path) -> None:
    """Python's sqlite3 raises an error of its own for it."""
    with (
        contextlib.closing(sqlite3.connect(":memory:")) as database,
        pytest.raises(StoreError, match="is damaged: the next start"),
        disk.disk_errors("read", tmp_path),
    ):
        database.execute("SELECT CAST(x'ff' AS TEXT)").fetchone()
