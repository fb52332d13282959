"""Trials in which the disk fills up, wears out or is removed while sightings are recorded."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from hivewatch.config.sections import OutboxConfig, StoreConfig
from hivewatch.errors import StoreError
from hivewatch.store import Store
from support.disks import card, fill, small_disk, wear_out
from support.trials import Outcome, compare, event_key, timed
from support.visits import make_visit

# A clean and an annotated picture of this width have about 50 kB together.
WIDTH_PX = 1600
FILLED_AFTER = 200


def filled_up(directory: Path, visits: int) -> Outcome:
    """Fill the disk to its last byte; from then on the oldest pictures make room for new ones."""
    directory.mkdir()
    with (
        timed(Outcome("disk filled to the last byte", visits)) as outcome,
        small_disk(directory / "disk", 24) as disk,
    ):
        recorded: list[str] = []
        with Store(disk / "store") as store:
            for number in range(visits):
                recorded.append(_record(store, number))
                if number == FILLED_AFTER:
                    fill(disk)
        with Store(disk / "store") as store:
            _compare(outcome, store, recorded)
            bare = sum(sighting.annotated_path is None for sighting in store.sightings(visits))
        outcome.note = f"{visits - bare} of {visits} pictures kept"
    return outcome


def worn_out(directory: Path, rounds: int) -> Outcome:
    """Turn the card read-only while it is in use, and copy its contents to another one."""
    return _interrupted("card that turns read-only", directory, rounds, lambda store: wear_out(store.parent))


def removed(directory: Path, rounds: int) -> Outcome:
    """Move the directory away, and later back."""

    def take_away(store: Path) -> None:
        store.rename(store.with_name("elsewhere"))

    def put_back(store: Path) -> None:
        shutil.rmtree(store, ignore_errors=True)
        store.with_name("elsewhere").rename(store)

    return _interrupted("directory removed under the store", directory, rounds, take_away, put_back)


def many_removed(directory: Path, sightings: int) -> Outcome:
    """Exceed store.largest_mb by many sightings; how long do frames and watchdog wait at the longest?"""
    directory.mkdir()
    _make_old_sightings(directory / "store", sightings)
    longest_s = 0.0
    with (
        timed(Outcome("removal of many old sightings", sightings)) as outcome,
        Store(directory / "store") as store,
    ):
        while not longest_s or store.exceeds_bounds:
            start_s = time.monotonic()
            store.keep_in_bounds(StoreConfig(largest_mb=1, least_free_mb=1e-6), OutboxConfig(), None)
            longest_s = max(longest_s, time.monotonic() - start_s)
        if left := store.sightings(10):
            outcome.problems.append(f"not removed: {left}")
    outcome.note = f"longest pause {longest_s:.2f} s"
    return outcome


def _make_old_sightings(store: Path, count: int) -> None:
    """Make a store with sent sightings; their pictures are small, but count as much as real ones."""
    with Store(store) as opened:
        sighting, alert = make_visit(0)
        opened.record(sighting, alert, queue=False)
    with closing(sqlite3.connect(store / "hivewatch.db")) as database, database:
        (document,) = database.execute("SELECT document FROM sightings").fetchone()
        for number in range(count):
            name, picture = f"old{number}", f"snapshots/2026-01-{number // 2000 + 1:02}/120000Z-old{number}-1"
            (store / picture).parent.mkdir(exist_ok=True)
            for suffix in (".jpg", "-annotated.jpg"):
                (store / f"{picture}{suffix}").write_bytes(b"x")
            database.execute(
                "INSERT INTO sightings SELECT ?, phase, started_at, last_seen_at, ended_at, best_score, ?,"
                " revision, ?, picture_sha256, 400000, NULL FROM sightings WHERE id = ?",
                (name, document.replace(sighting.id, name), picture, sighting.id),
            )


def _interrupted(
    fault: str,
    directory: Path,
    rounds: int,
    break_store: Callable[[Path], None],
    repair: Callable[[Path], None] = lambda _: None,
) -> Outcome:
    """Record until the fault, which must raise StoreError; then check that nothing recorded is lost."""
    directory.mkdir()
    outcome = Outcome(fault, rounds)
    with timed(outcome):
        for round_ in range(rounds):
            with card(directory / f"card-{round_}") as disk:
                with Store(disk / "store") as store:
                    recorded = [_record(store, number) for number in range(5)]
                    break_store(disk / "store")
                    try:
                        _record(store, 5)
                        outcome.problems.append("the fault was not reported")
                    except StoreError:
                        pass
                repair(disk / "store")
                shutil.copytree(disk / "store", directory / f"copy-{round_}")
            with Store(directory / f"copy-{round_}") as store:
                _compare(outcome, store, recorded)
    return outcome


def _record(store: Store, number: int) -> str:
    sighting, alert = make_visit(number, width_px=WIDTH_PX)
    store.record(sighting, alert)
    return event_key(alert.event.payload)


def _compare(outcome: Outcome, store: Store, recorded: list[str]) -> None:
    waiting = [entry.message for entry in store.pending(100_000)]
    events = [event_key(message.payload) for message in waiting if message.topic.endswith("/event")]
    compare(outcome, recorded, events)
    store.check_integrity()
