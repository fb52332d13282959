"""How the daemon is asked to stop or reload, and how it stops in time whatever it is doing.

Python runs signal handlers in the main thread only, and that thread may be inside a forward pass or a read
that never returns. So a thread of its own waits for the signals.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from dataclasses import dataclass, field
from typing import NoReturn

log = logging.getLogger(__name__)

STOP_S = 4.5
"""The process exits this long after the first stop signal at the latest. Everything recorded is on disk, the
broker publishes "offline" (last will), and the next start ends a sighting that was open."""

_STOP = {signal.SIGTERM, signal.SIGINT}
_ALL = _STOP | {signal.SIGHUP}


@dataclass(frozen=True, slots=True)
class Signals:
    """What signals have asked for: ``stop`` is set by SIGTERM or SIGINT, ``reload`` by SIGHUP."""

    stop: threading.Event = field(default_factory=threading.Event)
    reload: threading.Event = field(default_factory=threading.Event)


def catch_signals() -> Signals:
    """Catch signals from now on. Call this before other threads start, since they inherit the signal mask."""
    signals = Signals()
    signal.pthread_sigmask(signal.SIG_BLOCK, _ALL)
    threading.Thread(target=_wait_for_signals, args=(signals,), name="signals", daemon=True).start()
    return signals


def exit_process() -> NoReturn:
    """End the process with exit code 0, at once: everything is closed, and torch takes seconds to unload."""
    logging.shutdown()
    os._exit(0)


def _wait_for_signals(signals: Signals) -> None:
    while True:
        number = signal.sigwait(_ALL)
        if number not in _STOP:
            signals.reload.set()
        elif not signals.stop.is_set():
            signals.stop.set()
            timer = threading.Timer(STOP_S, _force_exit)
            timer.daemon = True
            timer.start()


def _force_exit() -> NoReturn:
    log.warning("not stopped within %g s: exiting now; everything recorded is on disk", STOP_S)
    os._exit(0)
