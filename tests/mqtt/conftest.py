"""What the tests of the connection share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hivewatch.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    with Store(tmp_path / "store") as store:
        yield store
