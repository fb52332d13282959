"""No line, no traceback and no field of the log shows the secrets of an address."""

from __future__ import annotations

import io
import logging

from hivewatch.system.logs import Redacting

WORD = "GEHEIM123"
URL = f"rtsp://keeper:{WORD}@10.0.0.9/s"


class Kept(logging.StreamHandler[io.StringIO]):
    """Keeps the text and the last record, as the journal's handler would receive it."""

    def __init__(self) -> None:
        super().__init__(io.StringIO())
        self.addFilter(Redacting())
        self.record: logging.LogRecord | None = None

    def emit(self, record: logging.LogRecord) -> None:
        self.record = record
        super().emit(record)


def logged(message: str, *arguments: object, **more: object) -> tuple[str, logging.LogRecord]:
    own, kept = logging.Logger("own"), Kept()
    own.addHandler(kept)
    own.error(message, *arguments, **more)  # type: ignore[arg-type]
    assert kept.record is not None
    return kept.stream.getvalue(), kept.record


def test_the_arguments_of_a_line_are_redacted_in_it_and_kept_nowhere_else() -> None:
    text, record = logged("%s is %s", URL, "offline", extra={"CAMERA": URL, "CODE": "camera_offline"})
    assert text == "rtsp://10.0.0.9 is offline\n"
    assert (vars(record)["CAMERA"], vars(record)["CODE"]) == ("rtsp://10.0.0.9", "camera_offline")
    assert WORD not in repr(vars(record))


def test_a_traceback_and_its_causes_are_redacted() -> None:
    lost = RuntimeError(f"lost {URL}")
    lost.__cause__ = OSError(f"cannot open {URL}")
    text, record = logged("failed", exc_info=lost)
    assert "OSError: cannot open rtsp://10.0.0.9" in text
    assert "RuntimeError: lost rtsp://10.0.0.9" in text
    assert WORD not in text + repr(vars(record))
    assert record.exc_info is None
