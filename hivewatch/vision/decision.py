"""From predictions to sightings: thresholds, N of the last M, hysteresis, cool-down.

Nothing here looks at a clock or a disk: time is that of the frames, so a replay decides as the daemon did.
All arithmetic is on their monotonic times. The wall clock of a live source may be set during a visit: each
event dates the whole visit by the clock as it stands then.
"""

from __future__ import annotations

import math
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import NamedTuple

from hivewatch.config.sections import DecisionConfig
from hivewatch.domain.frames import Frame, Prediction
from hivewatch.domain.sightings import Phase, Sighting

# Wall and monotonic clock disagree this much only when one was set; a clock that is slewed stays below it.
_CLOCK_WAS_SET = timedelta(seconds=2)


class _Vote(NamedTuple):
    frame: Frame
    prediction: Prediction


@dataclass(slots=True)
class _Visit:
    """The sighting that is open."""

    id: str
    now: Frame
    first: Frame
    last_seen: Frame
    last_score: float
    best: _Vote
    votes_for: int
    votes: int
    told_score: float = 0.0
    told_at_s: float = -math.inf


def _new_id() -> str:
    return uuid.uuid4().hex


class Decider:
    """Turn the predictions of one source, in their order, into the events of its sightings."""

    def __init__(
        self, config: DecisionConfig, new_id: Callable[[], str] = _new_id, *, live: bool = False
    ) -> None:
        """``new_id`` names sightings; the default gives ids that are unique anywhere.

        ``live``: the frames' times are those of the machine's clocks. Those of files need not agree.
        """
        self._config = config
        self._live = live
        self._new_id = new_id
        self._votes: deque[_Vote] = deque(maxlen=config.out_of)
        self._visit: _Visit | None = None
        self._cool_until_s = -math.inf

    def configure(self, config: DecisionConfig) -> None:
        """Take over new thresholds; votes cast and an open sighting stay."""
        self._config = config
        self._votes = deque(self._votes, maxlen=config.out_of)

    def vote(self, frame: Frame, prediction: Prediction) -> list[Sighting]:
        """Count the vote of a classified frame and return what it brings about."""
        vote = _Vote(frame, prediction)
        # First what the time alone brings about: after a long gap the hornet seen now is another visit.
        events = self.no_vote(frame)
        if self._visit is None:
            return events + self._gather(vote)
        self._follow(self._visit, vote)
        return events + self._progress(self._visit)

    def no_vote(self, frame: Frame) -> list[Sighting]:
        """Let time pass to ``frame``, which was not classified: it says nothing for or against a hornet."""
        if self._visit is None:
            return []
        self._visit.now = frame
        return self._progress(self._visit)

    def finish(self) -> list[Sighting]:
        """End the open sighting, if any, since no more frames will come."""
        return [] if self._visit is None else self._end(self._visit)

    def _gather(self, vote: _Vote) -> list[Sighting]:
        if vote.frame.monotonic_s < self._cool_until_s:
            return []
        hits = self._agreement(vote, self._config.threshold)
        if not hits:
            return []
        best = max(hits, key=lambda v: v.prediction.score)
        self._visit = _Visit(
            id=self._new_id(),
            now=vote.frame,
            first=hits[0].frame,
            last_seen=hits[-1].frame,
            last_score=vote.prediction.score,
            best=best,
            votes_for=len(hits),
            votes=len(self._votes),
        )
        return [self._tell(self._visit, Phase.START)]

    def _follow(self, visit: _Visit, vote: _Vote) -> None:
        visit.now = vote.frame
        visit.votes += 1
        visit.last_score = vote.prediction.score
        visit.votes_for += vote.prediction.score >= self._config.release
        # One frame alone can be wrong: it takes as many to keep a sighting open as to open it.
        hits = self._agreement(vote, self._config.release)
        if hits:
            visit.last_seen = hits[-1].frame
        if vote.prediction.score > visit.best.prediction.score:
            visit.best = vote

    def _agreement(self, vote: _Vote, threshold: float) -> list[_Vote]:
        """Add ``vote``; return those of the last M from ``threshold`` on if they are N or more, else none."""
        self._votes.append(vote)
        while vote.frame.monotonic_s - self._votes[0].frame.monotonic_s > self._config.window_s:
            self._votes.popleft()
        hits = [v for v in self._votes if v.prediction.score >= threshold]
        return hits if len(hits) >= self._config.votes else []

    def _progress(self, visit: _Visit) -> list[Sighting]:
        now_s = visit.now.monotonic_s
        if now_s - visit.last_seen.monotonic_s >= self._config.quiet_s:
            return self._end(visit)
        if self._is_better(visit) and now_s - visit.told_at_s >= self._config.update_every_s:
            return [self._tell(visit, Phase.UPDATE)]
        return []

    def _end(self, visit: _Visit) -> list[Sighting]:
        # A better picture that update_every_s still held back must not be lost with the visit.
        events = [self._tell(visit, Phase.UPDATE)] if self._is_better(visit) else []
        events.append(self._tell(visit, Phase.END))
        self._visit = None
        self._votes.clear()
        self._cool_until_s = visit.now.monotonic_s + self._config.cool_down_s
        return events

    def _is_better(self, visit: _Visit) -> bool:
        gain = visit.best.prediction.score - visit.told_score
        return gain > 0 and gain >= self._config.update_gain

    def _tell(self, visit: _Visit, phase: Phase) -> Sighting:
        visit.told_score = visit.best.prediction.score
        visit.told_at_s = visit.now.monotonic_s
        return Sighting(
            id=visit.id,
            phase=phase,
            at=visit.now.taken_at,
            started_at=self._dated(visit.first, visit.now).taken_at,
            last_seen_at=self._dated(visit.last_seen, visit.now).taken_at,
            duration_s=visit.last_seen.monotonic_s - visit.first.monotonic_s,
            score=visit.last_score,
            best=visit.best.prediction,
            best_frame=self._dated(visit.best.frame, visit.now),
            votes_for=visit.votes_for,
            votes=visit.votes,
        )

    def _dated(self, frame: Frame, now: Frame) -> Frame:
        """Return ``frame`` with the time that the clock of ``now`` gives it, if it was set in between."""
        taken_at = now.taken_at - timedelta(seconds=now.monotonic_s - frame.monotonic_s)
        if not self._live or abs(taken_at - frame.taken_at) < _CLOCK_WAS_SET:
            return frame
        return replace(frame, taken_at=taken_at)
