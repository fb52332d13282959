"""Notifications to systemd (sd_notify(3)) and logging to its journal; outside systemd neither is needed."""

from __future__ import annotations

import logging
import os
import sys
import time
from functools import cache

from hivewatch.errors import HivewatchError

log = logging.getLogger(__name__)


def ready(status: str) -> None:
    """Report that start-up or a reload has finished; ``status`` is one line on what the daemon is doing."""
    _notify(f"READY=1\nSTATUS={status}")


def feed_watchdog(status: str) -> None:
    """Reset the watchdog. Call this only after finished work, never from a timer."""
    _notify(f"WATCHDOG=1\nSTATUS={status}")


def reloading() -> None:
    """Report that a reload has started; ``ready`` ends it."""
    # Type=notify-reload (systemd 253 and later) needs the time; older versions ignore it.
    _notify(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")


def stopping() -> None:
    """Report that the daemon is shutting down."""
    _notify("STOPPING=1")


def journal_handler() -> logging.Handler | None:
    """Return a handler that logs to the journal with fields and levels; None if stderr is not the journal.

    Names in capitals in a log call's ``extra`` become fields: ``SIGHTING``, ``CAMERA``, and ``CODE``, a word
    for the event that stays the same when the sentence changes.
    """
    if not _stderr_is_the_journal():
        return None
    try:
        from systemd import journal
    except ImportError:
        return None  # the journal captures stderr as well, but without fields
    handler: logging.Handler = journal.JournalHandler(SYSLOG_IDENTIFIER="hivewatch")
    return handler


def _stderr_is_the_journal() -> bool:
    """Return whether stderr is connected to the journal (systemd.exec(5), $JOURNAL_STREAM)."""
    try:
        file = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):  # closed or absent
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{file.st_dev}:{file.st_ino}"


def _notify(state: str) -> None:
    address = os.environ.get("NOTIFY_SOCKET")
    if address is None:
        return
    if not address:
        _warn("", "it is empty")
        return
    try:
        from systemd import daemon
    except ImportError as error:
        # Without this error systemd would wait for READY, then kill the daemon without a reason.
        raise HivewatchError(
            "started by systemd, but the Python module systemd is missing: apt install python3-systemd"
            " (the virtual environment needs --system-site-packages)"
        ) from error
    try:
        daemon.notify(state)
    except OSError as error:
        _warn(address, str(error))


@cache
def _warn(address: str, reason: str) -> None:
    """Warn once for each reason. Watching goes on; systemd itself ends a service that it does not hear."""
    log.warning(
        "systemd cannot be notified at $NOTIFY_SOCKET=%s: %s; if hivewatch was not started by systemd, unset"
        " that variable",
        *(address, reason),
    )
