"""Standard output that nobody reads, that is full, or that is closed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from support.fakes import make_pixels
from support.paths import python_path
from support.visits import record_visits

from hivewatch.store import Store

FULL = "hivewatch: standard output cannot be written: No space left on device; free some space"
EXAMPLES = {
    "help": "--help",
    "version": "--version",
    "manual": "help manual",
    "completion": "completion bash",
    "valid": "check --config valid.yaml",
    "invalid": "check --config invalid.yaml",
    "report": "report --config valid.yaml",
    "csv": "report --config valid.yaml --csv",
    "replay": "replay --config valid.yaml --out out pictures",
    "json": "replay --config valid.yaml --out out --json pictures",
    "init": "init new.yaml --yes --camera simulator --broker none --name Hive",
}
SLOW = {"replay", "json"}
GONE = {"gone": "report --config gone.yaml"}
CODES = {"invalid": 3}
"""The exit code where it is not 0."""


def examples() -> list[object]:
    return [pytest.param(name, marks=pytest.mark.slow if name in SLOW else (), id=name) for name in EXAMPLES]


@pytest.fixture
def folder(tmp_path: Path, tiny_model_path: Path) -> Path:
    """Return a folder with configurations, and pictures that all show a hornet, as the model says."""
    (tmp_path / "pictures").mkdir()
    for number in range(20):
        cv2.imwrite(str(tmp_path / "pictures" / f"{number}.png"), make_pixels(seed=number))
    (tmp_path / "valid.yaml").write_text(
        "camera: {kind: simulator}\nstore: {directory: store}\nmqtt: {enabled: false}\n"
        f"classifier: {{model: {tiny_model_path}, threads: 1}}\n"
        "decision: {threshold: 0.0, release: 0.0}\n"
    )
    with Store(tmp_path / "store") as store:
        record_visits(store, range(2))
    (tmp_path / "invalid.yaml").write_text("camera: {kind: usb}\n")
    return tmp_path


def run(name: str, to: str, folder: Path, unbuffered: str = "") -> subprocess.CompletedProcess[str]:
    """Run an example with its standard output redirected; return its exit code and standard error."""
    command = f"{sys.executable} -m hivewatch {(EXAMPLES | GONE)[name]} {to}; exit ${{PIPESTATUS[0]}}"
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered, "PYTHONPATH": python_path()},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("name", examples())
def test_full_output_is_an_error_in_one_sentence(name: str, unbuffered: str, folder: Path) -> None:
    done = run(name, "> /dev/full", folder, unbuffered)
    assert FULL in done.stderr
    assert "Traceback" not in done.stderr
    assert done.returncode in {1, CODES.get(name, 1)}


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("name", examples())
def test_output_that_nobody_reads_is_no_error(name: str, unbuffered: str, folder: Path) -> None:
    """Whether the pipe breaks in the middle of the output or when the buffer is flushed at the end."""
    done = run(name, "| true", folder, unbuffered)
    assert (done.returncode, done.stderr) == (CODES.get(name, 0), "")


@pytest.mark.slow
def test_a_reader_that_needs_no_more_ends_a_replay_quietly_in_the_middle(folder: Path) -> None:
    """Events are printed while they are recorded, so the store must not take it for a fault of its disk."""
    done = run("json", "| head -n 2", folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 2


@pytest.mark.parametrize("name", examples())
def test_closed_output_is_no_error(name: str, folder: Path) -> None:
    done = run(name, ">&-", folder)
    assert (done.returncode, done.stderr) == (CODES.get(name, 0), "")


def test_no_file_gets_the_number_of_a_closed_standard_stream(folder: Path) -> None:
    """A library that prints would write into it."""
    code = (
        "import sys; from hivewatch.cli.output import open_standard_streams; open_standard_streams();"
        "file = open('valid.yaml'); print(file.fileno(), file=open('number', 'w'))"
    )
    subprocess.run(["bash", "-c", f'{sys.executable} -c "{code}" <&- >&- 2>&-'], cwd=folder, check=True)
    assert int((folder / "number").read_text()) > 2


@pytest.mark.parametrize("to", ["2>&-", "2> /dev/full"])
def test_without_standard_error_the_exit_code_stays(to: str, folder: Path) -> None:
    done = run("gone", to, folder)
    assert (done.returncode, done.stdout) == (3, "")
