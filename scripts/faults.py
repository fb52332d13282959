"""Inject the faults that a hive camera meets, for longer than the tests do, and print what was lost."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

PROJECT = Path(__file__).parent.parent
TESTS = PROJECT / "tests"
SUPPORT = TESTS / "support"
sys.path[:0] = [str(PROJECT), str(TESTS)]

from support import (  # noqa: E402
    broker_trials,
    camera_trials,
    clock_trials,
    disk_trials,
    disks,
    fuzz_trials,
    kill_trials,
    salvage_trials,
    soak_trials,
    trust_trials,
)
from support.brokers import Broker  # noqa: E402
from support.models import make_untrained_model  # noqa: E402
from support.paths import python_path  # noqa: E402
from support.trials import Outcome, table  # noqa: E402

Trial = Callable[[Path], Outcome]
SIGHTINGS_A_DAY = (0, 10, 600)


def main() -> int:
    """Run the trials; return 1 if anything was lost."""
    arguments = _arguments()
    logging.getLogger("hivewatch").setLevel(logging.CRITICAL)  # errors are expected here
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="hivewatch-faults-") as directory:
        model = make_untrained_model(Path(directory) / "untrained.pt")
        for number, (name, trial) in enumerate(_trials(model, quick=arguments.quick).items()):
            if re.search(arguments.only, name):
                print(f"{name} ...", file=sys.stderr, flush=True)
                outcomes.append(_outcome(name, trial, Path(directory) / f"{number:02}"))
        print(table(outcomes))
        if re.search(arguments.only, "writes"):
            print(_writes_table(Path(directory), (0, 10) if arguments.quick else SIGHTINGS_A_DAY))
    return 0 if all(outcome.survived for outcome in outcomes) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/faults", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short run of a few minutes")
    parser.add_argument("--only", default="", metavar="REGEX", help="only faults whose names match")
    return parser.parse_args()


def _trials(model: Path, *, quick: bool) -> dict[str, Trial]:
    """Return the trials by name."""

    def times(long: int, short: int) -> int:
        return short if quick else long

    return {
        "kills": partial(kill_trials.kill_replays, model=model, runs=times(200, 10)),
        "broker absent": partial(broker_trials.absent_at_first, visits=times(300, 20)),
        "broker killed": partial(broker_trials.killed_before_acknowledging, rounds=times(20, 2)),
        "broker restarting": partial(
            broker_trials.restarting, restarts=times(10, 2), every_s=3.0 if not quick else 1.0
        ),
        "broker refusing": partial(broker_trials.refusing, visits=times(50, 3)),
        "broker slow": partial(broker_trials.slow, visits=times(40, 8), bytes_per_s=100_000),
        "broker silent": partial(broker_trials.never_acknowledging, visits=times(50, 3)),
        "broker hostile": partial(broker_trials.sending_garbage, visits=times(200, 20)),
        "broker limited 3.1.1": partial(broker_trials.too_large, visits=times(40, 6), version="3.1.1"),
        "broker limited 5": partial(broker_trials.too_large, visits=times(40, 6), version=5),
        "broker shared id": partial(broker_trials.one_client_id, visits=times(200, 20)),
        "broker out of disk": partial(_broker_out_of_disk, visits=times(500, 20)),
        "disk full": partial(disk_trials.filled_up, visits=times(1000, 300)),
        "disk worn out": partial(disk_trials.worn_out, rounds=times(20, 2)),
        "disk removed": partial(disk_trials.removed, rounds=times(20, 2)),
        "sightings removed": partial(disk_trials.many_removed, sightings=times(40_000, 2000)),
        "salvage killed": partial(salvage_trials.killed_salvages, runs=times(100, 10)),
        "database damaged": partial(salvage_trials.damaged_databases, count=times(211, 20)),
        **{
            f"camera {fault.name}": partial(
                camera_trials.camera_fault, model=model, fault=fault, runs=times(10, 1)
            )
            for fault in camera_trials.FAULTS
        },
        "clock in 1970": partial(clock_trials.boot_in_1970, model=model, visits=times(8, 2), wait_s=30),
        "clock ahead": partial(clock_trials.jump_during_a_sighting, model=model, jump_s=clock_trials.YEAR_S),
        "clock back": partial(clock_trials.jump_during_a_sighting, model=model, jump_s=-7200),
        # Both are a day: the rate follows from the number of frames.
        "soak": partial(
            soak_trials.soak, model=model, frames=times(200_000, 8640), rate_hz=times(200_000, 8640) / 86_400
        ),
        "fuzz pictures": partial(fuzz_trials.fuzz_pictures, count=times(8000, 300)),
        "fuzz clips": partial(fuzz_trials.fuzz_clips, count=times(1000, 30)),
        "fuzz replay": partial(fuzz_trials.fuzz_replay, model=model, count=times(1000, 60)),
        "preview slow clients": lambda _directory: trust_trials.slow_clients(times(200, 20)),
        "hostile models": partial(trust_trials.hostile_models, model=model),
        "fuzz configurations": partial(fuzz_trials.fuzz_configurations, count=times(1000, 50)),
    }


def _outcome(name: str, trial: Trial, directory: Path) -> Outcome:
    """Return the outcome of ``trial``; an exception becomes an outcome too."""
    try:
        return trial(directory)
    except disks.NoDiskError as error:
        return Outcome(name, note=f"skipped: {error}")
    except Exception as error:  # noqa: BLE001  the other trials must still run
        return Outcome(name, problems=[f"raised {error!r}"])


def _broker_out_of_disk(directory: Path, visits: int) -> Outcome:
    directory.mkdir()
    with disks.full_disk(directory / "disk", largest_mb=1) as full:
        return broker_trials.full_disk_of_the_broker(directory / "trial", visits, full)


def _writes_table(directory: Path, days: tuple[int, ...]) -> str:
    """Return a table of what days with so many sightings write to disk."""
    head = f"{'sightings/day':>15} {'written/hour':>16} {'of that pictures':>17} {'syncs/hour':>14}"
    lines = ["", head, "-" * len(head)]
    for sightings in days:
        write_bytes, picture_bytes, syncs = _write_day(directory / f"day-{sightings}", sightings)
        mb_an_hour = [f"{size / 24e6:.2f} MB" for size in (write_bytes, picture_bytes)]
        lines.append(f"{sightings:>15} {mb_an_hour[0]:>16} {mb_an_hour[1]:>17} {syncs / 24:>14.1f}")
    return "\n".join(lines)


def _write_day(directory: Path, sightings: int) -> tuple[int, int, int]:
    directory.mkdir()
    counts = directory / "counts"
    with _broker(directory) as broker:
        day = [sys.executable, str(SUPPORT / "write_day.py"), str(directory / "store"), str(broker.port)]
        strace = shutil.which("strace") or "strace"
        command = [strace, "-f", "-c", "-e", "trace=fsync,fdatasync", "-o", str(counts), *day, str(sightings)]
        environment = os.environ | {"PYTHONPATH": python_path()}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    written = json.loads(done.stdout)
    rows = [line.split() for line in counts.read_text().splitlines()]
    syncs = sum(int(row[3]) for row in rows if row and row[-1] in {"fsync", "fdatasync"})
    return written["write_bytes"], written["picture_bytes"], syncs


@contextlib.contextmanager
def _broker(directory: Path) -> Iterator[Broker]:
    broker = Broker(directory).start()
    try:
        yield broker
    finally:
        broker.kill()


if __name__ == "__main__":
    sys.exit(main())
