"""What others may send: slow clients at the preview, and model files made to do harm."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
import sys
import threading
import time
import warnings
import zipfile
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import Any

from hivewatch.preview.latest import LatestFrames
from hivewatch.preview.server import serve
from support.trials import Outcome, timed

TOKEN = "right-token"
HANG_S = 120.0
_ADDRESS_SPACE_KB = 20_000_000  # torch reserves several gigabytes
_DRIP_EVERY_S = 0.2


def slow_clients(requests: int, clients: int = 40) -> Outcome:
    """Ask for the page, while clients without the token send their requests byte by byte, for ever."""
    outcome = Outcome(f"preview: {clients} clients that never finish their request", requests)
    stop = threading.Event()
    with timed(outcome), serve(LatestFrames(), ("127.0.0.1", 0), TOKEN) as url:
        address = url.removeprefix("http://").partition("/")[0]
        threads = [threading.Thread(target=_drip, args=(address, stop)) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for _ in range(requests):
            outcome.lost += not _is_served(address)
            time.sleep(_DRIP_EVERY_S)
        stop.set()
        for thread in threads:
            thread.join()
    outcome.note = "lost: requests with the token that were not answered"
    return outcome


def _drip(address: str, stop: threading.Event) -> None:
    host, port = address.split(":")
    while not stop.is_set():
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 10) as connection:
            while not stop.wait(_DRIP_EVERY_S):
                connection.sendall(b"G")


def _is_served(address: str) -> bool:
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request("GET", f"/?token={TOKEN}")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def hostile_models(directory: Path, model: Path, only: Container[str] | None = None) -> Outcome:
    """Give `hivewatch check` files that would do harm; each must be refused in a sentence, exit code 5.

    ``model``: a valid file, whose description they carry. ``only``: the names of some of them.
    """
    directory.mkdir()
    outcome = Outcome("model files made to do harm")
    victim = directory / "victim"
    with timed(outcome):
        for name in _write(directory, model, victim):
            if only is not None and name not in only:
                continue
            outcome.runs += 1
            victim.write_bytes(b"what was there")
            code, said = _check(directory, directory / name)
            if victim.read_bytes() != b"what was there":
                outcome.problems.append(f"{name} has written to a file")
            if code != 5 or "Traceback (most recent call last)" in said:
                outcome.problems.append(f"{name}: exit code {code}: {said[-300:]}")
    return outcome


def _write(directory: Path, model: Path, victim: Path) -> Iterator[str]:
    """Write the files, and yield the name of each."""
    with zipfile.ZipFile(model) as archive:
        entry = next(name for name in archive.namelist() if name.endswith("/extra/hivewatch.json"))
        description = json.loads(archive.read(entry))
    for name, body in _programs(victim).items():
        path = directory / f"{name}.pt"
        _save_program(path, body, description)
        path.chmod(0o666 if name == "writes" else 0o644)
        yield path.name
    for name, size_mb in {"extra/hivewatch.json": 300, "data/0": 3000}.items():
        path = directory / f"bomb-{name.partition('/')[0]}.pt"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            if not name.startswith("extra"):
                archive.writestr("bomb/extra/hivewatch.json", json.dumps(description))
            with archive.open(f"bomb/{name}", "w", force_zip64=True) as file:
                for _ in range(size_mb):
                    file.write(bytes(1_000_000))
        yield path.name


def _programs(victim: Path) -> Mapping[str, str]:
    """Return bodies of `forward(self, x: Tensor) -> Tuple[Tensor, Tensor]`, by name."""
    score, cam = "torch.tensor(0.1)", "torch.zeros([x.size(0) // 32, x.size(1) // 32])"
    return {
        "writes": f"a = torch.from_file({str(victim)!r}, True, 14, dtype=torch.uint8)\n    a.fill_(65)\n"
        f"    return {score}, {cam}",
        "raises": f"if x.size(0) > 1:\n        raise ValueError('no')\n    return {score}, {cam}",
        "asserts": f"assert x.size(0) == 1\n    return {score}, {cam}",
        "divides": f"n = 1 // (x.size(0) - x.size(0))\n    return {score} + n, {cam}",
        "memory": f"a = torch.ones([40000, 1000, 1000])\n    return {score} + a.max(), {cam}",
        "nan": f"return {score} * float('nan'), {cam}",
        "infinite": f"return {score}, {cam} + float('inf')",
        "above one": f"return {score} + 1.0, {cam}",
        "large map": f"return {score}, torch.zeros([5000, 5000])",
        "double": f"return {score}.double(), {cam}",
        "sparse": f"return {score}, {cam}.to_sparse()",
        "no map": f"return {score}, {score}",
    }


def _save_program(path: Path, body: str, description: Mapping[str, Any]) -> None:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # A class of its own, since torch defines the methods of a class only once.
        module = torch.jit.script(type("Program", (torch.nn.Module,), {})())
        module.define(f"def forward(self, x: Tensor) -> Tuple[Tensor, Tensor]:\n    {body}\n")
        torch.jit.save(module, path, _extra_files={"hivewatch.json": json.dumps(description)})


def _check(directory: Path, model: Path) -> tuple[int, str]:
    """Return the exit code and the output of `hivewatch check` with ``model``, within bounded memory."""
    config = directory / "hivewatch.yaml"
    config.write_text(
        f"camera: {{kind: simulator}}\nclassifier: {{model: {json.dumps(str(model))}, threads: 1}}\n"
    )
    check = f'{sys.executable} -m hivewatch check --config "$1"'
    done = subprocess.run(
        ["bash", "-c", f"ulimit -v {_ADDRESS_SPACE_KB}; {check}", "bash", str(config)],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr
