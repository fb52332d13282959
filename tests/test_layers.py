"""Imports point one way, and what is expensive to import is imported late."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.paths import PROJECT

PACKAGE = PROJECT / "hivewatch"
# From the top down: a package may import those of the levels below its own, and nothing on its own level.
LEVELS = (
    {"__main__"},
    {"cli"},
    {"doctor", "preview", "fleet", "bench", "answers", "visits", "setup_wizard", "training"},
    {"daemon"},
    {"messages"},
    {"vision", "store", "camera", "mqtt", "system"},
    {"config"},
    {"domain"},
    {"errors"},
)
LEVEL = {package: number for number, level in enumerate(LEVELS) for package in level}


def imports() -> Iterator[tuple[Path, str, str]]:
    """Yield every import in the package: file, the package it is in, the full name imported."""
    for file in sorted(PACKAGE.rglob("*.py")):
        package = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(file.read_text())):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{file}: imports are written in full"
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from ((file, package, name) for name in names)


def test_every_package_has_a_level() -> None:
    found = {path.name.removesuffix(".py") for path in PACKAGE.iterdir() if path.suffix in {"", ".py"}}
    assert found - {"__init__", "__pycache__"} == set(LEVEL)


def test_imports_point_down() -> None:
    wrong = []
    for file, package, name in imports():
        if package == "__init__" or not name.startswith("hivewatch."):
            continue
        target = name.split(".")[1]
        if target not in {"__version__", package} and LEVEL[target] <= LEVEL[package]:
            wrong.append(f"{file.relative_to(PACKAGE)} imports {name}")
    assert not wrong


@pytest.mark.parametrize(
    ("library", "home"),
    [("torch", "vision"), ("paho", "mqtt"), ("yaml", "config"), ("systemd", "system")],
)
def test_the_runtime_imports_a_library_in_one_place(library: str, home: str) -> None:
    users = {
        file.relative_to(PACKAGE)
        for file, package, name in imports()
        if name.split(".")[0] == library and package != "training"
    }
    assert users
    assert {user.parts[0] for user in users} == {home}


def test_help_imports_nothing_expensive() -> None:
    code = (
        "import sys; from hivewatch.cli.parser import make_parser; make_parser().format_help();"
        "print(*{'torch', 'cv2', 'numpy', 'pydantic', 'paho', 'yaml'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_daemon_imports_no_training_code() -> None:
    code = (
        "import sys, hivewatch.daemon.app, hivewatch.daemon.replay;"
        "print(*(m for m in sys.modules if 'training' in m))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "hivewatch" not in done.stdout


def test_only_the_command_line_prints() -> None:
    printing = {
        file.relative_to(PACKAGE).parts[0]
        for file in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Name) and node.id == "print"
    }
    assert printing == {"cli"}


@pytest.mark.parametrize(
    ("function", "homes"),
    [
        ("imread", set()),
        ("imdecode", {"camera/sources/picture.py", "training/data/augment.py"}),  # the latter: from memory
        ("VideoCapture", {"camera/sources/clip.py", "camera/sources/video.py"}),
        ("rglob", set()),
        ("walk", set()),
    ],
)
def test_pictures_clips_and_folders_are_read_in_one_place(function: str, homes: set[str]) -> None:
    """What the readers guard against (names, sizes, truncated files, links) holds wherever files are read."""
    users = {
        file.relative_to(PACKAGE).as_posix()
        for file in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == function
    }
    assert users == homes
