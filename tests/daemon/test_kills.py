"""Nothing that was committed is lost, at whatever instant the process dies.

``scripts/faults`` does the same 200 times.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from support.kill_trials import kill_replays

pytestmark = pytest.mark.slow


def test_kill_at_any_instant_of_a_replay_loses_nothing_committed(
    tmp_path: Path, tiny_model_path: Path
) -> None:
    """Each event printed is in the store and reaches a subscriber; no half file, no damaged database."""
    outcome = kill_replays(tmp_path / "kills", tiny_model_path, runs=15)
    assert outcome.survived, outcome
