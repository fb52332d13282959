"""The daemon's log as the real journald stores it: fields, levels, and the error that ends the daemon.

journald runs alone, in a mount namespace with its own /run. ``systemd-cat`` connects the daemon to it as
systemd does; it does not set $JOURNAL_STREAM, so the script does.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.daemons import SMALL_SIMULATOR, Daemon
from support.debian_tree import NAMESPACE, require_packages, require_root

pytestmark = pytest.mark.integration

# Runs the command $@ and prints its journal entries, one JSON document a line.
_UNDER_THE_JOURNAL = """
set -eu
mount -t tmpfs none /run
mkdir -p /run/systemd/journal /run/log/journal
/lib/systemd/systemd-journald 2>/dev/null &
journald=$!
for _ in $(seq 600); do [ -S /run/systemd/journal/stdout ] && break; sleep 0.1; done
systemd-cat sh -c 'JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) exec "$@"' sh "$@" || true
journalctl --sync
journalctl --directory=/run/log/journal --output=json --no-pager
kill "$journald"
"""
WARNING, CRITICAL, INFO = "4", "2", "6"


def journal_of(daemon: Daemon) -> list[dict[str, Any]]:
    """Run the daemon until it ends and return its journal entries in order."""
    require_root()
    require_packages("systemd")
    pytest.importorskip("systemd.journal", reason="systemd-python is not installed")
    command = [sys.executable, "-m", "hivewatch", "run", "--config", str(daemon.config_path)]
    done = subprocess.run(
        [*NAMESPACE, "sh", "-c", _UNDER_THE_JOURNAL, "sh", *command],
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    entries = [json.loads(line) for line in done.stdout.splitlines()]
    return [entry for entry in entries if entry.get("SYSLOG_IDENTIFIER") == "hivewatch"]


def test_sightings_and_cameras_have_fields(tmp_path: Path, tiny_model_path: Path) -> None:
    clip = SMALL_SIMULATOR | {"simulator": {"duration_s": 1.0}}
    entries = journal_of(Daemon(tmp_path, tiny_model_path, camera=clip))
    by_code = {entry["CODE"]: entry for entry in entries if "CODE" in entry}
    assert by_code["watching"]["CAMERA"] == "simulator"
    start, end = by_code["sighting_start"], by_code["sighting_end"]
    assert start["SIGHTING"] == end["SIGHTING"] != ""
    assert (start["CAMERA"], start["PRIORITY"]) == ("simulator", INFO)
    assert start["MESSAGE"].startswith(f"sighting {start['SIGHTING']}: start, best score")


def test_an_error_that_ends_the_daemon_is_critical_and_has_its_exit_code(
    tmp_path: Path, tiny_model_path: Path
) -> None:
    nothing = {"kind": "video", "video": {"source": "missing.mp4"}}
    last = journal_of(Daemon(tmp_path, tiny_model_path, camera=nothing))[-1]
    assert "missing.mp4" in last["MESSAGE"]
    assert (last["PRIORITY"], last["CODE"]) == (CRITICAL, "exit_4")


def test_a_warning_keeps_its_level(tmp_path: Path, tiny_model_path: Path) -> None:
    mqtt = {"host": "127.0.0.1", "port": 1}
    clip = SMALL_SIMULATOR | {"simulator": {"duration_s": 1.0}}
    entries = journal_of(Daemon(tmp_path, tiny_model_path, camera=clip, mqtt=mqtt))
    (lost,) = [entry for entry in entries if entry.get("CODE") == "broker_lost"]
    assert lost["PRIORITY"] == WARNING
    assert "nothing listens on that port" in lost["MESSAGE"]
