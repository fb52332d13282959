"""The store on a real disk: records are kept intact, and failed writes leave nothing behind."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import re
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.brokers import wait_until
from support.disks import ordinary_user
from support.fakes import MODEL, make_frame, make_pixels, make_prediction, make_sighting
from support.paths import PROJECT, SUPPORT, python_path

from hivewatch.domain.sightings import Phase, Sighting
from hivewatch.domain.wire import Alert, Message
from hivewatch.errors import DiskFullError, StoreError
from hivewatch.messages.alert import compose
from hivewatch.messages.topics import HiveTopics
from hivewatch.store import Store, database, outbox

JPEG_END = b"\xff\xd9"
TOPICS = HiveTopics("hive1", "Hive 1", "hw")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    with Store(tmp_path / "store") as store:
        yield store


def make_event(id_: str = "v1", phase: Phase = Phase.START, seed: int = 0) -> tuple[Sighting, Alert]:
    """Return an event and its alert; ``seed`` chooses the picture."""
    sighting = make_sighting(id_, phase, make_frame(make_pixels(seed=seed)), make_prediction())
    return sighting, compose(sighting, TOPICS, MODEL, 80)


def picture_of(alert: Alert) -> bytes:
    """Return the annotated picture of an alert."""
    assert alert.snapshot is not None
    return alert.snapshot.payload


def files_in(store: Store) -> set[Path]:
    """Return all files under the snapshots folder."""
    return {path for path in (store.directory / "snapshots").rglob("*") if path.is_file()}


def payloads(store: Store) -> list[bytes]:
    """Return the payloads of the outbox, in order."""
    return [entry.message.payload for entry in store.pending(1000)]


def test_record_keeps_both_pictures_and_the_document(store: Store) -> None:
    """The stored sighting has the JPEGs, byte for byte, and the event's document."""
    sighting, alert = make_event()
    store.record(sighting, alert)
    (stored,) = store.sightings(10)
    assert stored.clean_path.read_bytes() == alert.clean_jpeg
    assert stored.annotated_path.read_bytes() == alert.snapshot.payload
    assert stored.document.encode() == alert.event.payload
    assert (stored.id, stored.phase, stored.started_at) == ("v1", Phase.START, sighting.started_at)
    assert stored.ended_at is None
    assert (
        stored.clean_path.relative_to(store.directory).as_posix() == "snapshots/2026-09-14/120000Z-v1-1.jpg"
    )


def test_all_events_are_sent_before_all_pictures(store: Store) -> None:
    """Small and important messages first: events in their order, then pictures in theirs."""
    alerts = []
    for number in range(3):
        sighting, alert = make_event(f"v{number}", seed=number)
        store.record(sighting, alert)
        alerts.append(alert)
    store.queue(Message("hw/h1/summary", b"{}", retained=True))
    events, pictures = [a.event for a in alerts], [a.snapshot for a in alerts]
    waiting = [entry.message for entry in store.pending(100)]
    assert waiting == [*events, Message("hw/h1/summary", b"{}", retained=True), *pictures]


def test_outbox_holds_event_then_snapshot_until_marked(store: Store) -> None:
    """Messages are returned unchanged and in order, and are removed one by one."""
    sighting, alert = make_event()
    store.record(sighting, alert)
    event, snapshot = store.pending(10)
    assert (event.message, snapshot.message) == (alert.event, alert.snapshot)
    store.mark_sent(event.id)
    assert store.pending(10) == [snapshot]
    store.mark_sent(snapshot.id)
    assert store.outbox_depth() == 0


def test_outbox_and_records_survive_reopening(tmp_path: Path) -> None:
    """Messages and sightings are there after the store was closed."""
    sighting, alert = make_event()
    with Store(tmp_path) as store:
        store.record(sighting, alert)
    with Store(tmp_path) as store:
        assert payloads(store) == [alert.event.payload, alert.snapshot.payload]
        assert [stored.id for stored in store.sightings(10)] == ["v1"]


