"""The memory of this process."""

from __future__ import annotations

import ctypes


def give_back_memory() -> None:
    """Return the memory that is free between blocks in use to the system, if the C library can (glibc's can).

    The network takes and frees tens of megabytes for every frame. What glibc keeps of them grows for hours,
    since small blocks that last come to lie between them. This takes milliseconds.
    """
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):  # this C library has no such call
        return
