"""Imports point one way, and what is expensive to import is imported late."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "hivewatch"
BASE = {"domain", "errors", "config"}
# What a leaf may import beside the base: the helpers that exist for it alone.
HELPERS = {
    "classifier": {"closer", "localize"},
    "messages": {"machine"},
    "homeassistant": {"messages"},
    "fleet": {"messages"},
    "fleet_view": {"fleet"},
}
ALONE = {
    *("camera", "clock", "closer", "commands", "decision", "localize", "machine", "motion"),
    *("mqtt", "pressure", "region", "stopping", "store", "systemd", "tally", "timing"),
}
LEAVES = set(HELPERS) | ALONE
RUNTIME = BASE | LEAVES | {"config_reader", "watch", "recorder", "proof_of_life", "upkeep"}
RUNTIME |= {"announcer", "control", "predation"}
ALLOWED = {
    "errors": set[str](),
    "domain": set[str](),
    "config": {"domain", "errors"},
    "config_reader": {"config", "errors"},
    **dict.fromkeys(ALONE, BASE),
    **{leaf: BASE | helpers for leaf, helpers in HELPERS.items()},
    "watch": BASE | LEAVES,
    "recorder": BASE | LEAVES,
    "upkeep": BASE | LEAVES,
    "proof_of_life": BASE | LEAVES | {"recorder", "watch"},
    "predation": BASE | LEAVES,
    "announcer": BASE | LEAVES,
    "control": BASE | LEAVES | {"recorder", "watch"},
    "app": RUNTIME,
    "replay": RUNTIME | {"app"},
    "bench_broker": BASE | LEAVES,
    "bench": RUNTIME | {"app", "bench_broker", "replay"},
    "doctor": RUNTIME | {"app"},
    "preview": RUNTIME | {"app"},
    "training": RUNTIME | {"replay"},
    "cli_training": RUNTIME | {"training"},
    "cli": RUNTIME | {"app", "replay", "bench", "doctor", "preview", "cli_training"},
    "__main__": {"cli"},
}


def imports() -> list[tuple[Path, str, str]]:
    """Return every import in the package: file, the part of hivewatch it is in, the full name imported."""
    found = []
    for file in sorted(PACKAGE.rglob("*.py")):
        part = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(file.read_text())):
            names = (
                [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            )
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{file}: imports are written in full"
                from_package = node.module == "hivewatch"
                names = [f"hivewatch.{name}" for name in names] if from_package else [node.module or ""]
            found += [(file, part, name) for name in names]
    return found


def test_every_import_within_the_package_points_down_the_layers() -> None:
    wrong = []
    for file, part, name in imports():
        if part != "__init__" and name.startswith("hivewatch."):
            target = name.split(".")[1]
            if target not in ALLOWED[part] | {part, "__version__"}:
                wrong.append(f"{file.relative_to(PACKAGE)} imports {name}")
    assert not wrong


@pytest.mark.parametrize(
    ("library", "home"), [("torch", "classifier"), ("paho", "mqtt"), ("yaml", "config_reader")]
)
def test_a_library_is_imported_in_one_place_of_the_runtime_only(library: str, home: str) -> None:
    users = {part for _, part, name in imports() if name.split(".")[0] == library}
    assert users - {"training"} == {home}


def test_help_imports_nothing_expensive() -> None:
    code = (
        "import sys; from hivewatch.cli.main import _parser; _parser().format_help();"
        "print(*{'torch', 'cv2', 'numpy', 'pydantic', 'paho', 'yaml'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_daemon_imports_no_training_code() -> None:
    code = "import sys, hivewatch.app, hivewatch.replay; print(*(m for m in sys.modules if 'training' in m))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "hivewatch" not in done.stdout


def test_only_the_command_line_prints() -> None:
    printing = {
        file.name
        for file in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Name) and node.id == "print"
    }
    assert printing == {"cli.py", "cli_training.py"}
