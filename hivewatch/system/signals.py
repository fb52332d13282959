"""How the daemon is told to stop, and that it does so in time whatever it is doing.

Python runs signal handlers in the main thread only, and that one may be inside a forward pass or a read that
does not return. So a thread of its own waits for the signals.
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
"""After this long the process ends as it is. What was recorded is on disk, the broker itself says offline,
and the next start ends the sighting that was open."""

_STOP = {signal.SIGTERM, signal.SIGINT}
_ALL = _STOP | {signal.SIGHUP}


@dataclass(frozen=True, slots=True)
class Wishes:
    """What was asked for by signals: ``stop`` by SIGTERM or SIGINT, ``hang_up`` (a reload) by SIGHUP."""

    stop: threading.Event = field(default_factory=threading.Event)
    hang_up: threading.Event = field(default_factory=threading.Event)


def listen() -> Wishes:
    """Wait for signals from now on; call it before other threads are started, for they inherit the mask."""
    wishes = Wishes()
    signal.pthread_sigmask(signal.SIG_BLOCK, _ALL)
    threading.Thread(target=_listen, args=(wishes,), name="signals", daemon=True).start()
    return wishes


def leave() -> NoReturn:
    """End the process with exit code 0. All is closed, and torch takes seconds to be taken down."""
    logging.shutdown()
    os._exit(0)


def _listen(wishes: Wishes) -> None:
    while True:
        number = signal.sigwait(_ALL)
        if number not in _STOP:
            wishes.hang_up.set()
        elif not wishes.stop.is_set():
            wishes.stop.set()
            timer = threading.Timer(STOP_S, _end_as_it_is)
            timer.daemon = True
            timer.start()


def _end_as_it_is() -> NoReturn:
    log.warning("not stopped within %g s, ending as it is: what was recorded is on disk", STOP_S)
    os._exit(0)
