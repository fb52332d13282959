"""The entry point: runs a command, and turns errors into log lines and exit codes."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import TextIO, cast

from hivewatch.cli.output import CheckedOutput, OutputError, flush_errors, open_standard_streams, say
from hivewatch.cli.parser import make_parser
from hivewatch.domain.redaction import redact
from hivewatch.errors import HivewatchError
from hivewatch.system.logs import set_up_log
from hivewatch.system.memory import bound_caches
from hivewatch.system.systemd import journal_handler

log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; errors go to the journal or to stderr."""
    # Otherwise torch's threads busy-wait for each other, and slow down everything else on the machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    bound_caches()
    open_standard_streams()
    _accept_any_name(sys.stdout)
    output = CheckedOutput(sys.stdout)
    with redirect_stdout(cast(TextIO, output)):
        try:
            code = _run(argv, output)
        except SystemExit as end:
            # argparse has printed a help text, or what is wrong with the command line.
            raise SystemExit(_flush() or end.code) from None
        failed = _flush()
        flush_errors()
        return code or failed


def _run(argv: Sequence[str] | None, output: CheckedOutput) -> int:
    logs_to_journal = _set_up_log()
    try:
        arguments = make_parser().parse_args(argv)
        output.goes_on = getattr(arguments, "code_is_an_answer", False)
        code: int = arguments.command(arguments)
    except HivewatchError as error:
        if logs_to_journal:
            log.critical("%s", error, extra={"CODE": f"exit_{error.exit_code}"})
        else:
            say(f"hivewatch: {redact(str(error))}")
        return error.exit_code
    except OutputError as error:
        return _end_of_output(error)
    except KeyboardInterrupt:
        return 130
    except Exception:
        if not logs_to_journal:
            raise
        log.critical("internal error", exc_info=True, extra={"CODE": "exit_1"})
        return 1
    return code


def _flush() -> int:
    try:
        sys.stdout.flush()
    except OutputError as error:
        return _end_of_output(error)
    return 0


def _end_of_output(error: OutputError) -> int:
    """Return the exit code: a reader that needs no more, such as `head`, is no fault."""
    if error.reader_has_gone:
        return 0
    say(f"hivewatch: {error}; free some space, or write to another place")
    return 1


def _accept_any_name(stream: TextIO) -> None:
    """Print what cannot be encoded escaped, as stderr does, instead of ending with an error."""
    if isinstance(stream, io.TextIOWrapper):  # not replaced by something else
        stream.reconfigure(errors="backslashreplace")


def _set_up_log() -> bool:
    """Log to the journal if stderr is connected to it, else to stderr; return whether it is the journal."""
    journal = journal_handler()
    set_up_log(journal)
    return journal is not None
