"""The command line: help, check, error messages and exit codes."""

from __future__ import annotations

import argparse
import io
import logging
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import PROJECT

from hivewatch import __version__
from hivewatch.cli import commands
from hivewatch.cli.main import main
from hivewatch.config import location

COMMANDS = (
    *("init", "run", "check", "doctor", "preview", "replay", "bench", "watch", "report"),
    *("completion", "help"),
)
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


def test_names_that_are_not_utf_8_are_printed_and_logged_escaped(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A line must be neither lost nor the end of the program."""
    name = os.fsdecode(b"h\xe4.jpg")
    printed = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", printed)

    def command(_: object) -> int:
        print(name)
        logging.getLogger("hivewatch").warning("%s is odd", name)
        return 0

    monkeypatch.setattr(commands, "check", command)
    monkeypatch.setattr(logging.root, "handlers", [])
    assert main(["check"]) == 0
    printed.seek(0)
    assert printed.read() == "h\\udce4.jpg\n"
    assert "h\\udce4.jpg is odd" in capfd.readouterr().err


def test_completion_without_its_library_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "bash"]) == 1
    assert capsys.readouterr().err == (
        "hivewatch: the Python package shtab is not installed, which makes the script;"
        " run: pip install shtab\n"
    )


@pytest.mark.parametrize("number", ["0", "-1", "many", "1.5", "9" * 5000])
def test_a_count_that_counts_nothing_is_a_usage_error(
    number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["bench", f"--frames={number}"])
    assert ended.value.code == 2
    assert f"--frames: expected a whole number from 1 on, not '{number}'" in capsys.readouterr().err


@pytest.mark.parametrize("number", ["0", "-1", "65536"])
def test_a_port_that_does_not_exist_is_refused(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", "localhost", f"--port={number}"]) == 3
    assert "--port: must be at " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--base-topic", "a//b"], "--base-topic: is a topic: no + and no #"),
        (["--port", "70000"], "--port: must be at most 65535, not 70000"),
        (["--password-file", "word"], "--password-file needs --username beside it"),
        (["--ca-file", "ca.pem"], "--ca-file needs --tls"),
    ],
)
def test_watch_says_in_words_which_of_its_options_is_wrong(
    options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["watch", "localhost", *options]) == 3
    assert words in capsys.readouterr().err


def test_a_usage_error_is_exit_code_2() -> None:
    with pytest.raises(SystemExit) as ended:
        main(["wacth"])
    assert ended.value.code == 2


def test_check_says_that_a_file_is_valid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "hive.yaml"
    file.write_text("hive: {id: north}\ncamera: {kind: video}\n")
    assert main(["check", "--config", str(file)]) == 0
    assert "valid" in capsys.readouterr().out


@pytest.mark.parametrize(("allowed", "code"), [("false", 5), ("true", 0)])
def test_check_refuses_a_model_that_others_can_change_unless_that_is_allowed(
    allowed: str, code: int, tmp_path: Path, tiny_model_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model.pt"
    shutil.copy(tiny_model_path, model)
    model.chmod(0o666)
    file = tmp_path / "hive.yaml"
    file.write_text(
        f"camera: {{kind: video}}\nclassifier: {{model: {model}, allow_writable_model: {allowed}}}\n"
    )
    assert main(["check", "--config", str(file)]) == code
    assert ("a model file is code" in capsys.readouterr().err) == (code != 0)


def test_check_lists_every_mistake_and_ends_with_code_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "hive.yaml"
    file.write_text("hive: {idd: north}\nmqtt: {port: 0}\n")
    assert main(["check", "--config", str(file)]) == 3
    output = capsys.readouterr().out
    assert f"{file}:1: hive.idd: unknown option; did you mean id?" in output
    assert f"{file}:2: mqtt.port" in output


@pytest.mark.slow
@pytest.mark.parametrize("command", ["run", "check", "doctor", "preview"])
@pytest.mark.parametrize(
    ("text", "words"),
    [("hive: {id: north}", "no camera is named"), ("camera: {kind: usb}", "should be video, picamera2")],
)
def test_a_command_finds_the_file_in_the_current_folder_and_refuses_its_camera(
    command: str, text: str, words: str, tmp_path: Path
) -> None:
    (tmp_path / "hivewatch.yaml").write_text(f"{text}\n")
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    done = subprocess.run(
        [sys.executable, "-m", "hivewatch", command],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"hivewatch.yaml:1: camera.kind: {words}" in done.stdout + done.stderr
    assert done.returncode == 3 or (command == "doctor" and done.returncode > 100)


def test_a_command_without_any_file_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(location, "INSTALLED", tmp_path / "nowhere.yaml")
    assert main(["check"]) == 3
    assert "there is neither ./hivewatch.yaml nor" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("topic", "words"),
    [
        ("camera.kind", "Source of the frames: simulator, picamera2, video or folder."),
        ("threshold", "decision.threshold"),
        ("mqtt.tls", "mqtt.tls.alpn"),
        ("manual", "This file is the manual."),
        ("check", "usage: hivewatch check"),
    ],
)
def test_help_explains_an_option_a_section_or_a_command(
    topic: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["help", topic]) == 0
    assert words in capsys.readouterr().out


def test_help_alone_is_that_of_hivewatch(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help"]) == 0
    assert "exit codes:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("topic", "words"),
    [("camera.kin", "did you mean camera.kind"), ("zzzz", "`hivewatch help manual` prints every option")],
)
def test_help_on_an_unknown_option_names_close_ones(
    topic: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["help", topic]) == 2
    assert f"{topic} is neither a command nor an option; {words}" in capsys.readouterr().err


def test_an_error_is_one_sentence_on_stderr_with_its_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "/nowhere"]) == 4
    caught = capsys.readouterr()
    assert caught.err.startswith("hivewatch: /nowhere does not exist")
    assert caught.out == ""


def test_a_pipe_that_breaks_elsewhere_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken_socket(_arguments: argparse.Namespace) -> int:
        raise BrokenPipeError

    monkeypatch.setattr(commands, "check", broken_socket)
    with pytest.raises(BrokenPipeError):
        main(["check"])
