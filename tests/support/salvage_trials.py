"""Trials with damaged databases: what is salvaged from them, and what an interruption of that loses."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import statistics
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from hivewatch.config.sections import OutboxConfig, StoreConfig
from hivewatch.domain.sightings import Phase
from hivewatch.errors import HivewatchError
from hivewatch.store import Store
from support.fakes import NOON
from support.paths import SUPPORT, python_path
from support.trials import Outcome, compare, event_key, timed
from support.visits import make_visit

PAGE_BYTES = 4096
# Files of 0.4 MB, of which each page holds a few rows.
VISITS = 73


def killed_salvages(directory: Path, runs: int, seed: int = 1) -> Outcome:
    """Kill salvages of a database with a damaged index, whose rows can all be read; then open each again."""
    directory.mkdir()
    expected = make_store(directory / "store")
    spoil_index(directory / "store" / "hivewatch.db")
    with timed(Outcome("kill -9 at a random instant of a salvage", runs)) as outcome:
        script = [sys.executable, str(SUPPORT / "kill_salvage.py")]
        arguments = [str(runs), str(seed), str(directory / "store"), str(directory / "copies")]
        environment = os.environ | {"PYTHONPATH": python_path()}
        done = subprocess.run([*script, *arguments], env=environment, stdout=subprocess.PIPE, check=True)
        for run in range(runs):
            with Store(directory / "copies" / f"{run:03}") as store:
                compare(outcome, expected, waiting_events(store))
        outcome.note = f"{int(done.stdout)} openings killed, {runs * len(expected)} events"
    return outcome


def damaged_databases(directory: Path, count: int, seed: int = 1) -> Outcome:
    """Damage databases as bad cards do; each must open, lose nothing silently, and work."""
    directory.mkdir()
    expected = make_store(directory / "store")
    rng = random.Random(seed)
    lost: list[tuple[int, int]] = []
    with timed(Outcome("damaged databases", count)) as outcome:
        for number in range(count):
            copy = directory / f"copy-{number}"
            shutil.copytree(directory / "store", copy)
            name = spoil_at_random(copy / "hivewatch.db", rng)
            try:
                events, visits, is_told = _missing(copy, expected)
            except (HivewatchError, sqlite3.Error, ValueError, LookupError, TypeError) as error:
                outcome.problems.append(f"{name} ({number}): {error!r}")
                continue
            finally:
                shutil.rmtree(copy)
            if events and not is_told:
                outcome.problems.append(f"{name} ({number}): {events} events lost without a word")
            if is_told:
                lost.append((events, visits))
        outcome.note = _summary(lost, len(expected))
    return outcome


def make_store(directory: Path, visits: int = VISITS) -> list[str]:
    """Make a store whose messages are all unsent; return the keys of its events in order."""
    with Store(directory) as store:
        for number in range(visits):
            for phase in (Phase.START, Phase.UPDATE, Phase.END):
                store.record(*make_visit(number, phase))
        store.remember("threshold", "0.875")
        return waiting_events(store)


def waiting_events(store: Store) -> list[str]:
    """Return the keys of the unsent events in order."""
    waiting = [entry.message for entry in store.pending(100_000)]
    return [event_key(message.payload) for message in waiting if message.topic.endswith("/event")]


def spoil_index(database: Path) -> None:
    """Overwrite the first page of an index."""
    with closing(sqlite3.connect(database)) as connection:
        (page,) = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'sightings_by_time'"
        ).fetchone()
    with database.open("r+b") as file:
        file.seek((page - 1) * PAGE_BYTES)
        file.write(b"\xa5" * 64)


def spoil_at_random(database: Path, rng: random.Random) -> str:
    """Damage a database in one of the ways that cards do; return which."""
    name = rng.choice(list(_DAMAGES))
    data = bytearray(database.read_bytes())
    _DAMAGES[name](data, rng)
    database.write_bytes(data)
    return name


def _zero_pages(data: bytearray, rng: random.Random, most: int = 1) -> None:
    first, pages = rng.randrange(len(data) // PAGE_BYTES), rng.randint(1, most)
    part = slice(first * PAGE_BYTES, min(len(data), (first + pages) * PAGE_BYTES))
    data[part] = bytes(part.stop - part.start)


def _scramble_page(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data) // PAGE_BYTES) * PAGE_BYTES
    data[start : start + PAGE_BYTES] = rng.randbytes(PAGE_BYTES)


def _overwrite_bytes(data: bytearray, rng: random.Random, most: int = 1, before: int | None = None) -> None:
    for _ in range(rng.randint(1, most)):
        data[rng.randrange(before or len(data))] = rng.randrange(256)


def _flip_bit(data: bytearray, rng: random.Random) -> None:
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _cut_short(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data)) :]


_DAMAGES: dict[str, Callable[[bytearray, random.Random], None]] = {
    "page of zeros": _zero_pages,
    "pages of zeros": lambda data, rng: _zero_pages(data, rng, 12),
    "page of noise": _scramble_page,
    "flipped bit": _flip_bit,
    "wrong bytes": lambda data, rng: _overwrite_bytes(data, rng, 4),
    "wrong bytes in the header": lambda data, rng: _overwrite_bytes(data, rng, 8, 100),
    "cut short": _cut_short,
}


def _missing(directory: Path, expected: list[str]) -> tuple[int, int, bool]:
    """Use the store as the daemon does; return how many events and how many whole visits are missing.

    The last value is whether the store tells of the damage.
    """
    with Store(directory) as store:
        store.keep_in_bounds(StoreConfig(least_free_mb=1e-6), OutboxConfig(), NOON + timedelta(days=1))
        store.interrupted()
        store.sightings(1000)
        found = waiting_events(store)
        events, visits = set(expected) - set(found), _visits(expected) - _visits(found)
        return len(events), len(visits), store.status().set_aside is not None


def _visits(events: list[str]) -> set[str]:
    return {event.split()[0] for event in events}


def _summary(lost: list[tuple[int, int]], events: int) -> str:
    if not lost:
        return "no damage found"
    of_events, of_visits = ([damaged[kind] for damaged in lost] for kind in (0, 1))
    return (
        f"{len(lost)} salvaged: {of_events.count(0)} lost no event, {of_visits.count(0)} no visit;"
        f" median lost {statistics.median(of_events):g} of {events} events"
    )
