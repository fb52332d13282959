"""A command whose extra is not installed says which one, without a traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.paths import python_path

from hivewatch.cli.extras import needs_extra
from hivewatch.errors import MissingExtraError

pytestmark = pytest.mark.slow


def hivewatch_without(*packages: str, arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run hivewatch as on a machine where ``packages`` are not installed."""
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({packages!r}));"
        f"from hivewatch.cli.main import main; sys.exit(main({arguments!r}))"
    )
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={"PYTHONPATH": python_path(), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


def write_pictures(folder: Path) -> Path:
    for split in ("train", "val"):
        for number, label in enumerate(("presence", "absence")):
            (folder / split / label).mkdir(parents=True)
            pixels = np.full((64, 64, 3), 90 * number + 20, np.uint8)
            cv2.imwrite(str(folder / split / label / f"{split}.png"), pixels)
    return folder


@pytest.mark.parametrize("package", ["torchvision", "matplotlib"])
@pytest.mark.parametrize(
    "arguments", [["train", "pictures"], ["export", "best.ckpt", "pictures", "model.pt"]]
)
def test_training_and_export_name_the_extra_before_they_start(
    arguments: list[str], package: str, tmp_path: Path
) -> None:
    done = hivewatch_without(package, arguments=arguments, folder=tmp_path)
    assert done.returncode == 9
    assert f"the Python package {package}, which is not installed" in done.stderr
    assert "pip install 'hivewatch[train]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_figures_name_the_extra_and_no_folder_is_made(tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures")
    arguments = ["evaluate", "pictures", "--figures", "figures"]
    done = hivewatch_without("matplotlib", arguments=arguments, folder=tmp_path)
    assert done.returncode == 9
    assert "pip install 'hivewatch[train]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "figures").exists()


def test_evaluate_without_figures_takes_neither_matplotlib_nor_torchvision(
    tmp_path: Path, tiny_model_path: Path
) -> None:
    write_pictures(tmp_path / "pictures")
    arguments = ["evaluate", "pictures", "--model", str(tiny_model_path)]
    done = hivewatch_without("matplotlib", "torchvision", arguments=arguments, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "val hive: 2 pictures, 1 with a hornet" in done.stdout


def test_a_missing_module_of_hivewatch_is_no_missing_extra() -> None:
    def command(_arguments: object) -> int:
        import hivewatch.nonsense  # type: ignore[import-not-found]

        return int(hivewatch.nonsense.exit_code)

    with pytest.raises(ModuleNotFoundError):
        needs_extra("train")(command)(None)  # type: ignore[arg-type]
    with pytest.raises(MissingExtraError, match="no_such_package"):
        needs_extra("train", "no_such_package")(command)(None)  # type: ignore[arg-type]
