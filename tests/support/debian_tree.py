"""Debian trees for tests that need a real system around hivewatch: built once, cached, entered with chroot.

Trees are kept in ``$HIVEWATCH_TEST_CACHE`` (default ``~/.cache/hivewatch-tests``) and rebuilt when their
recipe changes. Each command gets a mount namespace of its own, so no mount outlives it. ``DebianTree.path``
can also be booted with systemd-nspawn.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from configparser import ConfigParser
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import pytest

from support.paths import PROJECT
from support.pip_settings import pip_environment, pip_folders

MIRROR = "http://deb.debian.org/debian"
HOST_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
PATH_INSIDE = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
BUILD_LIMIT_S = 2400.0
BINFMT = Path("/proc/sys/fs/binfmt_misc")
QEMU = "qemu-aarch64"

NAMESPACE = ("unshare", "--mount", "--propagation", "private")
# $1 is the tree; then "source target" pairs to mount read-only; then "--" and the command.
# The namespace ends with its last process, and its mounts with it.
_ENTER = """
set -eu
root=$1; shift
for tree in dev proc sys; do mount --rbind "/$tree" "$root/$tree"; done
while [ "$1" != -- ]; do
    if [ -d "$1" ]; then mkdir -p "$root/$2"; else mkdir -p "$root/$(dirname "$2")"; : >>"$root/$2"; fi
    mount --bind "$1" "$root/$2"
    mount -o remount,bind,ro "$root/$2"
    shift 2
