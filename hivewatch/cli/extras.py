"""What a command says if the extra that it needs is not installed."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import wraps
from importlib.util import find_spec

from hivewatch.errors import MissingExtraError

Command = Callable[[argparse.Namespace], int]


def needs_extra(extra: str, *packages: str) -> Callable[[Command], Command]:
    """Return a decorator for a command: a missing package ends it with an error that names ``extra``.

    ``packages`` are looked for before the command does anything, others when it imports them.
    """

    def decorate(command: Command) -> Command:
        @wraps(command)
        def checked(arguments: argparse.Namespace) -> int:
            for package in packages:
                if find_spec(package) is None:
                    raise _missing(package, extra)
            try:
                return command(arguments)
            except ModuleNotFoundError as error:
                package = (error.name or "").partition(".")[0]
                if package in {"", "hivewatch"}:
                    raise  # a mistake in hivewatch itself
                raise _missing(package, extra) from error

        return checked

    return decorate


def _missing(package: str, extra: str) -> MissingExtraError:
    return MissingExtraError(
        f"this needs the Python package {package}, which is not installed; run: pip install"
        f" 'hivewatch[{extra}]' (in a checkout: scripts/setup-training)"
    )
