"""Counts of frames and scores, in total and over the last hour."""

from __future__ import annotations

import pytest
from support.fakes import make_frame, make_prediction

from hivewatch.daemon.frame_counts import FrameCounts
from hivewatch.daemon.loop import Step

FRAME = make_frame()


class Counted:
    """Frame counts on a clock that a test turns."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.counts = FrameCounts(lambda: self.now_s)

    def frame(self, score: float | None, at_s: float) -> None:
        self.now_s = at_s
        self.counts.on_frame(Step(FRAME, None if score is None else make_prediction(score)))


def test_frames_and_scores_are_counted_separately() -> None:
    counted = Counted()
    for score in (None, 0.0, 0.05, 0.95, 1.0, None):
        counted.frame(score, 1.0)
    counts = counted.counts
    assert (counts.seen, counts.classified) == (6, 4)
    assert counts.scores(1.0) == (2, 0, 0, 0, 0, 0, 0, 0, 0, 2)
    assert counts.classified_share(1.0) == pytest.approx(4 / 6)


def test_the_rate_is_that_of_the_last_minutes() -> None:
    counted = Counted()
    for number in range(600):
        counted.frame(None, number * 1.0)
    for number in range(600):
        counted.frame(None, 600 + number * 0.2)
    assert counted.counts.rate_hz(720.0) == pytest.approx(5.0, rel=0.05)


def test_without_frames_the_rate_falls_to_zero() -> None:
    counted = Counted()
    for number in range(100):
        counted.frame(0.5, number * 0.1)
    assert counted.counts.rate_hz(200.0) == 0.0
    assert counted.counts.last_at_s == pytest.approx(9.9)


def test_scores_are_forgotten_after_an_hour() -> None:
    counted = Counted()
    counted.frame(0.5, 0.0)
    counted.frame(0.9, 1800.0)
    assert sum(counted.counts.scores(3500.0)) == 2
    assert sum(counted.counts.scores(3700.0)) == 1
    assert sum(counted.counts.scores(9e6)) == 0


def test_the_share_of_no_frames_is_none() -> None:
    assert Counted().counts.classified_share(0.0) is None
