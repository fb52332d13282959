"""Faults of the broker and of the link to it: every event arrives, in order, and memory stays flat.

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

pytestmark = pytest.mark.slow

TRIALS: dict[str, Callable[[Path], Outcome]] = {
    "absent at first": partial(broker_trials.absent_at_first, visits=40),
    "killed before acknowledging": partial(broker_trials.killed_before_acknowledging, rounds=3),
    "restarting": partial(broker_trials.restarting, restarts=3, every_s=0.7),
    "refusing the password": partial(broker_trials.refusing, visits=3),
    "slow link": partial(broker_trials.slow, visits=8, bytes_per_s=100_000),
    "sending garbage": partial(broker_trials.sending_garbage, visits=20),
    "pictures too large, 3.1.1": partial(broker_trials.too_large, visits=6, version="3.1.1"),
    "pictures too large, 5": partial(broker_trials.too_large, visits=6, version=5),
    "two hives with one id": partial(broker_trials.one_client_id, visits=20),
    "never acknowledging": partial(broker_trials.never_acknowledging, visits=3),
}


@pytest.fixture(autouse=True)
def short_back_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reconnect quickly."""
    monkeypatch.setattr(publisher_module, "FIRST_RECONNECT_S", 0.02)


@pytest.mark.parametrize("trial", TRIALS.values(), ids=TRIALS.keys())
def test_no_event_is_lost_or_reordered(trial: Callable[[Path], Outcome], tmp_path: Path) -> None:
    """Each recorded event arrives at least once, and none before its predecessor."""
    outcome = trial(tmp_path / "trial")
    assert outcome.runs > 0
    assert outcome.survived, outcome


def test_no_event_is_lost_while_the_brokers_disk_is_full(tmp_path: Path) -> None:
    """The broker still forwards messages that it cannot save, and unacknowledged ones are sent again."""
    with full_disk(tmp_path / "disk", largest_mb=1) as full:
        outcome = broker_trials.full_disk_of_the_broker(tmp_path / "trial", 5, full)
    assert outcome.survived, outcome