def test_update_replaces_pictures_on_disk_and_in_the_outbox(store: Store) -> None:
    """Only the newest snapshot of a visit is sent and kept; no event is dropped."""
    first, second = make_event(seed=0), make_event("v1", Phase.UPDATE, seed=1)
    store.record(*first)
    store.record(*second)
    assert payloads(store) == [first[1].event.payload, second[1].event.payload, second[1].snapshot.payload]
    (stored,) = store.sightings(10)
    assert files_in(store) == {stored.clean_path, stored.annotated_path}
    assert stored.annotated_path.read_bytes() == second[1].snapshot.payload


def test_acknowledging_a_picture_that_was_replaced_removes_nothing_else(store: Store) -> None:
    """An update can replace a picture that is in flight."""
    store.record(*make_event(seed=0))
    in_flight = store.pending(2)[1]
    update = make_event("v1", Phase.UPDATE, seed=1)
    store.record(*update)
    store.mark_sent(in_flight.id)
    assert payloads(store)[-1] == update[1].snapshot.payload


def test_each_visit_has_its_own_picture_in_the_outbox(store: Store) -> None:
    """Another visit replaces none."""
    one, two = make_event("v1", seed=0), make_event("v2", seed=1)
    store.record(*one)
    store.record(*two)
    assert [p for p in payloads(store) if p.startswith(b"\xff\xd8")] == [
        e[1].snapshot.payload for e in (one, two)
    ]


def test_end_with_the_same_picture_writes_and_sends_it_once(store: Store) -> None:
    """An end event whose best frame was recorded before adds a document and no picture."""
    start, end = make_event(), make_event("v1", Phase.END)
    store.record(*start)
    before = files_in(store)
    store.record(*end)
    assert files_in(store) == before
    assert payloads(store) == [start[1].event.payload, end[1].event.payload, picture_of(start[1])]
    (stored,) = store.sightings(10)
    assert (stored.phase, stored.ended_at) == (Phase.END, end[0].at)


def test_the_queued_picture_has_the_hash_in_the_newest_document(store: Store) -> None:
    """They match whatever updates came in between."""
    for seed, phase in enumerate((Phase.START, Phase.UPDATE, Phase.UPDATE, Phase.END)):
        store.record(*make_event("v1", phase, seed))
    *events, picture = payloads(store)
    assert json.loads(events[-1])["snapshot"]["sha256"] == hashlib.sha256(picture).hexdigest()


def test_record_without_queue_leaves_the_outbox_empty(store: Store) -> None:
    """Without a broker no messages pile up."""
    store.record(*make_event(), queue=False)
    assert store.outbox_depth() == 0
    assert len(store.sightings(10)) == 1


