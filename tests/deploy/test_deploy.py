"""The files of deploy/ that can be looked at without a systemd; tests/system runs them."""

from __future__ import annotations

import re

from support.paths import PROJECT

from hivewatch.config.sections import CameraConfig

DEPLOY = PROJECT / "deploy"


def settings(unit: str) -> list[str]:
    """Return the lines of a unit that say something to systemd, in order."""
    lines = (DEPLOY / unit).read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_the_template_unit_differs_by_its_instance_alone() -> None:
    """Two files, for systemd has no way to share; so neither may be forgotten."""
    one = [
        line.replace("/etc/hivewatch/hivewatch.yaml", "/etc/hivewatch/%i.yaml")
        .replace("Description=hivewatch,", "Description=hivewatch %i,")
        .replace("StateDirectory=hivewatch", "StateDirectory=hivewatch/%i")
        for line in settings("hivewatch.service")
    ]
    assert settings("hivewatch@.service") == one


def test_the_watchdog_is_more_patient_than_the_camera() -> None:
    """A camera that is waited for as long as it may take is not yet a daemon that hangs."""
    found = re.search(r"^WatchdogSec=(\d+)$", (DEPLOY / "hivewatch.service").read_text(), re.MULTILINE)
    assert found
    assert int(found[1]) >= 2 * CameraConfig().timeout_s


def test_the_line_that_the_installer_changes_is_in_the_configuration_once() -> None:
    """It puts the camera it has found in place of the simulator."""
    lines = (PROJECT / "config" / "hivewatch.yaml").read_text().splitlines()
    assert lines.count("  kind: simulator") == 1
    assert "s/^  kind: simulator$/" in (DEPLOY / "install.sh").read_text()
