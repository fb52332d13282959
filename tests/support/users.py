"""Other users of the machine."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534


def make_closed_folder(path: Path) -> Path:
    """Make a folder that only its owner may open, on a way that is open to everybody; return it."""
    path.mkdir()
    with without_rights(path):
        pass  # opens the way
    path.chmod(0o700)
    return path


@contextmanager
def without_rights(folder: Path) -> Iterator[None]:
    """Give up the rights of root within the context; another user has none to give up.

    The way to ``folder``, a test's own, is opened first: pytest closes its folders to other users.
    """
    if os.geteuid() != 0:
        yield
        return
    for parent in folder.parents:
        if Path(tempfile.gettempdir()) in parent.parents:
            parent.chmod(0o755)
    groups, group = os.getgroups(), os.getegid()
    os.setgroups([])
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)
