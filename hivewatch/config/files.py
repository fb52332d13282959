"""Reads the small files that a person names: settings, passwords, certificates."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

LARGEST_BYTES = 50_000
"""No settings and no password are as large: the manual has a quarter of it."""

_KINDS = {
    stat.S_ISDIR: "it is a folder, not a file",
    stat.S_ISFIFO: "it is a pipe, not a file",
    stat.S_ISSOCK: "it is a socket, not a file",
}


def read_small(path: Path, largest_bytes: int = LARGEST_BYTES) -> bytes:
    """Return the content of a regular file of at most ``largest_bytes``.

    Raises OSError, whose ``strerror`` is a sentence also for what is no file or too large. Never waits, as
    reading a pipe would, and never reads without end, as from /dev/zero.
    """
    # First by name, because opening some devices has effects.
    _require_file(path.stat().st_mode)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        _require_file(os.fstat(descriptor).st_mode)
        content = file.read(largest_bytes + 1)
    if content is None:  # it would wait: a file of the kernel, such as /proc/kmsg
        raise OSError(errno.EINVAL, "it is a device, not a file")
    if len(content) > largest_bytes:
        raise OSError(errno.EFBIG, f"it has more than {largest_bytes} bytes, so it is another kind of file")
    return content


def _require_file(mode: int) -> None:
    if not stat.S_ISREG(mode):
        found = (words for is_kind, words in _KINDS.items() if is_kind(mode))
        raise OSError(errno.EINVAL, next(found, "it is a device, not a file"))
