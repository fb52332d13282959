"""hivewatch installed by deploy/install.sh in a booted Debian, beside a real mosquitto."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import yaml

from support.booted import BootedDebian
from support.brokers import Subscriber, free_port, wait_until
from support.debian_tree import DebianTree, cannot
from support.paths import PROJECT
from support.pip_settings import cpu_wheel_of_torch

PYTHON = {"bookworm": "3.11", "trixie": "3.13"}
INSTALL_S = 900.0
WAIT_S = 240.0
"""Generous: every start loads torch, perhaps while other tests run."""

# The files of a release, and those that build it.
_SOURCE = ("hivewatch", "config", "deploy", "scripts", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")
_PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "procps", "python3", "python3-venv", "python3-numpy"),
    *("mosquitto", "mosquitto-clients"),
)
# install.sh installs python3-systemd on Debian 12. On Debian 13 torch is already in the tree, for the
# system's Python: otherwise each run would download and unpack PyPI's build, with 3 GB of CUDA.
_PREPARE = (
    "printf '127.0.0.1 localhost\\n127.0.1.1 hive\\n' >/etc/hosts; systemctl mask systemd-timesyncd || true"
)
_TORCH = r"""
python3 -m venv /root/venv
python=/root/venv/bin/python
index=()
! wants_cpu_wheels || index=(--index-url "$torch_cpu_index")
mkdir -p /root/tmp
TMPDIR=/root/tmp $python -m pip install --quiet --no-cache-dir "${index[@]}" \
    --target "$(python3 -c "import site; print(site.getsitepackages()[0])")" "torch>=2.7"
rm -rf /root/venv /root/tmp
"""


def _install_torch() -> str:
    """Return the script that installs torch, with what scripts/lib.sh knows about its index and nothing else.

    The rest of that file may change without a new tree.
    """
    library = (PROJECT / "scripts" / "lib.sh").read_text()
    index = re.search(r"^torch_cpu_index=.*$", library, re.MULTILINE)
    probe = re.search(r"^wants_cpu_wheels\(\) \{$.*?^\}$", library, re.MULTILINE | re.DOTALL)
    assert index, "scripts/lib.sh does not set torch_cpu_index"
    assert probe, "scripts/lib.sh has no function wants_cpu_wheels"
    return f"bash -euc {shlex.quote(index[0] + chr(10) + probe[0] + _TORCH)}"


def debian(suite: str) -> DebianTree:
    """Return the recipe of a Debian to install hivewatch in."""
    if suite == "bookworm":
        return DebianTree(f"booted-{suite}", suite, _PACKAGES, _PREPARE)
    packages = (*_PACKAGES, "python3-systemd")
    return DebianTree(f"booted-{suite}", suite, packages, f"{_PREPARE}\n{_install_torch()}")


def torch_for_trixie() -> Path:
    """Return the directory with torch for Debian 13's Python; build its tree if necessary."""
    tree = debian("trixie")
    tree.ensure()
    return tree.path / "usr" / "local" / "lib" / f"python{PYTHON['trixie']}" / "dist-packages"


