"""The README's way from pictures to alarms, command by command, in a fresh clone of this checkout."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
import yaml
from support.paths import PROJECT
from support.training_pictures import RECIPE, write_clip, write_data

from hivewatch.training.recipe import Recipe
from hivewatch.vision.model_file import read_model_info
from hivewatch.vision.trust import read_model_file

pytestmark = pytest.mark.slow

README = "hivewatch/training/README.md"
SECTION = "Your own model, from pictures to alarms"
QUICK = RECIPE.model_copy(update={"epochs": 6, "crops_per_epoch": 96, "learning_rate": 5e-4, "mine_every": 0})


def section_commands() -> list[str]:
    """Return the commands of the section: its lines that are indented as code."""
    text = (PROJECT / README).read_text(encoding="utf-8").partition(f"## {SECTION}\n")[2]
    return re.findall(r"^    (\S.*)$", text.partition("\n## ")[0], re.MULTILINE)


def git_clone(target: Path) -> Path:
    subprocess.run(["git", "clone", "--quiet", str(PROJECT), str(target)], check=True, capture_output=True)
    return target


def make_environment(clone: Path) -> None:
    """Give the clone a ``.venv`` that runs this environment's interpreter on the clone's package.

    The scripts take it for complete and install nothing; if they tried, pip would fail.
    """
    binaries = clone / ".venv" / "bin"
    binaries.mkdir(parents=True)
    for name, arguments in (("python", ""), ("hivewatch", "-m hivewatch ")):
        program = binaries / name
        program.write_text(
            '#!/bin/sh\ncase "$*" in *"pip install"*) exit 1 ;; esac\n'
            f'export PYTHONPATH="{clone}"\nexec "{sys.executable}" {arguments}"$@"\n'
        )
        program.chmod(0o755)
    version = f"Python {sys.version.split()[0]}"
    settings = (clone / "setup.cfg").read_text() + (clone / "pyproject.toml").read_text()
    for extra in ("train", "demo"):
        (clone / ".venv" / f".hivewatch-{extra}").write_text(f"{clone}\n{version}\n{settings}")


def write_inputs(clone: Path) -> None:
    """Write drawn pictures and a clip under the names in the README, and a recipe that takes seconds."""
    write_data(clone / "pictures", per_class=12, splits=("train", "test"), boxed=False)
    moving = write_clip(clone / "recording.avi", seconds=3.0)
    moving.rename(clone / "recording.mp4")  # OpenCV goes by the content
    usual = Recipe().model_dump(mode="json")
    changed = {name: value for name, value in QUICK.model_dump(mode="json").items() if value != usual[name]}
    (clone / "config" / "train.yaml").write_text(yaml.safe_dump(changed))


def run(command: str, clone: Path) -> subprocess.CompletedProcess[str]:
    """Run one line as a person would type it."""
    return subprocess.run(
        ["bash", "-c", command],
        cwd=clone,
        env={**os.environ, "PYTHONPATH": "", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_section_sets_up_trains_exports_evaluates_and_watches() -> None:
    words = [command.split()[:2] for command in section_commands()]
    assert words[0] == ["scripts/setup-training"]
    assert words[1:4] == [[".venv/bin/hivewatch", name] for name in ("train", "export", "evaluate")]
    assert words[4:] == [["scripts/demo", "--model"]]


@pytest.mark.timeout(900)
def test_the_commands_of_the_readme_make_a_model_from_drawn_pictures(tmp_path: Path) -> None:
    clone = git_clone(tmp_path / "clone")
    make_environment(clone)
    write_inputs(clone)
    output = ""
    for command in section_commands():
        if "demo --model" in command and "--model" not in (clone / "scripts" / "demo.py").read_text():
            pytest.skip("scripts/demo has no --model")
        done = run(command, clone)
        output = done.stdout
        assert done.returncode == 0, f"{command}\n{output}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        if " evaluate " in command:
            check_results(clone, output)
    assert "recording.mp4" in output


def check_results(clone: Path, evaluation: str) -> None:
    """Check the model file, and that the evaluation drew the figures of the run."""
    model = read_model_info(read_model_file(clone / "my.pt"))
    assert (model.name, model.finished) == ("mine", True)
    assert (clone / "runs" / "mine" / "curves.png").is_file()
    figures = {path.name for path in (clone / "figures").glob("*.png")}
    assert {"curves.png", "predictions.png", "maps.png", "confusion.png"} <= figures
    assert all(f"figure: figures/{name}" in evaluation for name in figures)
    for name in figures:
        assert (cv2.imread(str(clone / "figures" / name)) < 200).any(2).mean() > 0.005, f"{name} is empty"