def test_sightings_come_newest_first_and_limited(store: Store) -> None:
    """The list starts with the latest visit."""
    for number in range(3):
        sighting = make_sighting(f"v{number}", frame=make_frame(at_s=60.0 * number))
        later = Sighting(
            **{name: getattr(sighting, name) for name in sighting.__slots__}
            | {"started_at": sighting.best_frame.taken_at}
        )
        store.record(later, compose(later, TOPICS, MODEL, 80))
    assert [stored.id for stored in store.sightings(2)] == ["v2", "v1"]


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"not this")])
def test_picture_lost_from_disk_does_not_block_the_outbox(
    store: Store, damage: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    """A missing or damaged picture is logged, counted and dropped; the other messages are sent."""
    store.record(*make_event("v1", seed=0))
    (damaged,) = store.sightings(1)
    assert damaged.annotated_path is not None
    damage(damaged.annotated_path)
    other = make_event("v2", seed=1)
    store.record(*other)
    for event in store.pending(2):
        store.mark_sent(event.id)
    assert store.pending(1)[0].message == other[1].snapshot
    assert store.status().pictures_lost == 1
    assert "v1-1-annotated.jpg is missing or damaged" in caplog.text


def test_a_picture_that_cannot_be_read_now_stays_in_the_outbox(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The other messages are sent meanwhile, and the picture once it can be read again."""
    monkeypatch.setattr(outbox, "RETRY_S", 0.5)
    store.record(*make_event("v1", seed=0))
    (stored,) = store.sightings(1)
    assert stored.annotated_path is not None
    away = stored.annotated_path.with_suffix(".away")
    stored.annotated_path.rename(away)
    stored.annotated_path.mkdir()  # reading it raises an OSError other than "no such file"
    other = make_event("v2", seed=1)
    store.record(*other)
    for event in store.pending(2):
        store.mark_sent(event.id)
    for _ in range(3):
        assert [entry.message for entry in store.pending(10)] == [other[1].snapshot]
    assert caplog.text.count("v1-1-annotated.jpg cannot be read now: it stays in the outbox") == 1
    stored.annotated_path.rmdir()
    away.rename(stored.annotated_path)
    wait_until(lambda: len(store.pending(10)) == 2, "both pictures", 30)
    assert store.status().pictures_lost == 0


def test_pictures_are_not_lost_while_the_whole_disk_is_away(store: Store) -> None:
    """The database stays open when a disk is unmounted, but every picture is missing."""
    store.record(*make_event("v1", seed=0))
    (event, _) = store.pending(2)
    store.mark_sent(event.id)
    store.directory.rename(store.directory.with_name("away"))
    assert store.pending(1) == []
    store.directory.with_name("away").rename(store.directory)
    assert store.status().pictures_lost == 0
    assert store.outbox_depth() == 1


def test_a_visit_waits_for_another_program_that_holds_the_database(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is lost, and the log says what happened."""
    other = sqlite3.connect(store.directory / "hivewatch.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(1.5, other.execute, ("ROLLBACK",))
    release.start()
    store.record(*make_event("v1"))
    release.join()
    other.close()
    assert [stored.id for stored in store.sightings(1)] == ["v1"]
    assert "another program held hivewatch.db" in caplog.text


def test_a_wait_for_another_program_ends_before_the_watchdog_does() -> None:
    """The error names the reason; a killed process could not."""
    unit = (PROJECT / "deploy" / "hivewatch.service").read_text()
    (watchdog_s,) = re.findall(r"^WatchdogSec=(\d+)$", unit, re.MULTILINE)
    assert 30 < database.BUSY_TIMEOUT_S < int(watchdog_s) - 5


def test_missing_directories_are_made(tmp_path: Path) -> None:
    """Parents too."""
    with Store(tmp_path / "a" / "b") as store:
        store.record(*make_event())


def test_second_process_is_refused(store: Store) -> None:
    """The error says how two daemons can run side by side."""
    with pytest.raises(StoreError, match=r"another hivewatch uses .*its own store\.directory"):
        Store(store.directory)


def test_lock_is_released_on_close(tmp_path: Path) -> None:
    """A closed store can be opened again, and closing twice is not an error."""
    store = Store(tmp_path)
    store.close()
    store.close()
    Store(tmp_path).close()


def test_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    """This version must not write to tables that it does not know."""
    Store(tmp_path).close()
    with contextlib.closing(sqlite3.connect(tmp_path / "hivewatch.db")) as connection:
        connection.execute("PRAGMA user_version = 99")
        connection.execute("CREATE TABLE weather (at TEXT)")
    with pytest.raises(StoreError, match=r"newer hivewatch \(version 99.*upgrade"):
        Store(tmp_path)


def test_refused_store_can_be_opened_after_repair(tmp_path: Path) -> None:
    """A failed start leaves no lock behind."""
    (tmp_path / "hivewatch.db").mkdir()
    with pytest.raises(StoreError):
        Store(tmp_path)
    (tmp_path / "hivewatch.db").rmdir()
    Store(tmp_path).close()


def test_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    """The error names the option to correct."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"correct store\.directory"):
        Store(tmp_path / "file" / "store")


def test_directory_without_permission_is_refused() -> None:
    """The error says to give the directory to the right user."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o555)
        with ordinary_user(), pytest.raises(StoreError, match=r"permission denied: give the directory"):
            Store(Path(name) / "store")
        Path(name).chmod(0o755)


@pytest.mark.parametrize("picture", ["120000Z-v2-1.jpg", "120000Z-v2-1-annotated.jpg"])
def test_full_disk_while_writing_a_picture_leaves_nothing_behind(store: Store, picture: str) -> None:
    """The error says that the disk is full; no file, row or message of the event is left."""
    folder = store.directory / "snapshots" / "2026-09-14"
    folder.mkdir()
    # /dev/full answers every write as a full disk does.
    (folder / f".{picture}.tmp").symlink_to("/dev/full")
    with pytest.raises(DiskFullError, match=r"cannot record sighting v2 in .*: the disk is full"):
        store.record(*make_event("v2"))
    assert files_in(store) == set()
    assert store.sightings(10) == []
    assert store.outbox_depth() == 0


def test_full_database_leaves_nothing_behind(store: Store) -> None:
    """SQLITE_FULL is the same error; every picture left has a record, and every event is queued."""
    store.record(*make_event("v1"))
    (pages,) = store._records.execute("PRAGMA page_count").fetchone()
    store._records.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match="the disk is full"):
        for number in range(100):
            store.record(*make_event(f"w{number}"), queue=True)
    recorded = store.sightings(200)
    assert files_in(store) <= {path for s in recorded for path in (s.clean_path, s.annotated_path) if path}
    events = [json.loads(payload) for payload in payloads(store) if payload.startswith(b"{")]
    assert {event["sighting_id"] for event in events} == {stored.id for stored in recorded}


def test_failed_update_keeps_the_earlier_picture(store: Store) -> None:
    """If an update cannot be written, record, picture and outbox stay as they were."""
    start = make_event("v1", seed=0)
    store.record(*start)
    (store.directory / "snapshots" / "2026-09-14" / ".120000Z-v1-2.jpg.tmp").symlink_to("/dev/full")
    with pytest.raises(StoreError):
        store.record(*make_event("v1", Phase.UPDATE, seed=1))
    assert payloads(store) == [start[1].event.payload, start[1].snapshot.payload]
    store.record(*make_event("v1", Phase.UPDATE, seed=1))
    assert store.outbox_depth() == 3


def test_leftover_temporary_files_are_removed_at_start(tmp_path: Path) -> None:
    """Files that a power cut left half-written are removed; whole pictures are kept."""
    folder = tmp_path / "snapshots" / "2026-09-14"
    folder.mkdir(parents=True)
    (folder / ".x.jpg.tmp").write_bytes(b"half")
    (folder / "y.jpg").write_bytes(b"whole")
    with Store(tmp_path) as store:
        assert {path.name for path in files_in(store)} == {"y.jpg"}


@pytest.mark.slow
def test_a_kill_at_any_instant_loses_nothing_that_was_recorded(tmp_path: Path) -> None:
    """Ten writers are killed while writing: all reported events are there, and every picture is whole."""
    dice = random.Random(1)
    reported: dict[str, str] = {}
    for run in range(10):
        reported |= kill_a_writer(
            tmp_path, f"r{run}n", lines=dice.randrange(1, 12), delay_s=dice.uniform(0, 0.02)
        )
    with Store(tmp_path) as store:
        stored = {sighting.id: sighting for sighting in store.sightings(10_000)}
        waiting = [json.loads(p) for p in payloads(store) if p.startswith(b"{")]
        assert store.status().pictures_lost == 0
        assert all(path.read_bytes().endswith(JPEG_END) for path in files_in(store))
    assert reported.keys() <= stored.keys()
    assert {(d["sighting_id"], d["event_type"]) for d in waiting} >= set(reported.items())
    for sighting in stored.values():
        if sighting.document is None:  # pictures whose event had not been committed yet
            assert sighting.id not in reported
            continue
        assert sighting.annotated_path is not None
        annotated = sighting.annotated_path.read_bytes()
        assert json.loads(sighting.document)["snapshot"]["sha256"] == hashlib.sha256(annotated).hexdigest()
        assert sighting.clean_path is not None
        assert sighting.clean_path.exists()


def kill_a_writer(directory: Path, prefix: str, lines: int, delay_s: float) -> dict[str, str]:
    """Kill a writer ``delay_s`` after it has reported ``lines`` events; return all that it reported."""
    script = SUPPORT / "endless_writer.py"
    command = [sys.executable, str(script), str(directory), prefix]
    with subprocess.Popen(
        command, env=os.environ | {"PYTHONPATH": python_path()}, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        events = [writer.stdout.readline() for _ in range(lines)]
        time.sleep(delay_s)  # the writer must be killed at an arbitrary instant
        writer.kill()
        events += [line for line in writer.stdout if line.endswith("\n")]
    return {id_: phase.strip() for id_, _, phase in (line.partition(" ") for line in events)}
