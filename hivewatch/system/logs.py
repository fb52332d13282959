"""The log: no line and no traceback shows more of an address than ``public_name`` does."""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from types import TracebackType

from hivewatch.domain.redaction import redact

log = logging.getLogger(__name__)

_FORMATTER = logging.Formatter()


class Redacting(logging.Filter):
    """Redacts each record that passes: its words, its traceback, and the fields of the journal."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return True; the record holds finished, redacted texts afterwards."""
        record.msg, record.args = redact(record.getMessage()), None
        if record.exc_info:
            # The journal would store the errors themselves as a field of their own.
            record.exc_text, record.exc_info = redact(_FORMATTER.formatException(record.exc_info)), None
        for name, value in vars(record).items():
            if name.isupper() and isinstance(value, str):
                setattr(record, name, redact(value))
        return True


class _Escaping(logging.Formatter):
    """Escapes what cannot be encoded, such as a name that is not UTF-8: the line must not be lost."""

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).encode("utf-8", "backslashreplace").decode()


def set_up_log(journal: logging.Handler | None) -> None:
    """Log warnings to ``journal`` or stderr, and tracebacks of all threads redacted to the same place."""
    handler = journal or logging.StreamHandler()
    # The journal records time and level itself.
    words = "%(message)s" if journal else "%(asctime)s %(levelname)s %(message)s"
    handler.setFormatter(_Escaping(words))
    handler.addFilter(Redacting())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("hivewatch").setLevel(logging.INFO)
    sys.excepthook = _print
    threading.excepthook = _log_crash


def _print(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if sys.stderr is not None:
        sys.stderr.write(redact("".join(traceback.format_exception(kind, error, trace))))


def _log_crash(crash: threading.ExceptHookArgs) -> None:
    if crash.exc_value is not None:
        error = (crash.exc_type, crash.exc_value, crash.exc_traceback)
        name = crash.thread.name if crash.thread else "unknown"
        log.error("the thread %s crashed", name, exc_info=error)
