"""This machine's pip settings, so that a Debian tree installs from the same package sources."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

# Settings that apply to this machine only.
_STAY_HERE = {"cert", "no-cache-dir", "cache-dir", "log", "target", "prefix", "user", "require-virtualenv"}


@cache
def _settings() -> dict[str, str]:
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    )
    found = re.findall(r"^(?:global|install|user|site|:env:)\.([a-z-]+)='(.*)'$", listed.stdout, re.MULTILINE)
    return {name: value.replace(r"\n", " ") for name, value in found if name not in _STAY_HERE}


def pip_environment() -> dict[str, str]:
    """Return the pip settings and the proxy variables as environment variables."""
    environment = {f"PIP_{name.upper().replace('-', '_')}": value for name, value in _settings().items()}
    proxies = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    return environment | proxies


def pip_folders() -> list[Path]:
    """Return the files and directories that the settings name; mount them at the same paths."""
    words = " ".join(_settings().values()).replace("file://", "").split()
    paths = {Path(word) for word in words if word.startswith("/") and Path(word).exists()}
    # An index is usually a directory `simple` next to the files that it links to.
    return sorted({path.parent if path.name == "simple" else path for path in paths})


def cpu_wheel_of_torch(python: str) -> str | None:
    """Return the version of a CPU build of torch for ``python`` ("3.11") in the local package sources, if
    any.

    It has a tenth of the size of PyPI's build for x86-64.
    """
    tag = f"cp{python.replace('.', '')}"
    folders = [folder for folder in pip_folders() if folder.is_dir()]
    wheels = [wheel for folder in folders for wheel in folder.glob(f"torch-*+cpu-{tag}-{tag}-*.whl")]
    return wheels[0].name.split("-")[1] if wheels else None
