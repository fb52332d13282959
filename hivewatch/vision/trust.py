"""Which model files may run: TorchScript can read and write files, so each is trusted like a program."""

from __future__ import annotations

import hashlib
import os
import pwd
import shlex
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hivewatch.errors import ModelError

RELEASED_MODEL = Path(__file__).parent / "models" / "hivewatch-resnet18.pt"
HASHES = "SHA256SUMS"
"""The file beside the released models with a line for each, in the format of sha256sum."""

LARGEST_MB = 256
"""More than ten times the released model; a larger file is not read."""

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class ModelFile:
    """The content of a trusted model file, and its SHA-256 (hexadecimal): what was hashed is what runs."""

    path: Path
    content: bytes
    sha256: str


def released_model(precision: Literal["float", "int8"]) -> Path:
    """Return the path of the model file that ships with the package."""
    return RELEASED_MODEL if precision == "float" else RELEASED_MODEL.with_stem(f"{RELEASED_MODEL.stem}-int8")


def read_released_model(precision: Literal["float", "int8"]) -> ModelFile:
    """Return the model file that ships with the package; raises ModelError if it is not the released one."""
    path = released_model(precision)
    file = _read(path)
    if _released_hashes().get(path.name) != file.sha256:
        raise ModelError(
            f"{path}: this is not the released model, or {HASHES} beside it lacks it: its SHA-256 is"
            f" {file.sha256}; install hivewatch again, and name a model of your own in classifier.model"
        )
    return file


def read_model_file(path: Path, *, allow_writable: bool = False) -> ModelFile:
    """Read a model file, once.

    Raises ModelError if it cannot be read, or if others can change it and not ``allow_writable``: another
    user than this process's and root owns it, a folder or a link on the way to it, or may write there. A
    released model is known by its hash, so it may lie anywhere.
    """
    file = _read(path)
    if not allow_writable and file.sha256 not in _released_hashes().values():
        _check_writers(path)
    return file


def _read(path: Path) -> ModelFile:
    try:
        # A pipe without a writer would block the start for ever.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ModelError(f"{path}: not a model file, but a device or a pipe; name a file")
            if status.st_size > LARGEST_MB * 1_000_000:
                raise ModelError(f"{path}: a model file has at most {LARGEST_MB} MB; export the model again")
            content = file.read(status.st_size)
    except OSError as error:
        raise ModelError(
            f"cannot read the model file {path}: {error.strerror}; set classifier.model to another file,"
            " or leave it out for the released model"
        ) from error
    return ModelFile(path, content, hashlib.sha256(content).hexdigest())


def _released_hashes() -> dict[str, str]:
    """Return the SHA-256 of each released model by its name; empty if the file is missing."""
    try:
        lines = RELEASED_MODEL.with_name(HASHES).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def _check_writers(path: Path) -> None:
    try:
        steps = [(step, step.lstat()) for step in _way_to(path)]
    except OSError as error:
        raise ModelError(f"{path}: cannot tell who may change the file: {error}") from error
    refused = f"{path}: a model file is code, and others can change this one"
    allow = "or set classifier.allow_writable_model to run it all the same"
    for step, status in steps:
        if status.st_uid not in {0, os.geteuid()}:
            raise ModelError(
                f"{refused}: {step} belongs to {_name(status.st_uid)}; copy the file to a folder of root's,"
                f" such as /etc/hivewatch, with `sudo cp`, {allow}"
            )
    # All at once: where new files are writable for their group, so are the folders above.
    if writable := {step: status for step, status in steps if _is_writable(status.st_mode)}:
        mine = all(status.st_uid == os.geteuid() for status in writable.values())
        command = shlex.join([*([] if mine else ["sudo"]), "chmod", "go-w", *map(str, writable)])
        raise ModelError(
            f"{refused}: group or others may write to {', '.join(map(str, writable))}; run `{command}`,"
            f" {allow}"
        )


def _is_writable(mode: int) -> bool:
    """Return whether others than the owner can replace the file with this mode, or one in this folder."""
    # Others cannot replace a file in a folder with the sticky bit, such as /tmp. A link's mode means nothing.
    guarded = stat.S_ISLNK(mode) or (stat.S_ISDIR(mode) and mode & stat.S_ISVTX)
    return bool(mode & _OTHERS_WRITE and not guarded)


def _way_to(path: Path) -> Iterator[Path]:
    """Yield every folder and link that the kernel passes on the way to ``path``, and at last the file."""
    here, parts = Path("/"), list(path.absolute().parts[1:])
    yield here
    while parts:
        part = parts.pop(0)
        step = here.parent if part == ".." else here / part
        yield step
        if step.is_symlink():
            target = step.readlink()
            parts[:0] = [part for part in target.parts if part != "/"]
            here = Path("/") if target.is_absolute() else here
        else:
            here = step


def _name(uid: int) -> str:
    try:
        return f"user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"user {uid}"
