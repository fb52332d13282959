"""The command line: help, check, and errors told in a sentence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hivewatch import __version__
from hivewatch.cli.main import main

COMMANDS = ("run", "check", "doctor", "preview", "replay", "bench", "train", "evaluate", "export")


def test_help_names_every_command_and_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert all(f"\n    {command} " in text for command in COMMANDS)
    assert "exit codes:" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_its_options(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert "usage: hivewatch" in capsys.readouterr().out


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"hivewatch {__version__}\n"


def test_a_wrong_command_line_is_exit_code_2() -> None:
    with pytest.raises(SystemExit) as ended:
        main(["wacth"])
    assert ended.value.code == 2


def test_check_tells_that_a_file_is_in_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "hive.yaml"
    file.write_text("hive: {id: north}\n")
    assert main(["check", "--config", str(file)]) == 0
    assert "in order" in capsys.readouterr().out


def test_check_tells_every_fault_and_ends_with_code_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "hive.yaml"
    file.write_text("hive: {idd: north}\nmqtt: {port: 0}\n")
    assert main(["check", "--config", str(file)]) == 3
    told = capsys.readouterr().out
    assert f"{file}:1: hive.idd: unknown option; did you mean id?" in told
    assert f"{file}:2: mqtt.port" in told


def test_an_error_is_one_sentence_on_stderr_with_its_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "/nowhere"]) == 4
    caught = capsys.readouterr()
    assert caught.err.startswith("hivewatch: /nowhere does not exist")
    assert caught.out == ""


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    command = f"{sys.executable} -m hivewatch --help | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr == ""
