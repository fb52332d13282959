"""Names of files in a form that can be printed, logged, and sent."""

from __future__ import annotations

import os
import unicodedata


def printable(name: str | os.PathLike[str]) -> str:
    r"""Return a name, or a text that contains one, with whatever cannot be printed escaped.

    A byte that is not UTF-8 becomes ``\xe4``, a control character ``\n`` or ``\x1b``. The result can be
    encoded as UTF-8; applied to a result, the function changes nothing.
    """
    return "".join(letter if _is_printable(letter) else _escaped(letter) for letter in os.fspath(name))


def _is_printable(letter: str) -> bool:
    return letter.isprintable() or unicodedata.category(letter) == "Zs"  # a space of any width


def _escaped(letter: str) -> str:
    # os.fsdecode turns each byte that is not UTF-8 into one of these surrogates.
    is_raw_byte = "\udc80" <= letter <= "\udcff"
    return f"\\x{ord(letter) - 0xDC00:02x}" if is_raw_byte else letter.encode("unicode_escape").decode()