def copy_of_checkout(folder: Path) -> Path:
    """Copy the files of a release to ``folder`` and return it."""
    folder.mkdir(parents=True)
    for name in _SOURCE:
        here, there = PROJECT / name, folder / name
        if here.is_dir():
            shutil.copytree(here, there, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(here, there)
    return folder


def earlier_version(folder: Path) -> Path:
    """Write the package as it was before its last commit to ``folder``, with the current deploy scripts."""
    git = ["git", "-c", "safe.directory=*", "-C", str(PROJECT)]
    listed = subprocess.run(
        # Documents do not make a new version: install.sh ignores them as well.
        [*git, "rev-list", "HEAD", "--", "hivewatch", ":(exclude)*.md"],
        capture_output=True,
        text=True,
        check=False,
    )
    commits = listed.stdout.split()
    if len(commits) < 2:
        cannot("an upgrade needs an earlier version, and this checkout's git history has none")
    copy_of_checkout(folder)
    shutil.rmtree(folder / "hivewatch")
    package = ["hivewatch", "setup.cfg", "pyproject.toml", "config"]
    archive = subprocess.run([*git, "archive", commits[1], *package], capture_output=True, check=True)
    subprocess.run(["tar", "--extract", "--directory", str(folder)], input=archive.stdout, check=True)
    return folder


@dataclass
class Hive:
    """A booted Debian with a mosquitto, and with hivewatch once ``install`` has been called."""

    debian: BootedDebian
    sources: Path
    """Directory on this machine, mounted as /sources in the Debian."""
    changed: bool = False
    """Configuration or unit differ from the usual ones."""

    def __post_init__(self) -> None:
        """Start mosquitto on a free port: the network is shared with this machine."""
        self.port = free_port()
        listener = f"listener {self.port} 127.0.0.1\nallow_anonymous true\n"
        self.debian.write("/etc/mosquitto/conf.d/test.conf", listener)
        self.start_broker()

    def start_broker(self) -> None:
        """Start the broker and wait until it listens."""
        # The tests restart it so often that systemd would refuse the next start.
        self.debian.run("systemctl", "reset-failed", "mosquitto")
        self.debian.tell("systemctl", "restart", "mosquitto")
        wait_until(lambda: self.run("mosquitto_pub", "-t", "here", "-n").returncode == 0, "mosquitto listens")

    def stop_broker(self) -> None:
        """Stop the broker."""
        self.debian.tell("systemctl", "stop", "mosquitto")

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of mosquitto's clients against the broker."""
        return self.debian.run(program, "-h", "127.0.0.1", "-p", str(self.port), *arguments)

    def subscriber(self) -> Subscriber:
        """Return a subscriber to all messages."""
        return Subscriber(self.port)

    def configure(self, path: str = "/etc/hivewatch/hivewatch.yaml", **sections: object) -> None:
        """Write a configuration: simulated hornets, this broker, and defaults."""
        self.changed |= bool(sections)
        usual: dict[str, object] = {
            # Many visits, so that tests wait for few seconds, and few frames, which leaves processor time.
            "camera": {
                "kind": "simulator",
                "rate_hz": 2.0,
                "simulator": {"hornet_every_s": 10.0, "hornet_stay_s": 6.0},
            },
            "decision": {"cool_down_s": 1.0, "quiet_s": 2.0},
            "mqtt": {"host": "127.0.0.1", "port": self.port, "reconnect_longest_s": 2},
            "clock": {"wait_s": 0.0},
        }
        self.debian.write(path, yaml.safe_dump(usual | sections))

    def install(
        self, source: str, *arguments: str, enter: tuple[str, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run install.sh of /sources/``source``; its messages are on stderr."""
        environment = self.debian.pip_environment()
        wheel = cpu_wheel_of_torch("3.11")
        if wheel and self.debian.tree.suite == "bookworm":
            self.debian.write("/root/torch.txt", f"torch=={wheel}\n")
            environment["PIP_CONSTRAINT"] = f"{environment.get('PIP_CONSTRAINT', '')} /root/torch.txt".strip()
        script = f"/sources/{source}/deploy/install.sh"
        return self.debian.run(script, *arguments, timeout_s=INSTALL_S, environment=environment, enter=enter)

    def property(self, name: str, unit: str = "hivewatch") -> str:
        """Return a property of the service, as systemd reports it."""
        return self.debian.tell("systemctl", "show", "--property", name, "--value", unit)

    def release(self) -> str:
        """Return the directory of the installed release."""
        return self.debian.tell("readlink", "/opt/hivewatch/current")

    def journal(self, since: str = "-1h") -> str:
        """Return the journal of the service, including systemd's messages about it."""
        return self.debian.tell("journalctl", "--unit", "hivewatch", "--output", "cat", "--since", since)

    def wait_until_it_works(self, other_than: str = "0") -> None:
        """Wait until a process other than ``other_than`` is watching and has finished frames."""

        def works() -> bool:
            process = self.property("MainPID")
            return (
                process not in ("0", other_than)
                and self.property("ActiveState") == "active"
                and int(self.property("WatchdogTimestampMonotonic"))
                > int(self.property("ActiveEnterTimestampMonotonic"))
                and self.property("MainPID") == process
            )

        try:
            wait_until(works, "hivewatch is up and finishes frames", WAIT_S)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.journal()[-3000:]}") from error

    def override(self, **settings: str) -> None:
        """Override settings of the unit from its next start on."""
        self.changed = True
        lines = "".join(f"{name}={value}\n" for name, value in settings.items())
        self.debian.write("/run/systemd/system/hivewatch.service.d/test.conf", f"[Service]\n{lines}")
        self.debian.tell("systemctl", "daemon-reload")

    def restart(self) -> None:
        """Restart the service and wait until it works."""
        self.debian.tell("systemctl", "restart", "hivewatch", timeout_s=200)
        self.wait_until_it_works()

    def restore(self) -> None:
        """Restore broker, configuration and unit."""
        self.start_broker()
        if self.changed:
            self.debian.tell("rm", "-rf", "/run/systemd/system/hivewatch.service.d")
            self.configure()
            self.debian.tell("systemctl", "daemon-reload")
            self.restart()
            self.changed = False

    def query(self, sql: str) -> list[str]:
        """Return the first column of the rows that the store's database returns."""
        code = (
            "import sqlite3, sys\nfor row in sqlite3.connect(sys.argv[1]).execute(sys.argv[2]): print(row[0])"
        )
        database = "/var/lib/hivewatch/hivewatch.db"
        return self.debian.tell("/usr/bin/python3", "-c", code, database, sql).split()


def exposure(told: str) -> float:
    """Return the exposure level that `systemd-analyze security` reports."""
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", told)
    assert found, told
    return float(found[1])
