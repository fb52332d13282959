"""A Debian booted with systemd as PID 1, in which hivewatch can be installed, broken and removed.

Writes go to an overlay on the cached tree, which is removed at the end. The Debian shares this machine's
network, so tests can connect to a broker that runs in it. Only one is booted at a time: without a unit of its
own, systemd-nspawn puts every system in the same control group, and two would stop each other's services.
"""

from __future__ import annotations

import fcntl
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

# $1: the tree, $2: the folder of this boot, then options for systemd-nspawn.
# The mount is in a namespace that ends with the last process of the booted system.
_BOOT = """
set -eu
tree=$1 here=$2; shift 2
mount -t overlay overlay -o "lowerdir=$tree,upperdir=$here/upper,workdir=$here/work" "$here/root"
exec systemd-nspawn --quiet --boot --directory="$here/root" --register=no --keep-unit --link-journal=no \\
    --console=read-only --resolv-conf=bind-host --system-call-filter="adjtimex clock_adjtime" "$@"
"""


@dataclass
class BootedDebian:
    """A context manager that boots the tree. ``shared`` (path here: path inside) is mounted read-only."""

    tree: DebianTree
    shared: Mapping[Path, str] = field(default_factory=dict)

    def __enter__(self) -> Self:
        """Boot and wait until systemd has started all units; skip the test if this machine cannot."""
        require_packages("systemd-container")
        self.tree.ensure()
        self._turn = (cache_folder() / "booted.lock").open("w")
        fcntl.flock(self._turn, fcntl.LOCK_EX)
        self._folder = Path(tempfile.mkdtemp(prefix="booted-", dir=cache_folder()))
        for name in ("upper", "work", "root"):
            (self._folder / name).mkdir()
        mounts = {path: str(path) for path in (*pip_folders(), HOST_CERTIFICATES) if path.exists()}
        binds = [f"--bind-ro={here}:{there}" for here, there in (mounts | dict(self.shared)).items()]
        # mkdtemp may produce "_" or a trailing "-", which host names may not have.
        name = f"--machine={self._folder.name.replace('_', '0')}"
        with (self._folder / "boot.log").open("w") as log:
            self._nspawn = subprocess.Popen(
                [*NAMESPACE, "sh", "-c", _BOOT, "sh", str(self.tree.path), str(self._folder), name, *binds],
                # systemd 257 refuses to boot with control groups v1 unless this is set.
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
        """Run a command as root in the Debian, wrapped in the command ``enter``, whatever its exit status."""
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
        """Run a command that must succeed and return its standard output."""
        done = self.run(*command, timeout_s=timeout_s, stdin=stdin)
        assert done.returncode == 0, f"{command} ended with {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def write(self, path: str, text: str) -> None:
        """Write a file in the Debian and create its parent directories."""
        self.tell("sh", "-c", f"mkdir -p $(dirname {path}) && cat > {path}", stdin=text)

    def pip_environment(self) -> dict[str, str]:
        """Return variables that make pip in the Debian use this machine's package sources."""
        certificates = str(HOST_CERTIFICATES)
        return pip_environment() | {"PIP_CERT": certificates, "SSL_CERT_FILE": certificates}

    def _init(self) -> int:
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children").read_text().split()
        assert children, f"the Debian has ended: {(self._folder / 'boot.log').read_text()[-2000:]}"
        return int(children[0])

    def _is_up(self) -> bool:
        assert self._nspawn.poll() is None, "systemd-nspawn ended during the boot"
        with suppress(AssertionError, subprocess.TimeoutExpired):
            return self.run("systemctl", "is-system-running").stdout.strip() in ("running", "degraded")
        return False

    def _end(self) -> None:
        """Kill it without a shutdown, as a power cut does."""
        with suppress(ProcessLookupError, AssertionError):
            os.kill(self._init(), signal.SIGKILL)
        self._nspawn.kill()
        self._nspawn.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._turn.close()
