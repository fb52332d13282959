"""Settings that are no small text file are refused with a sentence, at once and without reading them."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from hivewatch.config.files import LARGEST_BYTES, read_small
from hivewatch.config.reader import load, parse
from hivewatch.config.sections import Config
from hivewatch.errors import ConfigError

GOOD = "camera: {kind: simulator}\n"


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as own:
        own.bind(str(path))


ODD_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "pipe": (os.mkfifo, "it is a pipe, not a file"),
    "zeros": (lambda path: path.symlink_to("/dev/zero"), "it is a device, not a file"),
    "folder": (lambda path: path.mkdir(), "it is a folder, not a file"),
    "socket": (make_socket, "it is a socket, not a file"),
    "loop": (lambda path: path.symlink_to(path), "cannot be read as text"),
    "dangling": (lambda path: path.symlink_to("/nowhere"), "no such file"),
    "huge": (lambda path: path.write_text("#" + "x" * 30_000_000 + "\n" + GOOD), "more than 50000 bytes"),
    "utf16": (lambda path: path.write_bytes(GOOD.encode("utf-16")), "save it as UTF-8"),
    "latin": (lambda path: path.write_bytes("hive: {name: Bäume}".encode("latin-1")), "save it as UTF-8"),
    "zero bytes": (lambda path: path.write_bytes(b"\0" * 1000), "control character"),
}


@pytest.mark.parametrize("kind", ODD_FILES)
def test_a_file_that_cannot_be_settings_is_refused(kind: str, tmp_path: Path) -> None:
    make, words = ODD_FILES[kind]
    path = tmp_path / "hive.yaml"
    make(path)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert words in str(caught.value)
    assert caught.value.problems[0].startswith(str(path))


def test_a_file_that_grows_while_it_is_read_stays_bounded(tmp_path: Path) -> None:
    """As those of /proc do, whose size is said to be 0."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * (LARGEST_BYTES + 1))
    with pytest.raises(OSError, match="more than"):
        read_small(path)
    path.write_bytes(b"x" * LARGEST_BYTES)
    assert len(read_small(path)) == LARGEST_BYTES
    assert read_small(Path("/proc/self/stat"))


_ALIASES = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12))
ODD_TEXTS = {
    "timestamp": 'foo: !!timestamp "x"',
    "timestamp of an option": 'hive: {name: !!timestamp "x"}',
    "binary": "hive: {name: !!binary aGl2ZQ==}",
    "set": "hive: !!set {id}",
    "omap": "hive: !!omap [id: x]",
    "octal int": 'mqtt: {port: !!int "010"}',
    "null": "hive: {name: !!null North}",
    "deep lists": "extra: " + "[" * 20_000 + "]" * 20_000,
    "deep enough for the parser of JSON": "extra: " + "[" * 250 + "]" * 250,
    "deep maps": "\n".join(" " * n + "a:" for n in range(300)),
    "aliases": f"a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n{_ALIASES}",
    "an alias in itself": "a: &a [*a]",
    "many names": "\n".join(f"camere{n}: 1" for n in range(4000)),
    "many faults": "\n".join(f"k{n}: @x\n  a: @b" for n in range(3000)),
    "faults in one section": "camera:\n" + "\n".join(f"  k{n}: @x" for n in range(4000)),
    "words": "\n".join(f"a{n}" for n in range(6000)) + "\n: :",
    "second colons": "a: b: c\n" * 6000,
    "unknown aliases": "\n".join(f"a{n}: *a{n}" for n in range(4000)),
    "line separators": "hive: {id: x}\u2028\x85 a\nb",
    "a line separator in a name": "hive: {name: 'a\u2028b'}",
    "half a character": 'hive: {name: "\\ud800"}',
    "half a character in a name": '"\\ud800": 1',
    "digits": f"decision: {{votes: {'9' * 5000}}}",
    "a number beyond all": "decision: {threshold: 1.0e+999}",
}


@pytest.mark.parametrize("kind", ODD_TEXTS)
def test_a_text_made_to_break_the_reader_is_refused_with_sentences(kind: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(ODD_TEXTS[kind], Config, name="hive.yaml")
    assert 1 <= len(caught.value.problems) <= 100
    assert all(problem.startswith("hive.yaml:") for problem in caught.value.problems)
    assert len(str(caught.value)) < 20_000


def test_a_file_that_would_have_to_be_waited_for_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As /proc/kmsg: it says that it is a file, and its reader waits for the next line of the kernel."""
    (tmp_path / "file").touch()
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    monkeypatch.setattr(os, "open", lambda *_arguments: reading)
    monkeypatch.setattr(os, "fstat", lambda _descriptor: (tmp_path / "file").stat())
    try:
        with pytest.raises(OSError, match="it is a device"):
            read_small(tmp_path / "file")
    finally:
        os.close(writing)
