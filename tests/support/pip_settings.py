"""This machine's settings of pip, so that a Debian tree gets its packages from where this machine does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

# Of this machine, or of no meaning elsewhere.
_STAY_HERE = {"cert", "no-cache-dir", "cache-dir", "log", "target", "prefix", "user", "require-virtualenv"}


@cache
def _settings() -> dict[str, str]:
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    )
    found = re.findall(r"^(?:global|install|user|site|:env:)\.([a-z-]+)='(.*)'$", listed.stdout, re.MULTILINE)
    return {name: value.replace(r"\n", " ") for name, value in found if name not in _STAY_HERE}


def pip_environment() -> dict[str, str]:
    """Return the settings, and those of a proxy, as environment variables."""
    environment = {f"PIP_{name.upper().replace('-', '_')}": value for name, value in _settings().items()}
    proxies = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    return environment | proxies


def pip_folders() -> list[Path]:
    """Return the files and folders that the settings name; where they hold they must have the same paths."""
    words = " ".join(_settings().values()).replace("file://", "").split()
    paths = {Path(word) for word in words if word.startswith("/") and Path(word).exists()}
    # An index is by custom the folder `simple`, beside the files that it points to.
    return sorted({path.parent if path.name == "simple" else path for path in paths})


def cpu_wheel_of_torch(python: str) -> str | None:
    """Return the version of a CPU build of torch for ``python`` ("3.11") that lies ready here, if any.

    It is a tenth of the size of what PyPI has for x86-64.
    """
    tag = f"cp{python.replace('.', '')}"
    folders = [folder for folder in pip_folders() if folder.is_dir()]
    wheels = [wheel for folder in folders for wheel in folder.glob(f"torch-*+cpu-{tag}-{tag}-*.whl")]
    return wheels[0].name.split("-")[1] if wheels else None
