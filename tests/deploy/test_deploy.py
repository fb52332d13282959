"""The files of deploy/ that can be checked without systemd; tests/integration runs them."""

from __future__ import annotations

import re

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
