"""Write the requirements files of deploy/install.sh, with uv; `scripts/pin` installs uv and runs this.

One file for each major version of NumPy, since apt's picamera2 is compiled for one. Each holds for both
architectures and every Python that the installer supports. On x86-64 it leaves out PyTorch, whose CPU builds
come from PyTorch's own index.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from configparser import ConfigParser
from pathlib import Path

PROJECT = Path(__file__).parent.parent
TARGETS = PROJECT / "deploy" / "requirements"
NUMPY = {"numpy1": "numpy<2", "numpy2": "numpy>=2,<3"}
HEAD = "# What deploy/install.sh installs, with {numpy}. Made by scripts/pin; do not edit.\n"
# uv takes the machines to resolve for from here only.
MACHINES = """\
[tool.uv]
environments = [
    "sys_platform == 'linux' and platform_machine == 'aarch64'",
    "sys_platform == 'linux' and platform_machine == 'x86_64'",
]
"""


def main(folder: Path) -> None:
    """Write all files; ``folder`` is an empty one, but for the environment that has uv."""
    (folder / "pyproject.toml").write_text(MACHINES)
    for name, numpy in NUMPY.items():
        requirements = folder / f"{name}.in"
        requirements.write_text("\n".join([*wanted(), numpy]))
        (TARGETS / f"{name}.txt").write_text(HEAD.format(numpy=numpy) + resolved(requirements))


def wanted() -> list[str]:
    """Return what setup.cfg requires to run and for the extra `setup`, and what builds the package."""
    setup = ConfigParser()
    setup.read(PROJECT / "setup.cfg")
    listed = setup["options"]["install_requires"] + setup["options.extras_require"]["setup"]
    lines = [line for line in listed.splitlines() if line and not line.startswith("#")]
    build = tomllib.loads((PROJECT / "pyproject.toml").read_text())["build-system"]["requires"]
    return [line for line in lines if 'platform_machine != "aarch64"' not in line] + build


def resolved(requirements: Path) -> str:
    """Return the requirements with versions, markers and the hashes of all wheels."""
    options = ["--universal", "--python-version=3.11", "--generate-hashes", "--only-binary=:all:"]
    quiet = ["--quiet", "--no-annotate", "--no-header"]
    uv = Path(sys.executable).with_name("uv")
    command = [uv, "pip", "compile", *options, *quiet, requirements.name]
    done = subprocess.run(command, cwd=requirements.parent, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


if __name__ == "__main__":
    main(Path(sys.argv[1]))
