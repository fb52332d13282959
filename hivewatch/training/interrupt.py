"""Ctrl-C during training: it may come at any moment, but never between two changes that belong together."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Delay a KeyboardInterrupt (SIGINT) that arrives inside the block to its end."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals only ever interrupt the main thread
        return
    arrived: list[int] = []
    usual = signal.signal(signal.SIGINT, lambda number, _frame: arrived.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
    if arrived:
        raise KeyboardInterrupt
