"""Opens copies of a damaged store, kills each opening at a random instant, and prints how many it killed.

Run as ``kill_salvage.py RUNS SEED STORE COPIES``. Each opening is a fork, so that the salvage is most of what
it does. The instants are spread over the time that an undisturbed opening takes. The killed copies stay in
``COPIES/000`` and so on.
"""

from __future__ import annotations

import logging
import os
import random
import select
import shutil
import signal
import sys
import time
from pathlib import Path

from hivewatch.store import Store


def main(runs: int, seed: int, store: Path, copies: Path) -> None:
    """Kill ``runs`` openings."""
    logging.getLogger("hivewatch").setLevel(logging.CRITICAL)  # damage is expected here
    shutil.copytree(store, copies / "undisturbed")
    start_s = time.monotonic()
    Store(copies / "undisturbed").close()
    duration_s = time.monotonic() - start_s
    dice = random.Random(seed)
    killed = 0
    for run in range(runs):
        copy = copies / f"{run:03}"
        shutil.copytree(store, copy)
        for _ in range(dice.randint(1, 3)):
            killed += _opening_killed(copy, dice.uniform(0, duration_s))
    print(killed)


def _opening_killed(store: Path, after_s: float) -> bool:
    child = os.fork()
    if child == 0:
        Store(store).close()
        os._exit(0)
    select.select([], [], [], after_s)  # the instant is random on purpose
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]))
