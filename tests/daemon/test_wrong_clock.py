"""The daemon on a machine with a wrong clock that is set while it watches."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from support.brokers import wait_until
from support.clock_trials import YEAR_S, WrongClock, boot_in_1970, events, jump_during_a_sighting, watching

pytestmark = pytest.mark.slow


def test_sightings_of_1970_wait_for_the_clock_and_are_sent_with_the_right_time(
    tmp_path: Path, tiny_model_path: Path
) -> None:
    outcome = boot_in_1970(tmp_path, tiny_model_path, visits=2, wait_s=20)
    assert outcome.survived, outcome


def test_with_a_clock_that_stays_wrong_sightings_are_sent_marked(
    tmp_path: Path, tiny_model_path: Path
) -> None:
    clock = WrongClock(tmp_path, 600 - time.time())
    with watching(tmp_path, tiny_model_path, clock) as (subscriber, daemon):
        wait_until(lambda: bool(events(subscriber)), "an event arrives", 60)
        assert daemon.stop() == 0
    assert all(event["clock"]["monotonic_s"] > 0 for event in events(subscriber))
    assert "the clock shows 1970" in daemon.log


@pytest.mark.parametrize("jump_s", [YEAR_S, -7200.0])
def test_a_jump_during_a_sighting_breaks_neither_it_nor_the_stored_ones(
    tmp_path: Path, tiny_model_path: Path, jump_s: float
) -> None:
    outcome = jump_during_a_sighting(tmp_path, tiny_model_path, jump_s)
    assert outcome.survived, outcome
