"""The Debian tree that holds a real Home Assistant."""

from __future__ import annotations

from debian_tree import DebianTree

VERSION = "2026.2.3"
# What the integrations of the tests ask for beside Home Assistant itself, in the versions that it pins. It would
# fetch them at its first start; here they are there before, and it runs with --skip-pip.
INTEGRATIONS = ("paho-mqtt", "PyNaCl", "home-assistant-frontend", "home-assistant-intents", "hassil", "mutagen")


def homeassistant_tree() -> DebianTree:
    """The recipe: Home Assistant from PyPI in a venv of its own."""
    return DebianTree(
        name="homeassistant",
        suite="trixie",
        # One of its requirements, lru-dict, has no wheel for this Python.
        packages=("python3", "python3-venv", "python3-dev", "gcc", "libc6-dev"),
        script=f"""
            python3 -m venv /opt/homeassistant
            pip="/opt/homeassistant/bin/pip install --quiet --no-cache-dir"
            $pip homeassistant=={VERSION}
            constraints=$(echo /opt/homeassistant/lib/python3*/site-packages/homeassistant/package_constraints.txt)
            $pip --constraint "$constraints" {" ".join(INTEGRATIONS)}
        """,
    )
