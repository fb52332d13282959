"""The wheel and the sdist contain what the program reads at run time."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from support.paths import PROJECT

pytestmark = pytest.mark.slow

MANUAL = (PROJECT / "config" / "hivewatch.yaml").read_bytes()
SOURCE = ("hivewatch", "config", "setup.cfg", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a wheel and an sdist, built without the network."""
    folder = tmp_path_factory.mktemp("package")
    for name in SOURCE:
        if (PROJECT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(PROJECT / name, folder / name, symlinks=True, ignore=ignored)
        else:
            shutil.copy(PROJECT / name, folder)
    code = "from setuptools import build_meta as b; b.build_wheel('dist'); b.build_sdist('dist')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder / "dist"


def test_the_wheel_contains_the_manual(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read("hivewatch/config/hivewatch.yaml") == MANUAL


def test_the_wheel_contains_the_released_models_and_their_hashes(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        hashes = archive.read("hivewatch/vision/models/SHA256SUMS").decode()
        for line in hashes.splitlines():
            digest, name = line.split()
            assert hashlib.sha256(archive.read(f"hivewatch/vision/models/{name}")).hexdigest() == digest
    assert len(hashes.splitlines()) == 2


def test_the_sdist_contains_the_manual_at_both_places(built: Path, tmp_path: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    for name in ("hivewatch/config/hivewatch.yaml", "config/hivewatch.yaml"):
        (file,) = tmp_path.glob(f"*/{name}")
        assert file.read_bytes() == MANUAL
