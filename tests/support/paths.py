"""Paths of the checkout."""

from __future__ import annotations

import os
from pathlib import Path

PROJECT = Path(__file__).parents[2]
TESTS = PROJECT / "tests"
SUPPORT = TESTS / "support"


def python_path(*first: Path) -> str:
    """Return a PYTHONPATH from which another process imports ``support`` and this checkout's package."""
    paths = [*map(str, first), str(TESTS), str(PROJECT), os.environ.get("PYTHONPATH", "")]
    return os.pathsep.join(filter(None, paths))
