"""Whatever is wrong with the broker or the way to it: every event arrives, in order, and memory stays flat.

``scripts/faults`` runs the same trials for longer.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from support import broker_trials
from support.disks import full_disk
from support.trials import Outcome

from hivewatch.mqtt import publisher as publisher_module

TRIALS: dict[str, Callable[[Path], Outcome]] = {
    "absent at first": partial(broker_trials.absent_at_first, visits=40),
    "killed before acknowledging": partial(broker_trials.killed_before_acknowledging, rounds=3),
    "restarting": partial(broker_trials.restarting, restarts=3, every_s=0.7),
    "refusing the password": partial(broker_trials.refusing, visits=3),
    "slow link": partial(broker_trials.slow, visits=8, bytes_per_s=100_000),
    "never acknowledging": partial(broker_trials.never_acknowledging, visits=3),
}


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again soon."""
    monkeypatch.setattr(publisher_module, "FIRST_RECONNECT_S", 0.02)


@pytest.mark.parametrize("trial", TRIALS.values(), ids=TRIALS.keys())
def test_nothing_is_lost_and_the_order_is_kept(trial: Callable[[Path], Outcome], tmp_path: Path) -> None:
    """Each event that was recorded comes at least once, and none before its predecessor."""
    outcome = trial(tmp_path / "trial")
    assert outcome.runs > 0
    assert outcome.survived, outcome


def test_nothing_is_lost_when_the_disk_of_the_broker_is_full(tmp_path: Path) -> None:
    """What it cannot keep it still hands on, and what it does not acknowledge is sent again."""
    with full_disk(tmp_path / "disk", largest_mb=1) as full:
        outcome = broker_trials.full_disk_of_the_broker(tmp_path / "trial", 5, full)
    assert outcome.survived, outcome
