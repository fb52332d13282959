"""Numbers on the command line that count something."""

from __future__ import annotations

import argparse


def count(text: str) -> int:
    """Return a whole number from 1 on; raises argparse's error for anything else."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, not {text!r}")
    return number
