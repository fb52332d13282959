"""The memory that is returned to the system, as the kernel counts it."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import python_path
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


# Prints how many bytes more are in use after frames of 30 sizes, once 30 others have filled torch's caches.
GROWTH = """
import ctypes, sys
import numpy as np
from pathlib import Path
from hivewatch.system.memory import bound_caches
bound_caches()
from hivewatch.vision.classifier import load_classifier

class Use(ctypes.Structure):  # struct mallinfo2
    _fields_ = [(name, ctypes.c_size_t) for name in "abcdefghij"]

def in_use():
    call = ctypes.CDLL(None).mallinfo2
    call.restype = Use
    return call().h

classifier = load_classifier(Path(sys.argv[1]), threads=1)
def run(height):
    for width in range(32, 32 * 31, 32):
        classifier.forward(np.zeros((height, width, 3), np.uint8))
run(64)
before = in_use()
run(96)
print(in_use() - before)
"""


@pytest.mark.slow
def test_frames_of_many_sizes_leave_nothing_behind(tiny_model_path: Path) -> None:
    command = [sys.executable, "-c", GROWTH, str(tiny_model_path)]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": python_path()}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 4_000_000, "it would be 16 MB with torch's own bounds"


def test_caches_that_somebody_has_bounded_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
    monkeypatch.setenv(name, "7")
    memory.bound_caches()
    assert os.environ[name] == "7"
    monkeypatch.delenv(name)
    memory.bound_caches()
    assert os.environ[name] == "128"


def test_without_that_call_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: object())
    memory.give_back_memory()
