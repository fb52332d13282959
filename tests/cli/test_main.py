"""The command line: help, check, error messages and exit codes."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from support.fakes import make_pixels

from hivewatch import __version__
from hivewatch.cli import commands
from hivewatch.cli.main import main

COMMANDS = ("init", "run", "check", "doctor", "preview", "replay", "bench", "watch", "report", "completion")
COMMANDS += ("train", "evaluate", "export")


def test_help_lists_every_command_and_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert all(re.search(rf"\n    {command}\s", text) for command in COMMANDS)
    assert "exit codes:" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_its_options(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert "usage: hivewatch" in capsys.readouterr().out


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"hivewatch {__version__}\n"


def test_completion_without_its_library_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "bash"]) == 1
    assert capsys.readouterr().err == (
        "hivewatch: the Python package shtab is not installed, which makes the script;"
        " run: pip install shtab\n"
    )


def test_a_usage_error_is_exit_code_2() -> None:
    with pytest.raises(SystemExit) as ended:
        main(["wacth"])
    assert ended.value.code == 2


def test_check_says_that_a_file_is_valid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "hive.yaml"
    file.write_text("hive: {id: north}\n")
    assert main(["check", "--config", str(file)]) == 0
    assert "valid" in capsys.readouterr().out


def test_check_lists_every_mistake_and_ends_with_code_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "hive.yaml"
    file.write_text("hive: {idd: north}\nmqtt: {port: 0}\n")
    assert main(["check", "--config", str(file)]) == 3
    output = capsys.readouterr().out
    assert f"{file}:1: hive.idd: unknown option; did you mean id?" in output
    assert f"{file}:2: mqtt.port" in output


def test_an_error_is_one_sentence_on_stderr_with_its_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "/nowhere"]) == 4
    caught = capsys.readouterr()
    assert caught.err.startswith("hivewatch: /nowhere does not exist")
    assert caught.out == ""


def run_in_pipe(arguments: str, reader: str, unbuffered: str = "") -> subprocess.CompletedProcess[str]:
    """Pipe hivewatch into ``reader``; return hivewatch's exit code and stderr, and the reader's output."""
    command = f"{sys.executable} -m hivewatch {arguments} | {reader}; exit ${{PIPESTATUS[0]}}"
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    return subprocess.run(
        ["bash", "-c", command], env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_help_into_a_closed_pipe_is_no_error(unbuffered: str) -> None:
    done = run_in_pipe("--help", "true", unbuffered)
    assert done.returncode == 0
    assert done.stderr == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "reader", "unbuffered"),
    [("--json", "head -n 1", ""), ("--json", "head -n 1", "1"), ("", "true", "")],
)
def test_output_into_a_pipe_that_closes_early_is_no_error(
    options: str, reader: str, unbuffered: str, tmp_path: Path, tiny_model_path: Path
) -> None:
    """Whether the pipe breaks in the middle of the output or when the buffer is flushed at the end."""
    for number in range(20):
        cv2.imwrite(str(tmp_path / f"{number}.png"), make_pixels(seed=number))
    config = tmp_path / "hive.yaml"
    config.write_text(f"classifier: {{model: {tiny_model_path}, threads: 1}}\nstore: {{directory: store}}\n")
    done = run_in_pipe(f"replay {options} --config {config} {tmp_path}", reader, unbuffered)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "BrokenPipeError" not in done.stderr
    assert len(done.stdout.splitlines()) == (1 if options else 0)


def test_a_pipe_that_breaks_elsewhere_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken_socket(_arguments: argparse.Namespace) -> int:
        raise BrokenPipeError

    monkeypatch.setattr(commands, "check", broken_socket)
    with pytest.raises(BrokenPipeError):
        main(["check"])
