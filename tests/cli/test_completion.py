"""The completion scripts, in the real shells, typed in a terminal."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest
from support.debian_tree import cannot

from hivewatch.cli.main import main

PROMPT = "ready> "
# Each reads the script as installed: bash-completion sources it, compinit finds it in a folder of fpath.
START = {
    "bash": "PS1='ready''> '; source {script}",
    "zsh": "PS1='ready''> '; fpath=({script.parent} $fpath); autoload -U compinit; compinit -D -u",
}
OPTIONS = {"bash": ["--norc", "--noprofile", "-i"], "zsh": ["-f", "-i"]}

pytestmark = pytest.mark.slow


@pytest.fixture(params=START)
def shell(
    request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Iterator[pexpect.spawn]:
    """Yield an interactive shell with the script, in a folder that holds garden.yaml."""
    name = request.param
    if shutil.which(name) is None:
        cannot(f"missing on this machine: apt install {name}")
    assert main(["completion", name]) == 0
    script = tmp_path / "_hivewatch"
    script.write_text(capsys.readouterr().out)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "garden.yaml").touch()
    with pexpect.spawn(name, OPTIONS[name], cwd=folder, encoding="utf-8", timeout=20) as shell:
        shell.sendline(START[name].format(script=script))
        shell.expect_exact(PROMPT)
        yield shell


def test_tab_completes_a_command(shell: pexpect.spawn) -> None:
    shell.send("hivewatch eva\t")
    shell.expect_exact("evaluate")


def test_tab_completes_an_option_of_a_command(shell: pexpect.spawn) -> None:
    shell.send("hivewatch report --si\t")
    shell.expect_exact("--since")


def test_tab_completes_the_file_that_an_option_takes(shell: pexpect.spawn) -> None:
    shell.send("hivewatch check --config gar\t")
    shell.expect_exact("garden.yaml")


def test_tab_completes_the_values_of_an_argument(shell: pexpect.spawn) -> None:
    shell.send("hivewatch completion z\t")
    shell.expect_exact("completion zsh")
