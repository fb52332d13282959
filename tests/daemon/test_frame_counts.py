"""What is counted of the frames."""

from __future__ import annotations

import pytest

from hivewatch.daemon.frame_counts import Tally


def test_frames_and_scores_are_counted_apart() -> None:
    tally = Tally(0.0)
    for score in (None, 0.0, 0.05, 0.95, 1.0, None):
        tally.count(score, 1.0)
    assert (tally.seen, tally.classified) == (6, 4)
    assert tally.scores(1.0) == (2, 0, 0, 0, 0, 0, 0, 0, 0, 2)
    assert tally.classified_share(1.0) == pytest.approx(4 / 6)


def test_the_rate_is_that_of_the_last_minutes() -> None:
    tally = Tally(0.0)
    for number in range(600):
        tally.count(None, number * 1.0)
    for number in range(600):
        tally.count(None, 600 + number * 0.2)
    assert tally.rate_hz(720.0) == pytest.approx(5.0, rel=0.05)


def test_without_frames_the_rate_falls_to_nothing() -> None:
    tally = Tally(0.0)
    for number in range(100):
        tally.count(0.5, number * 0.1)
    assert tally.rate_hz(200.0) == 0.0
    assert tally.last_at_s == pytest.approx(9.9)


def test_scores_are_forgotten_after_an_hour() -> None:
    tally = Tally(0.0)
    tally.count(0.5, 0.0)
    tally.count(0.9, 1800.0)
    assert sum(tally.scores(3500.0)) == 2
    assert sum(tally.scores(3700.0)) == 1
    assert sum(tally.scores(9e6)) == 0


def test_a_share_of_no_frames_is_none() -> None:
    assert Tally(0.0).classified_share(0.0) is None
