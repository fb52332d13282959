"""Standard output: what happens if nobody reads it, or it cannot be written."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from typing import Any, TextIO


class OutputError(Exception):
    """Standard output cannot be written.

    It is no OSError, which a stage that calls back to a command would take for a fault of its own disk.
    """

    def __init__(self, reason: OSError) -> None:
        """``reason``: what the operating system said."""
        super().__init__(f"standard output cannot be written: {reason.strerror or reason}")
        self.reader_has_gone = reason.errno == errno.EPIPE


class CheckedOutput:
    """Standard output as commands see it: a failure to write is an OutputError."""

    def __init__(self, stream: TextIO) -> None:
        """Write to ``stream``. Set ``goes_on`` for a command whose exit code matters without any reader."""
        self._stream = stream
        self.goes_on = False

    def write(self, text: str) -> int:
        """Write ``text``."""
        try:
            return self._stream.write(text)
        except OSError as error:
            self._failed(error)
            return len(text)

    def flush(self) -> None:
        """Write what is buffered."""
        try:
            self._stream.flush()
        except OSError as error:
            self._failed(error)

    def _failed(self, error: OSError) -> None:
        _discard(self._stream)
        if not (self.goes_on and error.errno == errno.EPIPE):
            raise OutputError(error) from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def open_standard_streams() -> None:
    """Open /dev/null in place of standard streams that are closed.

    The next file that is opened would get the number of a closed one, and a library that prints would write
    into it: into the database of sightings, for example.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number: this one
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)


def say(text: str) -> None:
    """Print ``text`` to standard error; without it, the exit code must do."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def flush_errors() -> None:
    """Flush standard error; if that fails, Python would replace the exit code by 120."""
    try:
        sys.stderr.flush()
    except OSError:
        _discard(sys.stderr)


def _discard(stream: TextIO) -> None:
    """Send what is still buffered, and all that follows, to /dev/null; Python would complain at exit."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)
