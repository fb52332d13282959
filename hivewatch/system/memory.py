"""The memory of this process."""

from __future__ import annotations

import ctypes
import os
import platform

# The gate narrows views to many sizes. For each, torch's convolutions keep half a megabyte in two caches of
# 1024 entries: 50 MB in all. A size that is not kept costs no time that could be measured.
_CACHES = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "128"}
if platform.machine() != "aarch64":  # there, setting it turns this cache on
    _CACHES["LRU_CACHE_CAPACITY"] = "128"


def bound_caches() -> None:
    """Bound what torch keeps for sizes of frames that it has seen; it reads this from the environment only.

    Call this before torch runs for the first time. Variables that are already set stay in force.
    """
    for name, value in _CACHES.items():
        os.environ.setdefault(name, value)


def give_back_memory() -> None:
    """Return the memory that is free between blocks in use to the system, if the C library can (glibc's can).

    The network takes and frees tens of megabytes for every frame. What glibc keeps of them grows with every
    size of a frame, since small blocks that last come to lie between them. This takes milliseconds.
    """
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):  # this C library has no such call
        return
