"""How long each stage takes: its last durations, bounded in number."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

# Enough for a stable 95th percentile; a few hundred kilobytes for all stages together.
_KEPT = 5000


class Stopwatch:
    """Measure named stages: ``with stopwatch("gate"): ...``."""

    def __init__(self) -> None:
        """Start with no durations."""
        self.durations_s: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_KEPT))

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Add the time spent in the block to ``stage``; a block that raises is not counted."""
        start_s = time.perf_counter()
        yield
        self.durations_s[stage].append(time.perf_counter() - start_s)

    def iterate(self, stage: str, items: Iterable[T]) -> Iterator[T]:
        """Pass ``items`` through and add the wait for each to ``stage``."""
        start_s = time.perf_counter()
        for item in items:
            self.durations_s[stage].append(time.perf_counter() - start_s)
            yield item
            start_s = time.perf_counter()
