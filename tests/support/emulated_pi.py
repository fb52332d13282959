"""A Debian 12 for arm64 under qemu with the instruction set of a Raspberry Pi 4 (Cortex-A72).

It shows what runs on a Pi and what it computes there. It says nothing about speed: emulation is far slower.
"""

from __future__ import annotations

from support.debian_tree import DebianTree, runtime_requirements

PYTHON = "/opt/venv/bin/python"
OLDEST_TORCH = "/opt/oldest-torch"
"""A directory for PYTHONPATH with the oldest torch that setup.cfg allows."""


def emulated_pi() -> DebianTree:
    """Return the recipe: the run-time requirements of setup.cfg, from PyPI's wheels only."""
    requirements = " ".join(f"'{line}'" for line in runtime_requirements())
    return DebianTree(
        name="emulated-pi",
        suite="bookworm",
        packages=("python3", "python3-venv"),
        architecture="arm64",
        emulated_cpu="cortex-a72",
        script=f"""
            python3 -m venv /opt/venv
            /opt/venv/bin/pip install --quiet --no-cache-dir --only-binary :all: {requirements}
            /opt/venv/bin/pip install --quiet --no-cache-dir --only-binary :all: --no-deps \\
                --target {OLDEST_TORCH} 'torch==2.7.*'
        """,
    )
