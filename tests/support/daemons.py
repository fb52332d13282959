"""The daemon in its own process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

import yaml

from support.brokers import wait_until

# Every score of the untrained model is above this threshold, so a sighting starts at the first frame.
ALWAYS_A_HORNET = {"threshold": 0.0, "release": 0.0, "votes": 1, "quiet_s": 3600.0}
SMALL_SIMULATOR = {"kind": "simulator", "width_px": 320, "height_px": 240, "rate_hz": 20.0}


class Daemon:
    """A context manager that runs ``hivewatch run`` with ``directory/hivewatch.yaml``."""

    def __init__(
        self, directory: Path, model: Path, environment: dict[str, str] | None = None, **sections: Any
    ) -> None:
        self.config_path = directory / "hivewatch.yaml"
        self.store = directory / "store"
        self._log = directory / "daemon.log"
        self._environment = os.environ | (environment or {})
        self._sections: dict[str, Any] = {
            "camera": SMALL_SIMULATOR,
            "gate": {"motion": {"enabled": False}},
            "decision": ALWAYS_A_HORNET,
            "classifier": {"model": str(model), "threads": 1},
            "store": {"directory": str(self.store)},
            "mqtt": {"enabled": False},
            "clock": {"wait_s": 0},
        }
        self.configure(**sections)

    def configure(self, **sections: Any) -> None:
        """Write the configuration file with these sections replaced."""
        self._sections |= sections
        self.config_path.write_text(yaml.safe_dump(self._sections))

    def __enter__(self) -> Self:
        with self._log.open("w") as log:
            self.process = self._start(log)
        return self

    def _start(self, log: TextIO) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "hivewatch", "run", "--config", str(self.config_path)]
        return subprocess.Popen(command, stdout=log, stderr=log, env=self._environment)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        if error is not None:
            print(self.log)

    @property
    def log(self) -> str:
        """Return the log so far."""
        return self._log.read_text()

    def wait_for_log(self, words: str) -> None:
        """Wait until the log contains ``words``."""
        wait_until(
            lambda: words in self.log or self.process.poll() is not None, f"the log says {words!r}", 60
        )
        assert words in self.log

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def stop(self) -> int:
        """Send SIGTERM and return the exit code."""
        self.signal(signal.SIGTERM)
        return self.process.wait(20)
