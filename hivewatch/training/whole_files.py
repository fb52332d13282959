"""Model files that are written whole or not at all, one or a pair."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from hivewatch.errors import ModelError
from hivewatch.store.disk import sync_folder
from hivewatch.training.interrupt import uninterrupted

PARTIAL, PREVIOUS = ".part", ".previous"
"""Endings of the names of a file that is being written, and of the one that it is about to replace."""


def check_targets(*paths: Path) -> None:
    """Raise ModelError unless each of ``paths`` can be a file: it is no folder, and its folder exists."""
    for path in paths:
        try:
            is_possible = path.parent.is_dir() and not path.is_dir()
        except OSError:  # a folder above it is not open to this user
            is_possible = False
        if not is_possible:
            raise ModelError(
                f"{path}: cannot export the model there; name a file in a folder that exists and is yours"
            )


@contextmanager
def whole_files(*paths: Path) -> Iterator[list[Path]]:
    """Yield a name beside each of ``paths`` to write to; at the end sync the files and rename them.

    If the block raises, a KeyboardInterrupt included, or one file cannot be synced or renamed, none is left
    behind, and what was at ``paths`` before is still there. Raises ModelError in place of an OSError.
    """
    check_targets(*paths)
    named = " and ".join(map(str, paths))
    partial = [path.with_name(path.name + PARTIAL) for path in paths]
    try:
        yield partial
        for file in partial:
            _sync(file)
        with uninterrupted():
            _replace_all(partial, paths)
    except OSError as error:
        raise ModelError(f"{named}: cannot export the model: {error.strerror or error}") from error
    finally:
        with uninterrupted():
            for file in partial:
                file.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _replace_all(partial: Sequence[Path], paths: Sequence[Path]) -> None:
    """Rename every file, or none: if one cannot be renamed, the others get their previous content back."""
    previous = {path: path.with_name(path.name + PREVIOUS) for path in paths if path.exists()}
    try:
        for path, copy in previous.items():
            shutil.copy2(path, copy)
        with ExitStack() as undo:
            for file, path in zip(partial, paths, strict=True):
                file.replace(path)
                undo.callback(previous[path].replace if path in previous else Path.unlink, path)
            sync_folder(paths[0].parent)
            undo.pop_all()
    finally:
        for copy in previous.values():
            copy.unlink(missing_ok=True)
