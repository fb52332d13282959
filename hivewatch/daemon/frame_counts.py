"""Counts processed frames: in total, and minute by minute over the last hour."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from hivewatch.daemon.loop import Step
from hivewatch.daemon.service import Service

SCORE_BINS = 10
_MINUTES = 60


@dataclass(slots=True)
class _Minute:
    started_s: float
    frames: int = 0
    classified: int = 0
    scores: list[int] = field(default_factory=lambda: [0] * SCORE_BINS)


class FrameCounts(Service):
    """Counts of the frames that have passed the loop. Times are monotonic seconds; memory is 60 minutes."""

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        """Start at zero."""
        self.seen = 0
        self.classified = 0
        self.last_at_s: float | None = None
        self._monotonic_s = monotonic_s
        self._minutes = deque([_Minute(monotonic_s())], maxlen=_MINUTES)

    def on_frame(self, step: Step) -> None:
        """Count a frame and, if it was classified, its score."""
        now_s = self._monotonic_s()
        self._advance(now_s)
        minute = self._minutes[-1]
        self.seen += 1
        self.last_at_s = now_s
        minute.frames += 1
        if step.prediction is not None:
            self.classified += 1
            minute.classified += 1
            minute.scores[min(int(step.prediction.score * SCORE_BINS), SCORE_BINS - 1)] += 1

    def rate_hz(self, now_s: float) -> float:
        """Return the frames per second over the last one to two minutes."""
        self._advance(now_s)
        last = list(self._minutes)[-2:]
        return sum(minute.frames for minute in last) / max(now_s - last[0].started_s, 1.0)

    def classified_share(self, now_s: float) -> float | None:
        """Return the share of the last hour's frames that were classified, None without any frame."""
        self._advance(now_s)
        frames = sum(minute.frames for minute in self._minutes)
        return sum(minute.classified for minute in self._minutes) / frames if frames else None

    def scores(self, now_s: float) -> tuple[int, ...]:
        """Return how many scores of the last hour fall into each tenth of 0..1."""
        self._advance(now_s)
        return tuple(map(sum, zip(*(minute.scores for minute in self._minutes), strict=True)))

    def _advance(self, now_s: float) -> None:
        """Start the minutes that have come since; minutes without a frame count as well."""
        started_s = self._minutes[-1].started_s
        passed = int((now_s - started_s) // 60)
        for number in range(max(1, passed - _MINUTES + 1), passed + 1):
            self._minutes.append(_Minute(started_s + 60 * number))
