"""Counts what became of the frames: in all, and minute by minute over the last hour."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

SCORE_BINS = 10
_MINUTES = 60


@dataclass(slots=True)
class _Minute:
    began_s: float
    frames: int = 0
    classified: int = 0
    scores: list[int] = field(default_factory=lambda: [0] * SCORE_BINS)


class Tally:
    """Counts finished frames. Times are those of one monotonic clock, seconds; memory holds 60 minutes."""

    def __init__(self, now_s: float) -> None:
        """Begin at nothing."""
        self.seen = 0
        self.classified = 0
        self.last_at_s: float | None = None
        self._minutes = deque([_Minute(now_s)], maxlen=_MINUTES)

    def count(self, score: float | None, now_s: float) -> None:
        """Count a frame and its score in 0..1; None where the gate held it back."""
        self._turn(now_s)
        minute = self._minutes[-1]
        self.seen += 1
        self.last_at_s = now_s
        minute.frames += 1
        if score is not None:
            self.classified += 1
            minute.classified += 1
            minute.scores[min(int(score * SCORE_BINS), SCORE_BINS - 1)] += 1

    def rate_hz(self, now_s: float) -> float:
        """Return the frames a second of the last one to two minutes."""
        self._turn(now_s)
        last = list(self._minutes)[-2:]
        return sum(minute.frames for minute in last) / max(now_s - last[0].began_s, 1.0)

    def classified_share(self, now_s: float) -> float | None:
        """Return which share of the last hour's frames the gate let through, None without any."""
        self._turn(now_s)
        frames = sum(minute.frames for minute in self._minutes)
        return sum(minute.classified for minute in self._minutes) / frames if frames else None

    def scores(self, now_s: float) -> tuple[int, ...]:
        """Return how many scores of the last hour fell into each tenth of 0..1."""
        self._turn(now_s)
        return tuple(map(sum, zip(*(minute.scores for minute in self._minutes), strict=True)))

    def _turn(self, now_s: float) -> None:
        """Begin a minute where it is time; minutes without a frame count as well."""
        began_s = self._minutes[-1].began_s
        passed = int((now_s - began_s) // 60)
        for number in range(max(1, passed - _MINUTES + 1), passed + 1):
            self._minutes.append(_Minute(began_s + 60 * number))
