"""What install.sh installs is pinned, and fits setup.cfg on every machine that it supports."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from configparser import ConfigParser

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from support.paths import PROJECT

MACHINES = [
    (numpy, machine, python)
    for numpy, pythons in {"numpy1": ("3.11", "3.12"), "numpy2": ("3.11", "3.12", "3.13")}.items()
    for machine in ("aarch64", "x86_64")
    for python in pythons
]
"""Debian 12 and 13 have Python 3.11 and 3.13. NumPy 1 has no wheel for 3.13."""


def pins(numpy: str) -> Iterator[tuple[Requirement, list[str]]]:
    """Yield each pin with its hashes."""
    text = (PROJECT / "deploy" / "requirements" / f"{numpy}.txt").read_text()
    for line in text.replace("\\\n", " ").splitlines():
        if not line.startswith("#"):
            requirement, *hashes = re.split(r"\s+--hash=", line)
            yield Requirement(requirement), hashes


def environment(machine: str, python: str) -> dict[str, str]:
    found = {**default_environment(), "sys_platform": "linux", "platform_machine": machine, "extra": ""}
    return found | {"python_version": python, "python_full_version": f"{python}.2"}


def versions(numpy: str, machine: str, python: str) -> dict[str, str]:
    """Return the version of each package that is installed there."""
    found: dict[str, str] = {}
    for pin, _ in pins(numpy):
        if pin.marker is None or pin.marker.evaluate(environment(machine, python)):
            assert pin.name not in found
            (specifier,) = pin.specifier
            found[pin.name] = specifier.version
    return found


def required() -> list[Requirement]:
    setup = ConfigParser()
    setup.read(PROJECT / "setup.cfg")
    listed = setup["options"]["install_requires"] + setup["options.extras_require"]["setup"]
    return [Requirement(line) for line in listed.splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("numpy", ["numpy1", "numpy2"])
def test_every_package_has_one_version_and_hashes(numpy: str) -> None:
    for pin, hashes in pins(numpy):
        assert [specifier.operator for specifier in pin.specifier] == ["=="], pin
        assert hashes, pin
        assert all(re.fullmatch("sha256:[0-9a-f]{64}", digest) for digest in hashes), pin


@pytest.mark.parametrize(("numpy", "machine", "python"), MACHINES)
def test_the_pins_are_what_setup_cfg_requires(numpy: str, machine: str, python: str) -> None:
    """Run scripts/pin after a change to setup.cfg."""
    found = versions(numpy, machine, python)
    for requirement in required():
        if requirement.marker is not None and not requirement.marker.evaluate(environment(machine, python)):
            continue
        if requirement.name == "torch" and machine == "x86_64":
            assert "torch" not in found, "its builds without CUDA are not on PyPI"
        else:
            assert requirement.specifier.contains(found[canonicalize_name(requirement.name)]), requirement


@pytest.mark.parametrize(("numpy", "machine", "python"), MACHINES)
def test_numpy_has_the_major_version_of_the_file(numpy: str, machine: str, python: str) -> None:
    assert versions(numpy, machine, python)["numpy"].split(".")[0] == numpy.removeprefix("numpy")


def test_what_builds_the_package_is_pinned_as_well() -> None:
    build = tomllib.loads((PROJECT / "pyproject.toml").read_text())["build-system"]["requires"]
    for requirement in map(Requirement, build):
        assert requirement.specifier.contains(versions("numpy2", "aarch64", "3.13")[requirement.name])
