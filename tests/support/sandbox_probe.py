"""Runs in the service's sandbox in place of the daemon and prints as JSON what the sandbox allows."""

import ctypes
import json
import mmap
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def works(attempt: Callable[[], object]) -> bool:
    """Return whether ``attempt`` raises no OSError and does not return False."""
    with suppress(OSError):
        return attempt() is not False
    return False


def writes(path: str) -> Callable[[], object]:
    """Return a function that tries to write a file."""
    return lambda: Path(path).write_text("probe")


def password() -> bool:
    """Return whether the credential has the expected content."""
    return Path(os.environ["CREDENTIALS_DIRECTORY"], "mqtt_password").read_text() == "honey"


found = {
    "asks the kernel about its clock": ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(1024)) >= 0,
    "sets the clock": works(lambda: time.clock_settime(time.CLOCK_REALTIME, time.time())),
    "reads /proc/cpuinfo": works(lambda: Path("/proc/cpuinfo").read_text()),
    "makes code at run time": works(
        lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    ),
    "opens what belongs to the group video": works(lambda: Path("/srv/of-video").open("rb").close()),
    "writes its state": works(writes("/var/lib/hivewatch/probe")),
    "writes elsewhere": any(
        works(writes(f"{path}/probe")) for path in ("/srv", "/opt/hivewatch", "/etc", "/")
    ),
    "writes its configuration": works(writes("/etc/hivewatch/hivewatch.yaml")),
    "sees homes": works(lambda: Path("/home/keeper/secret").read_text()),
    "reads the password's file": works(lambda: Path("/etc/hivewatch/credentials/password").read_text()),
    "gets the password as a credential": works(password),
    "opens a raw socket": works(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()),
    "sees other processes": works(lambda: Path("/proc/1/status").read_text()),
}
Path("/var/lib/hivewatch/probe").unlink(missing_ok=True)
print(json.dumps(found))
