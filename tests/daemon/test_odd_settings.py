"""SIGHUP and start with settings that are no settings: refused with a sentence, and the watch goes on."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from support.brokers import wait_until
from support.daemons import Daemon

from hivewatch.cli.main import main

pytestmark = pytest.mark.slow

BOMB = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12))


def _text(text: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(text)


ODD: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "zeros": lambda path: path.symlink_to("/dev/zero"),
    "folder": lambda path: path.mkdir(),
    "missing": lambda _path: None,
    "loop": lambda path: path.symlink_to(path),
    "huge": _text("#" + "x" * 30_000_000),
    "utf-16": lambda path: path.write_bytes("camera: {kind: simulator}".encode("utf-16")),
    "timestamp": _text('camera: {kind: simulator}\nfoo: !!timestamp "x"'),
    "deep": _text("extra: " + "[" * 20_000),
    "deep maps": _text("\n".join(" " * n + "a:" for n in range(300))),
    "bomb": _text(f"a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n{BOMB}"),
    "no view": _text("camera: {kind: simulator}\ngate: {ignore: [[[0, 0], [1, 0], [1, 1], [0, 1]]]}"),
}


def replace(path: Path, make: Callable[[Path], object]) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    make(path)


def test_each_is_refused_at_a_reload_while_the_watch_goes_on(tmp_path: Path, tiny_model_path: Path) -> None:
    with Daemon(tmp_path, tiny_model_path) as daemon:
        daemon.wait_for_log("start, best score")
        good = daemon.config_path.read_text()
        for refused, (kind, make) in enumerate(ODD.items()):
            replace(daemon.config_path, make)
            daemon.signal(signal.SIGHUP)
            wait_until(lambda n=refused: daemon.log.count("not reloaded") > n, f"{kind} is refused")
            assert daemon.process.poll() is None
        assert "Traceback" not in daemon.log
        replace(daemon.config_path, _text(good))
        daemon.signal(signal.SIGHUP)
        daemon.wait_for_log("changed: nothing")
        assert daemon.stop() == 0


@pytest.mark.parametrize("kind", ODD)
def test_each_is_refused_at_the_start(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "hive.yaml"
    ODD[kind](path)
    assert main(["check", "--config", str(path)]) == 3
    assert str(path) in capsys.readouterr().out
