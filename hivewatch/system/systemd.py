"""What the daemon tells systemd (sd_notify(3)) and its journal; outside systemd neither is needed."""

from __future__ import annotations

import logging
import os
import sys
import time

from hivewatch.errors import HivewatchError


def ready(status: str) -> None:
    """Say that start-up or a reload is over, and in one line what the daemon is doing."""
    _notify(f"READY=1\nSTATUS={status}")


def alive(status: str) -> None:
    """Beat the watchdog. Call it after finished work only, never from a timer."""
    _notify(f"WATCHDOG=1\nSTATUS={status}")


def reloading() -> None:
    """Say that a reload has begun; ``ready`` ends it."""
    # Type=notify-reload (systemd 253 on) wants the time of it, earlier ones pass over what they do not know.
    _notify(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")


def stopping() -> None:
    """Say that the daemon is on its way out."""
    _notify("STOPPING=1")


def journal_handler() -> logging.Handler | None:
    """Return the handler that logs to the journal, fields and levels kept; None where stderr goes elsewhere.

    What a log call names in ``extra`` in capitals becomes a field: ``SIGHTING``, ``CAMERA``, ``CODE`` (what
    happened, in a word that stays the same when the sentence does not).
    """
    if not _stderr_is_the_journal():
        return None
    try:
        from systemd import journal
    except ImportError:
        return None  # the journal keeps stderr's lines as well, but without fields
    handler: logging.Handler = journal.JournalHandler(SYSLOG_IDENTIFIER="hivewatch")
    return handler


def _stderr_is_the_journal() -> bool:
    """Tell whether stderr leads to the journal: systemd.exec(5) says how, under $JOURNAL_STREAM."""
    try:
        file = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):  # closed, or none at all
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{file.st_dev}:{file.st_ino}"


def _notify(state: str) -> None:
    if "NOTIFY_SOCKET" not in os.environ:
        return
    try:
        from systemd import daemon
    except ImportError as error:
        # Without it systemd would wait for READY, then kill the daemon and give no reason.
        raise HivewatchError(
            "started by systemd, but the Python module systemd is missing: apt install python3-systemd"
            " (the virtual environment needs --system-site-packages)"
        ) from error
    daemon.notify(state)
