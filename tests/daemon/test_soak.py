"""Hours of watching, in seconds. ``scripts/faults`` takes a day."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.soak_trials import soak

pytestmark = pytest.mark.slow


def test_in_hours_of_watching_neither_memory_nor_files_nor_queues_grow(
    tmp_path: Path, tiny_model_path: Path
) -> None:
    outcome = soak(tmp_path, tiny_model_path, frames=4000, rate_hz=0.25)
    assert outcome.survived, outcome
