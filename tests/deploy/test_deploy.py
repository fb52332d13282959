"""The files of deploy/ that can be checked without systemd; tests/integration runs them."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import PROJECT

from hivewatch.config.sections import CameraConfig

DEPLOY = PROJECT / "deploy"


def settings(unit: str) -> list[str]:
    """Return the lines of a unit without comments, in order."""
    lines = (DEPLOY / unit).read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_the_template_unit_differs_only_in_its_instance() -> None:
    """systemd cannot share settings between units, so both files must be changed together."""
    one = [
        line.replace("/etc/hivewatch/hivewatch.yaml", "/etc/hivewatch/%i.yaml")
        .replace("Description=hivewatch,", "Description=hivewatch %i,")
        .replace("StateDirectory=hivewatch", "StateDirectory=hivewatch/%i")
        for line in settings("hivewatch.service")
    ]
    assert settings("hivewatch@.service") == one


def test_the_watchdog_timeout_is_longer_than_the_camera_s() -> None:
    """A daemon that waits for its camera, as long as allowed, does not hang."""
    found = re.search(r"^WatchdogSec=(\d+)$", (DEPLOY / "hivewatch.service").read_text(), re.MULTILINE)
    assert found
    assert int(found[1]) >= 2 * CameraConfig().timeout_s


def test_the_line_that_the_installer_edits_occurs_once_in_the_configuration() -> None:
    """It replaces the simulator with the camera it has found."""
    lines = (PROJECT / "config" / "hivewatch.yaml").read_text().splitlines()
    assert lines.count("  kind: simulator") == 1
    assert "s/^  kind: simulator$/" in (DEPLOY / "install.sh").read_text()


FOREIGN_LOAD = """from pathlib import Path
from types import SimpleNamespace
def load(path):
    return SimpleNamespace(store=SimpleNamespace(directory=Path("/mnt/disk")))
"""


@pytest.mark.parametrize("reader", ["config/reader.py", "config_reader.py"])
def test_a_backup_names_stores_elsewhere_whatever_the_release(tmp_path: Path, reader: str) -> None:
    """Releases before 0.4 read the configuration in another module, and are backed up before an upgrade."""
    module = tmp_path / "package" / "hivewatch" / reader
    module.parent.mkdir(parents=True)
    module.write_text(FOREIGN_LOAD)
    (tmp_path / "hivewatch.yaml").touch()
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    package = shlex.quote(str(tmp_path / "package"))
    python.write_text(f'#!/bin/sh\nshift\nPYTHONPATH={package} exec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    function = re.search(
        r"^warn_of_other_stores\(\) \{$.*?^\}$", (DEPLOY / "backup.sh").read_text(), re.MULTILINE | re.DOTALL
    )
    assert function
    folder = shlex.quote(str(tmp_path))
    script = f"""set -euo pipefail
current={folder} config_folder={folder} data_folder=/var/lib/hivewatch
say() {{ printf '%s\\n' "$*"; }}
{function[0]}
warn_of_other_stores"""
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    config = tmp_path / "hivewatch.yaml"
    assert done.stdout == f"Not in the backup: /mnt/disk, where {config} stores its sightings\n"
