"""Replays clips, kills each replay at a random instant, and prints the events that it had committed.

Run as ``kill_replays.py RUNS SEED CONFIG CLIPS``. Python and torch are loaded once and each replay is a
fork, so that 200 replays take minutes. Prints the JSON line of each sighting event that a replay printed, and
finally ``{"killed": N}``: the number of replays that did not end before they were killed.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import sys
import time
import warnings

LONGEST_S = 60.0


def main(runs: int, seed: int, config: str, clips: str) -> None:
    """Run and kill ``runs`` replays."""
    import torch

    from hivewatch.cli import main as cli
    from hivewatch.daemon import app, replay  # noqa: F401  loaded once, before the fork

    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    dice = random.Random(seed)
    killed = 0
    for _ in range(runs):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.dup2(writer, sys.stdout.fileno())
            code = cli.main(["replay", "--json", "--publish", "--config", config, clips])
            sys.stdout.flush()
            os._exit(code)
        os.close(writer)
        killed += kill_at_random(child, reader, dice)
    print(json.dumps({"killed": killed}), flush=True)


def kill_at_random(child: int, reader: int, dice: random.Random) -> bool:
    """Kill ``child`` after a random number of events, print them, and return whether the kill ended it."""
    lines_left = dice.randrange(0, 12)
    printed = b""
    with open(reader, "rb", buffering=0) as stream:
        until_s = time.monotonic() + LONGEST_S
        while printed.count(b'{"sighting"') < lines_left and time.monotonic() < until_s:
            if not (data := stream.read(65536)):
                break
            printed += data
        # The instant is random on purpose. Before the first event, it may be in the start-up.
        select.select([], [], [], dice.uniform(0, 0.05 if lines_left else 1.5))
        os.kill(child, signal.SIGKILL)
        printed += stream.read() or b""
    _, status = os.waitpid(child, 0)
    for line in printed.splitlines(keepends=True):
        if line.startswith(b'{"sighting"') and line.endswith(b"\n"):
            print(line.decode().strip(), flush=True)
    return os.WIFSIGNALED(status)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4])
