"""Python runs this first where its folder is in PYTHONPATH: the wall clock is off by the seconds in a file.

libfaketime does not do: it also stops Python's sleep, which waits on the monotonic clock.
"""

from __future__ import annotations

import datetime
import os
from pathlib import Path

_FILE = Path(os.environ["WRONG_CLOCK_OFF_BY_S"])


class _WrongDatetime(datetime.datetime):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> _WrongDatetime:
        wrong = super().now(tz) + datetime.timedelta(seconds=float(_FILE.read_text()))
        assert isinstance(wrong, _WrongDatetime)
        return wrong


datetime.datetime = _WrongDatetime  # type: ignore[misc]
