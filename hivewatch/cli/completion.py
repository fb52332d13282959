"""The command completion: prints a script that completes commands, options and file names in a shell."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

from hivewatch.errors import HivewatchError

SHELLS = ("bash", "zsh")
INSTRUCTIONS = """\
for all users, as root (bash needs Debian's package bash-completion):
  hivewatch completion bash > /usr/share/bash-completion/completions/hivewatch
  hivewatch completion zsh > /usr/share/zsh/vendor-completions/_hivewatch
for this shell alone:
  eval "$(hivewatch completion bash)"
"""


def add_completion(
    completion: argparse.ArgumentParser, make_parser: Callable[[], argparse.ArgumentParser]
) -> None:
    """Add the argument of the command; ``make_parser`` returns the parser to complete."""
    completion.add_argument("shell", choices=SHELLS, help="the shell that reads the script")
    completion.set_defaults(command=print_completion, make_parser=make_parser)


def print_completion(arguments: argparse.Namespace) -> int:
    """Print the script for the shell."""
    try:
        import shtab
    except ImportError as error:
        raise HivewatchError(
            "the Python package shtab is not installed, which makes the script; run: pip install shtab"
        ) from error
    parser: argparse.ArgumentParser = arguments.make_parser()
    for action in _actions(parser):
        if action.type is Path:
            action.complete = shtab.FILE  # type: ignore[attr-defined]  # shtab reads this attribute
    print(shtab.complete(parser, arguments.shell))
    return 0


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the options and arguments of ``parser`` and its commands."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _actions(command)
