"""Model files made to do harm. ``scripts/faults`` has more of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.trust_trials import hostile_models

pytestmark = pytest.mark.slow


def test_each_is_refused_in_a_sentence_and_does_no_harm(tmp_path: Path, tiny_model_path: Path) -> None:
    names = ("writes.pt", "memory.pt", "bomb-data.pt")
    outcome = hostile_models(tmp_path / "models", tiny_model_path, names)
    assert outcome.survived, outcome
    assert outcome.runs == len(names)