done
shift
exec chroot "$root" "$@"
"""


@dataclass(frozen=True)
class DebianTree:
    """The recipe of a tree: a Debian release with packages, and a shell script that is run once inside it.

    The script finds each of ``files``, which are part of the recipe, in /rig, and has network access. A tree
    of another ``architecture`` (Debian's name for it) runs under qemu, which emulates the processor
    ``emulated_cpu``.
    """

    name: str
    suite: str
    packages: tuple[str, ...]
    script: str
    files: tuple[Path, ...] = ()
    architecture: str = ""
    emulated_cpu: str = ""

    @property
    def path(self) -> Path:
        """Return the root directory of the tree."""
        return cache_folder() / self.name / _key(self.suite, self.architecture, *sorted(self.packages))

    def ensure(self) -> None:
        """Build the tree if it is missing or out of date. Skip the test (CI: fail) if that fails."""
        require_root()
        if self.architecture:
            require_emulation()
        with _locked(cache_folder() / f"{self.name}.lock"):
            note = self.path / ".script"
            if note.exists() and note.read_text() == self._script_key():
                return
            require_packages("debootstrap", "debian-archive-keyring")
            require_network()
            if not self.path.exists():
                self._bootstrap()
            self._run_script()

    def run(
        self,
        command: Sequence[str],
        *,
        mounts: Mapping[Path, str] | None = None,
        environment: Mapping[str, str] | None = None,
        timeout_s: float = 120.0,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the tree, with ``mounts`` (path here: path inside) mounted read-only.

        Return its output as text, whatever its exit status. Raises subprocess.TimeoutExpired when the command
        was killed after ``timeout_s``.
        """
        return subprocess.run(
            self._inside(command, mounts or {}),
            env=self._environment() | dict(environment or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def _environment(self) -> dict[str, str]:
        emulated = {"QEMU_CPU": self.emulated_cpu} if self.emulated_cpu else {}
        return {"PATH": PATH_INSIDE, "HOME": "/root", "LC_ALL": "C.UTF-8", **emulated}

    def start(
        self,
        command: Sequence[str],
        log: TextIO,
        *,
        mounts: Mapping[Path, str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a command as ``run`` does, without waiting. Output goes to ``log``; signals reach it."""
        return subprocess.Popen(
            self._inside(command, mounts or {}),
            env=self._environment() | dict(environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )

    def _inside(self, command: Sequence[str], mounts: Mapping[Path, str]) -> list[str]:
        pairs = [part for here, there in mounts.items() for part in (str(here), there)]
        return [*NAMESPACE, "sh", "-c", _ENTER, "sh", str(self.path), *pairs, "--", *command]

    def _script_key(self) -> str:
        return _key(self.script, *(path.read_text() for path in self.files))

    def _bootstrap(self) -> None:
        """Install Debian under a temporary name, so that an interrupted build is not mistaken for a tree."""
        shutil.rmtree(self.path.parent, ignore_errors=True)  # trees of older recipes, and unfinished ones
        self.path.parent.mkdir()
        unfinished = self.path.with_suffix(".unfinished")
        options = ["--variant=minbase", f"--include={','.join((*self.packages, 'ca-certificates'))}"]
        if self.architecture:
            options.append(f"--arch={self.architecture}")
        _checked(
            subprocess.run(
                ["debootstrap", *options, self.suite, str(unfinished), MIRROR],
                env=os.environ | self._environment(),
                capture_output=True,
                text=True,
                timeout=BUILD_LIMIT_S,
                check=False,
            )
        )
        unfinished.rename(self.path)

    def _run_script(self) -> None:
        """Run the recipe's script and record that it succeeded."""
        (self.path / ".script").unlink(missing_ok=True)
        mounts = {Path("/etc/resolv.conf").resolve(): "/etc/resolv.conf"}
        if HOST_CERTIFICATES.exists():  # the host may be behind a proxy with its own certificate
            mounts[HOST_CERTIFICATES] = str(HOST_CERTIFICATES)
        mounts |= {path: str(path) for path in pip_folders()}
        mounts |= {path: f"/rig/{path.name}" for path in self.files}
        environment = pip_environment() | {"PIP_CERT": str(HOST_CERTIFICATES)}
        _checked(
            self.run(
                ["sh", "-euc", self.script], mounts=mounts, environment=environment, timeout_s=BUILD_LIMIT_S
            )
        )
        (self.path / ".script").write_text(self._script_key())


def cache_folder() -> Path:
    """Return the directory of all trees; create it if necessary."""
    folder = Path(os.environ.get("HIVEWATCH_TEST_CACHE") or "~/.cache/hivewatch-tests").expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


def runtime_requirements() -> list[str]:
    """Return the run-time requirements of setup.cfg as pip accepts them."""
    setup = ConfigParser()
    setup.read(PROJECT / "setup.cfg")
    lines = setup["options"]["install_requires"].split("\n")
    return [line for line in lines if line and not line.startswith("#")]


def cannot(reason: str) -> None:
    """Skip the test for this reason; fail it in CI, where every test must run."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason} (in CI this test must run)")
    pytest.skip(reason)


def require_root() -> None:
    """Skip the test if trees cannot be built and entered."""
    if os.geteuid() != 0:
        cannot("building and entering a Debian tree needs root")
    if subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode != 0:
        cannot("this container may not mount anything (it lacks CAP_SYS_ADMIN)")


def require_packages(*packages: str) -> None:
    """Skip the test if Debian packages are missing on this machine; in CI, install them."""
    missing = [name for name in packages if not _is_installed(name)]
    if missing and os.environ.get("CI") == "true":
        with _locked(cache_folder() / "apt.lock"):
            for step in (["update"], ["install", "--no-install-recommends", *missing]):
                subprocess.run(["apt-get", "-y", "-qq", *step], check=True, timeout=BUILD_LIMIT_S)
    elif missing:
        cannot(f"missing on this machine: apt install {' '.join(missing)}")


def require_emulation() -> None:
    """Have the kernel run arm64 programs with qemu; skip the test if it cannot."""
    require_packages("qemu-user-static", "binfmt-support")
    if not (BINFMT / "register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", str(BINFMT)], check=False)
    if not (BINFMT / QEMU).exists():
        subprocess.run(["update-binfmts", "--enable", QEMU], capture_output=True, check=False)
    if not (BINFMT / QEMU).exists():
        cannot("this kernel does not run arm64 programs with qemu (binfmt_misc)")


def require_network() -> None:
    """Skip the test if Debian's mirror does not answer."""
    try:
        socket.create_connection(("deb.debian.org", 80), timeout=10).close()
    except OSError as error:
        cannot(f"a Debian tree must be built, but deb.debian.org does not answer: {error}")


def _is_installed(package: str) -> bool:
    query = subprocess.run(["dpkg-query", "--status", package], capture_output=True, text=True, check=False)
    return "install ok installed" in query.stdout


def _checked(done: subprocess.CompletedProcess[str]) -> None:
    if done.returncode != 0:
        raise RuntimeError(
            f"{done.args[0]} ended with {done.returncode}:\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
        )


def _key(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock, so that only one test run builds a tree."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
