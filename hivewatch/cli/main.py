"""The entry point: runs a command, and turns errors into log lines and exit codes."""

from __future__ import annotations

import argparse
import io
import logging
import os
import select
import sys
from collections.abc import Sequence
from typing import TextIO

from hivewatch.cli.parser import make_parser
from hivewatch.errors import HivewatchError
from hivewatch.system.systemd import journal_handler

log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; errors go to the journal or to stderr."""
    _accept_any_name(sys.stdout)
    # Otherwise torch's threads busy-wait for each other, and slow down everything else on the machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        return _run(make_parser().parse_args(argv))
    finally:
        _flush_stdout()


def _run(arguments: argparse.Namespace) -> int:
    logs_to_journal = _set_up_log()
    try:
        code: int = arguments.command(arguments)
    except HivewatchError as error:
        if logs_to_journal:
            log.critical("%s", error, extra={"CODE": f"exit_{error.exit_code}"})
        else:
            print(f"hivewatch: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _stdout_is_closed():
            return 0  # the reader, such as `head`, needs no more
        if not logs_to_journal:
            raise
        log.critical("internal error", exc_info=True, extra={"CODE": "exit_1"})
        return 1
    return code


class _Formatter(logging.Formatter):
    """Escapes what cannot be encoded, such as a name that is not UTF-8: the line must not be lost."""

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).encode("utf-8", "backslashreplace").decode()


def _accept_any_name(stream: TextIO | None) -> None:
    """Print what cannot be encoded escaped, as stderr does, instead of ending with an error."""
    if isinstance(stream, io.TextIOWrapper):  # not None, and not replaced by something else
        stream.reconfigure(errors="backslashreplace")


def _set_up_log() -> bool:
    """Log to the journal if stderr is connected to it, else to stderr; return whether it is the journal."""
    journal = journal_handler()
    # The journal records time and level itself.
    form = "%(asctime)s %(levelname)s %(message)s" if journal is None else "%(message)s"
    handler = journal or logging.StreamHandler()
    handler.setFormatter(_Formatter(form))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("hivewatch").setLevel(logging.INFO)
    return journal is not None


def _stdout_is_closed() -> bool:
    """Return whether the reader of stdout has closed it; a broken pipe elsewhere is an error."""
    if sys.stdout is None:
        return False
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)  # POLLERR is always reported
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _flush_stdout() -> None:
    """Flush stdout; if its reader has closed it, discard the rest, or Python would complain at exit."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
