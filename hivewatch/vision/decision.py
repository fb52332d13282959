"""From predictions to sightings: thresholds, N of the last M votes, hysteresis, cool-down.

Nothing here reads a clock or a disk: time comes from the frames, so a replay decides as the daemon did. All
arithmetic uses monotonic times. The wall clock of a live source may be set during a visit, so each event
dates the whole visit by the wall clock of its newest frame.
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

# Wall and monotonic clock differ by this much only if the wall clock was set; slewing stays below it.
_CLOCK_WAS_SET = timedelta(seconds=2)


class _Vote(NamedTuple):
    frame: Frame
    prediction: Prediction


@dataclass(slots=True)
class _Visit:
    """The open sighting."""

    id: str
    now: Frame
    first: Frame
    last_seen: Frame
    last_score: float
    best: _Vote
    votes_for: int
    votes: int
    reported_score: float = 0.0
    reported_at_s: float = -math.inf


def _new_id() -> str:
    return uuid.uuid4().hex


class Decider:
    """Turn the predictions of one source, in order, into sighting events."""

    def __init__(
        self, config: DecisionConfig, new_id: Callable[[], str] = _new_id, *, live: bool = False
    ) -> None:
        """Start without votes. ``new_id`` returns an id for each sighting, by default a globally unique one.

        ``live``: the frames' times are read from this machine's clocks. In files, wall-clock and monotonic
        times need not agree.
        """
        self._config = config
        self._live = live
        self._new_id = new_id
        self._votes: deque[_Vote] = deque(maxlen=config.out_of)
        self._visit: _Visit | None = None
        self._cool_until_s = -math.inf

    def configure(self, config: DecisionConfig) -> None:
        """Apply new thresholds; keep the votes already cast and an open sighting."""
        self._config = config
        self._votes = deque(self._votes, maxlen=config.out_of)

    def vote(self, frame: Frame, prediction: Prediction) -> list[Sighting]:
        """Count the vote of a classified frame and return the events it causes."""
        vote = _Vote(frame, prediction)
        # Let time pass first: after a long gap, the hornet in this frame is a new visit.
        events = self.no_vote(frame)
        if self._visit is None:
            return events + self._open(vote)
        self._follow(self._visit, vote)
        return events + self._progress(self._visit)

    def no_vote(self, frame: Frame) -> list[Sighting]:
        """Let time pass until ``frame``, which was not classified: it is no vote for or against a hornet."""
        if self._visit is None:
            return []
        self._visit.now = frame
        return self._progress(self._visit)

    def finish(self) -> list[Sighting]:
        """End the open sighting, if any, because no more frames will come."""
        return [] if self._visit is None else self._end(self._visit)

    def _open(self, vote: _Vote) -> list[Sighting]:
        if vote.frame.monotonic_s < self._cool_until_s:
            return []
        hits = self._hits(vote, self._config.threshold)
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
        return [self._report(self._visit, Phase.START)]

    def _follow(self, visit: _Visit, vote: _Vote) -> None:
        visit.now = vote.frame
        visit.votes += 1
        visit.last_score = vote.prediction.score
        visit.votes_for += vote.prediction.score >= self._config.release
        # A single frame can be wrong: keeping a sighting open takes as many votes as opening it.
        hits = self._hits(vote, self._config.release)
        if hits:
            visit.last_seen = hits[-1].frame
        if vote.prediction.score > visit.best.prediction.score:
            visit.best = vote

    def _hits(self, vote: _Vote, threshold: float) -> list[_Vote]:
        """Add ``vote``; of the last M votes, return those from ``threshold`` on if they are N or more."""
        self._votes.append(vote)
        while vote.frame.monotonic_s - self._votes[0].frame.monotonic_s > self._config.window_s:
            self._votes.popleft()
        hits = [v for v in self._votes if v.prediction.score >= threshold]
        return hits if len(hits) >= self._config.votes else []

    def _progress(self, visit: _Visit) -> list[Sighting]:
        now_s = visit.now.monotonic_s
        if now_s - visit.last_seen.monotonic_s >= self._config.quiet_s:
            return self._end(visit)
        if self._is_better(visit) and now_s - visit.reported_at_s >= self._config.update_every_s:
            return [self._report(visit, Phase.UPDATE)]
        return []

    def _end(self, visit: _Visit) -> list[Sighting]:
        # A better picture that update_every_s has delayed must not be lost when the visit ends.
        events = [self._report(visit, Phase.UPDATE)] if self._is_better(visit) else []
        events.append(self._report(visit, Phase.END))
        self._visit = None
        self._votes.clear()
        self._cool_until_s = visit.now.monotonic_s + self._config.cool_down_s
        return events

    def _is_better(self, visit: _Visit) -> bool:
        gain = visit.best.prediction.score - visit.reported_score
        return gain > 0 and gain >= self._config.update_gain

    def _report(self, visit: _Visit, phase: Phase) -> Sighting:
        visit.reported_score = visit.best.prediction.score
        visit.reported_at_s = visit.now.monotonic_s
        # Files may be dated in any order, and a clock set back a little: no end is before its start.
        started_at = self._with_corrected_time(visit.first, visit.now).taken_at
        last_seen_at = max(started_at, self._with_corrected_time(visit.last_seen, visit.now).taken_at)
        return Sighting(
            id=visit.id,
            phase=phase,
            at=max(last_seen_at, visit.now.taken_at),
            started_at=started_at,
            last_seen_at=last_seen_at,
            duration_s=visit.last_seen.monotonic_s - visit.first.monotonic_s,
            score=visit.last_score,
            best=visit.best.prediction,
            best_frame=self._with_corrected_time(visit.best.frame, visit.now),
            votes_for=visit.votes_for,
            votes=visit.votes,
        )

    def _with_corrected_time(self, frame: Frame, now: Frame) -> Frame:
        """Return ``frame`` with its time corrected to the clock of ``now``, if that was set in between."""
        taken_at = now.taken_at - timedelta(seconds=now.monotonic_s - frame.monotonic_s)
        if not self._live or abs(taken_at - frame.taken_at) < _CLOCK_WAS_SET:
            return frame
        return replace(frame, taken_at=taken_at)
