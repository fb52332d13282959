"""The files of deploy/ that can be checked without systemd; tests/integration runs them."""

from __future__ import annotations

import os
import pty
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import PROJECT

from hivewatch.config.reader import parse
from hivewatch.config.sections import CameraConfig, Config

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


@pytest.mark.parametrize(
    "script", ["deploy/install.sh", "deploy/backup.sh", "deploy/hivewatch", "scripts/lib.sh"]
)
def test_no_python_imports_from_the_folder_in_which_root_runs_a_script(script: str) -> None:
    """``python -m``, ``-c`` and ``-`` look there first, unless ``-I`` comes before them."""
    text = (PROJECT / script).read_text()
    python = r"(?:\$base_python|\$python|\$base|\$name|\$1|bin/python)"
    options = re.findall(rf"{python}\"? +(-[-\w]*)", text)
    assert options
    assert set(options) <= {"-I", "--version"}


def install_sh(
    script: str, folder: Path, camera: str = "", terminal: str | None = None
) -> tuple[str, str, int]:
    """Run ``script`` with the functions of install.sh, and with /sys and the settings of ``folder``.

    ``camera``: the argument of --camera; ``terminal``: what a person types, None without a terminal.
    Returns the settings, the messages and the exit code.
    """
    config = folder / "hivewatch.yaml"
    setup = f". {DEPLOY}/install.sh\nconfig={config} base_python=false sysfs={folder}/sys camera={camera}\n"
    command = ["bash", "-c", setup + script]
    ours, theirs = pty.openpty()
    try:
        os.write(ours, (terminal or "").encode())
        stdin = subprocess.DEVNULL if terminal is None else theirs
        done = subprocess.run(command, stdin=stdin, capture_output=True, text=True, check=False)
    finally:
        os.close(ours)
        os.close(theirs)
    return config.read_text(), done.stderr, done.returncode


ASK = "ask_for_camera; set_camera"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the manual as settings, and /sys with no camera but a Pi's decoder."""
    (tmp_path / "hivewatch.yaml").write_text((PROJECT / "config" / "hivewatch.yaml").read_text())
    add_device(tmp_path, "video0", "bcm2835-codec")
    return tmp_path


def add_device(folder: Path, name: str, driver: str) -> None:
    """Add a device with the driver ``driver`` to the folder's /sys."""
    device = folder / "sys" / "class" / "video4linux" / name
    (device / "device").mkdir(parents=True)
    (device / "index").write_text("0\n")
    (device / "device" / "driver").symlink_to(f"../../{driver}")


def camera_in(settings: str) -> CameraConfig:
    return parse(settings, Config).camera


def test_the_installer_asks_which_camera_and_offers_the_one_it_has_found(folder: Path) -> None:
    add_device(folder, "video2", "uvcvideo")
    settings, messages, _ = install_sh(ASK, folder, terminal="\n")
    assert "a USB camera (/dev/video2)" in messages
    assert "Camera: video" in messages
    camera = camera_in(settings)
    assert (camera.kind, camera.video.source) == ("video", "/dev/video2")


def test_the_installer_repeats_its_question_until_the_answer_is_a_camera(folder: Path) -> None:
    settings, _, _ = install_sh(ASK, folder, terminal="\nwebcam\nsimulator\n")
    assert camera_in(settings).kind == "simulator"


@pytest.mark.parametrize("kind", ["picamera2", "video", "simulator"])
def test_without_a_terminal_the_camera_is_an_argument(kind: str, folder: Path) -> None:
    settings, _, _ = install_sh(ASK, folder, kind)
    assert camera_in(settings).kind == kind


def test_without_terminal_and_argument_the_settings_stay_and_the_camera_found_is_named(folder: Path) -> None:
    add_device(folder, "video1", "uvcvideo")
    before = (folder / "hivewatch.yaml").read_text()
    settings, messages, _ = install_sh(ASK, folder)
    assert settings == before
    assert "no terminal to ask on. Found: video." in messages


@pytest.mark.parametrize("text", ["camera:\n  kind: folder\n", "camera: {rate_hz: 2, kind: video}\n"])
def test_settings_that_name_a_camera_are_never_changed(text: str, folder: Path) -> None:
    (folder / "hivewatch.yaml").write_text(text)
    assert install_sh(ASK, folder, "simulator") == (text, "", 0)


def test_a_camera_is_added_to_settings_without_that_section(folder: Path) -> None:
    (folder / "hivewatch.yaml").write_text("hive: {id: north}\n")
    settings, _, _ = install_sh(ASK, folder, "picamera2")
    assert settings == "hive: {id: north}\n\ncamera:\n  kind: picamera2\n"


def test_settings_in_a_form_of_their_own_are_left_to_their_owner(folder: Path) -> None:
    (folder / "hivewatch.yaml").write_text("camera: {rate_hz: 2}\n")
    settings, messages, _ = install_sh(ASK, folder, "video")
    assert settings == "camera: {rate_hz: 2}\n"
    assert "write this below camera:" in messages


def test_an_installation_without_a_camera_ends_with_what_to_set(folder: Path) -> None:
    _, messages, code = install_sh("run_doctor", folder)
    assert code == 1
    assert "does not know its camera. Set camera.kind" in messages


def test_a_camera_that_the_installer_does_not_know_is_an_error() -> None:
    command = [str(DEPLOY / "install.sh"), "--camera", "webcam"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "--camera is picamera2, video or simulator, not webcam" in done.stderr


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
    for package_folder in (module.parent, tmp_path / "package" / "hivewatch"):
        (package_folder / "__init__.py").touch()  # or an installed hivewatch would come first
    (tmp_path / "hivewatch.yaml").touch()
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    package = shlex.quote(str(tmp_path / "package"))
    python.write_text(f'#!/bin/sh\nshift\nPYTHONPATH={package} exec {shlex.quote(sys.executable)} -S "$@"\n')
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
