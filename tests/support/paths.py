"""Where things are in the checkout."""

from __future__ import annotations

import os
from pathlib import Path

PROJECT = Path(__file__).parents[2]
TESTS = PROJECT / "tests"
SUPPORT = TESTS / "support"


def python_path(*first: Path) -> str:
    """Return a PYTHONPATH with which a program of its own imports ``support`` and this checkout."""
    paths = [*map(str, first), str(TESTS), str(PROJECT), os.environ.get("PYTHONPATH", "")]
    return os.pathsep.join(filter(None, paths))
