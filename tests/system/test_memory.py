"""The memory that is returned to the system, as the kernel counts it."""

from __future__ import annotations

import ctypes

import pytest
from support.trials import rss_bytes

from hivewatch.system import memory


def test_what_is_free_between_blocks_in_use_is_returned() -> None:
    # In the main heap, since glibc maps larger blocks one by one.
    blocks = [bytearray(b"x" * 60_000) for _ in range(2000)]
    full = rss_bytes()
    last = blocks[::40]  # these keep the heap from shrinking at its end
    del blocks
    memory.give_back_memory()
    assert full - rss_bytes() > 80_000_000
    assert len(last) == 50


def test_without_that_call_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: object())
    memory.give_back_memory()
