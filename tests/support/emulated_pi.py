"""A Debian 12 for arm64 under qemu with the instruction set of a Raspberry Pi 4 (Cortex-A72).

It shows what runs there and what it computes. How fast, it does not show: it is slower by far.
"""

from __future__ import annotations

from support.debian_tree import DebianTree, runtime_requirements

PYTHON = "/opt/venv/bin/python"
OLDEST_TORCH = "/opt/oldest-torch"
"""A folder for PYTHONPATH with the oldest torch that setup.cfg allows."""


def emulated_pi() -> DebianTree:
    """The recipe: what setup.cfg asks for, from PyPI's wheels alone."""
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
