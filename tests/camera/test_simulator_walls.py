"""The rest of hivewatch uses the simulator's two public modules and none of the drawing code behind them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from support.paths import PROJECT

PACKAGE = PROJECT / "hivewatch"
SIMULATOR = "hivewatch.camera.simulator"
PUBLIC = {f"{SIMULATOR}.camera", f"{SIMULATOR}.insects"}


def imported_names(file: Path) -> Iterator[str]:
    """Yield the full name of everything that ``file`` imports, imports inside functions included."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_only_the_public_modules_of_the_simulator_are_imported_from_outside() -> None:
    outside = [file for file in PACKAGE.rglob("*.py") if PACKAGE / "camera" / "simulator" not in file.parents]
    names = {name for file in outside for name in imported_names(file) if name.startswith(SIMULATOR)}
    assert {name.rpartition(".")[0] for name in names} == PUBLIC
