"""A Debian booted with systemd as PID 1, in which hivewatch can be installed, broken and removed.

What happens in it goes to a layer of its own over the cached tree, which is thrown away in the end. It shares
this machine's network, so that a broker in it can be listened to from here.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from support.brokers import wait_until
from support.debian_tree import (
    HOST_CERTIFICATES,
    NAMESPACE,
    PATH_INSIDE,
    DebianTree,
    cache_folder,
    require_packages,
)
from support.pip_settings import pip_environment, pip_folders

BOOT_S = 180.0

# $1: the tree, $2: the folder of this boot, then what is said to systemd-nspawn.
# The mount lives in a namespace that ends with the last process of the booted system.
_BOOT = """
set -eu
tree=$1 here=$2; shift 2
mount -t overlay overlay -o "lowerdir=$tree,upperdir=$here/upper,workdir=$here/work" "$here/root"
exec systemd-nspawn --quiet --boot --directory="$here/root" --register=no --keep-unit --link-journal=no \\
    --console=read-only --resolv-conf=bind-host --system-call-filter="adjtimex clock_adjtime" "$@"
"""


@dataclass
class BootedDebian:
    """``with`` it, the tree is up and running. ``shared`` (here: there) is seen in it, read-only."""

    tree: DebianTree
    shared: Mapping[Path, str] = field(default_factory=dict)

    def __enter__(self) -> Self:
        """Boot, and wait until systemd has started everything; skips the test where that cannot be done."""
        require_packages("systemd-container")
        self.tree.ensure()
        self._folder = Path(tempfile.mkdtemp(prefix="booted-", dir=cache_folder()))
        for name in ("upper", "work", "root"):
            (self._folder / name).mkdir()
        mounts = {path: str(path) for path in (*pip_folders(), HOST_CERTIFICATES) if path.exists()}
        binds = [f"--bind-ro={here}:{there}" for here, there in (mounts | dict(self.shared)).items()]
        # A host's name has neither "_" nor "-" at its end, which mkdtemp's names may have.
        name = f"--machine={self._folder.name.replace('_', '0')}"
        with (self._folder / "boot.log").open("w") as log:
            self._nspawn = subprocess.Popen(
                [*NAMESPACE, "sh", "-c", _BOOT, "sh", str(self.tree.path), str(self._folder), name, *binds],
                # systemd 257 boots beside version 1 of control groups only when told to.
                env=os.environ | {"SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            wait_until(self._is_up, "the Debian boots", BOOT_S)
        except BaseException:
            print((self._folder / "boot.log").read_text()[-3000:])
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def run(
        self,
        *command: str,
        timeout_s: float = 60.0,
        environment: Mapping[str, str] | None = None,
        stdin: str = "",
        enter: tuple[str, ...] = (),
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as root in it, by way of ``enter``. Its exit status is the caller's to judge."""
        variables = {"PATH": PATH_INSIDE, "HOME": "/root", "LC_ALL": "C.UTF-8", **(environment or {})}
        settings = [f"{name}={value}" for name, value in variables.items()]
        return subprocess.run(
            ["nsenter", "--target", str(self._init()), "--all", *enter, "env", "-i", *settings, *command],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def tell(self, *command: str, timeout_s: float = 60.0, stdin: str = "") -> str:
        """Run a command that must succeed, and return what it says."""
        done = self.run(*command, timeout_s=timeout_s, stdin=stdin)
        assert done.returncode == 0, f"{command} ended with {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def write(self, path: str, text: str) -> None:
        """Write a file in it, and the folders above it."""
        self.tell("sh", "-c", f"mkdir -p $(dirname {path}) && cat > {path}", stdin=text)

    def pip_environment(self) -> dict[str, str]:
        """Return what lets pip in it get packages from where this machine's does."""
        certificates = str(HOST_CERTIFICATES)
        return pip_environment() | {"PIP_CERT": certificates, "SSL_CERT_FILE": certificates}

    def _init(self) -> int:
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children").read_text().split()
        assert children, f"no longer running: {(self._folder / 'boot.log').read_text()[-2000:]}"
        return int(children[0])

    def _is_up(self) -> bool:
        assert self._nspawn.poll() is None, "it ended while it booted"
        with suppress(AssertionError, subprocess.TimeoutExpired):
            return self.run("systemctl", "is-system-running").stdout.strip() in ("running", "degraded")
        return False

    def _end(self) -> None:
        """End it at once, as pulling the plug does."""
        with suppress(ProcessLookupError, AssertionError):
            os.kill(self._init(), signal.SIGKILL)
        self._nspawn.kill()
        self._nspawn.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
