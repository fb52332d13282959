"""What a person may write as a path, and where it starts."""

from __future__ import annotations

import os
import re
from pathlib import Path

# A path that begins like one may contain : and @, such as a clip that is named after its time.
_ADDRESS = re.compile(r"^[\w+.-]+://|^[A-Za-z]+:/|^(?!/[^/]|~|\.\.?/).*:[^/:@]*@", re.DOTALL)
_VARIABLE = re.compile(r"\$[A-Za-z_{(]")


def anchored(value: str, folder: Path) -> str:
    """Return a path in full: a relative one starts at ``folder``, ``~`` is the home of a user.

    Raises ValueError with a sentence for what would only by accident be a path; it repeats no part of it.
    """
    if not value.strip():
        raise ValueError("is empty: write a path, or leave the line out")
    if value != value.strip():
        raise ValueError("begins or ends with a blank: remove it")
    if _ADDRESS.search(value):
        raise ValueError(
            "is no path; an address goes into camera.video.source, and begins with rtsp:// or http://"
        )
    if _VARIABLE.search(value):
        raise ValueError("variables such as $HOME are not expanded: write the whole path, or ~ for your home")
    if not value.isprintable():
        raise ValueError("cannot be a path: it contains a character that cannot be printed")
    try:
        path = folder / Path(value).expanduser()
        os.stat(path)  # noqa: PTH116  pathlib hides a name that is too long
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it contains characters that no file name has"
        raise ValueError(f"cannot be a path: {reason}") from None
    except RuntimeError:
        raise ValueError("cannot be a path: there is no user of the name after ~") from None
    return str(path)
