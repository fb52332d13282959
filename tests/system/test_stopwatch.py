"""The stopwatch keeps the last durations of each stage."""

from __future__ import annotations

import pytest

from hivewatch.system.stopwatch import Stopwatch


def test_each_stage_keeps_its_own_durations() -> None:
    stopwatch = Stopwatch()
    for _ in range(3):
        with stopwatch("gate"):
            pass
    with stopwatch("store"):
        pass
    assert {name: len(kept) for name, kept in stopwatch.durations_s.items()} == {"gate": 3, "store": 1}
    assert all(duration_s >= 0 for duration_s in stopwatch.durations_s["gate"])


def test_a_stage_that_raises_is_not_counted() -> None:
    stopwatch = Stopwatch()
    with pytest.raises(ZeroDivisionError), stopwatch("gate"):
        raise ZeroDivisionError
    assert not stopwatch.durations_s


def test_the_wait_for_each_item_is_counted_and_the_items_pass_unchanged() -> None:
    stopwatch = Stopwatch()
    assert list(stopwatch.iterate("capture", "bee")) == ["b", "e", "e"]
    assert len(stopwatch.durations_s["capture"]) == 3


def test_memory_stays_bounded_however_long_it_runs() -> None:
    stopwatch = Stopwatch()
    for _ in stopwatch.iterate("capture", range(20_000)):
        pass
    assert len(stopwatch.durations_s["capture"]) == 5000
