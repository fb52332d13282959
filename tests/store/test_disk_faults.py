"""The store on real disks that fill up, turn read-only, or are removed while in use."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import sqlite3
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from support.disks import card, fill, ordinary_user, small_disk, wear_out
from support.fakes import MODEL, make_frame, make_pixels
from support.visits import HIVE, TOPICS, make_visit, record_visits

from hivewatch.config.sections import Config, MqttConfig, OutboxConfig, StoreConfig
from hivewatch.daemon.recorder import Recorder
from hivewatch.domain.sightings import Phase
from hivewatch.domain.wire import Message
from hivewatch.errors import DiskFullError, StoreError
from hivewatch.messages.alert import backlog_message, interrupted_end
from hivewatch.mqtt.publisher import Publisher
from hivewatch.store import Store
from hivewatch.system.stopwatch import Stopwatch

# 40 visits with pictures of this width have about 2 MB.
WIDTH_PX = 1600
# SQLite cannot open a database in WAL mode with less free space than its shared-memory file has.
SHARED_MEMORY_BYTES = 32 * 1024


def unsent_ids(store: Store) -> list[str]:
    """Return the ids of the sightings whose events wait, in order."""
    waiting = [entry.message for entry in store.pending(1000)]
    return [json.loads(m.payload)["sighting_id"] for m in waiting if m.topic.endswith("/event")]


def names(count: int, first: int = 0) -> list[str]:
    """Return the ids of the visits from ``first`` to before ``count``."""
    return [f"v{number:03}" for number in range(first, count)]


def test_on_a_full_disk_new_sightings_replace_the_oldest_sent_ones(
    tmp_path: Path,
) -> None:
    """Unsent sightings are kept as long as there are sent ones to remove."""
    with small_disk(tmp_path / "disk", 6) as disk, Store(disk / "store") as store:
        record_visits(store, range(20), sent=True, width_px=WIDTH_PX)
        record_visits(store, range(20, 22), width_px=WIDTH_PX)
        fill(disk)
        record_visits(store, range(22, 30), width_px=WIDTH_PX)
        assert unsent_ids(store) == names(30, 20)
        left = store.sightings(100)
        assert [stored.id for stored in left[:10]] == names(30, 20)[::-1]
        assert all(stored.annotated_path and stored.annotated_path.exists() for stored in left[:10])
        store.check_integrity()


def test_if_nothing_was_sent_the_oldest_pictures_are_dropped_but_no_event(tmp_path: Path) -> None:
    """The dropped pictures are counted and reported."""
    with small_disk(tmp_path / "disk", 6) as disk, Store(disk / "store") as store:
        record_visits(store, range(20), width_px=WIDTH_PX)
        fill(disk)
        record_visits(store, range(20, 40), width_px=WIDTH_PX)
        assert unsent_ids(store) == names(40)
        dropped = store.keep_in_bounds(StoreConfig(least_free_mb=1e-6), OutboxConfig(), None)
        assert dropped is not None
        bare = [stored.id for stored in store.sightings(100) if stored.annotated_path is None]
        assert sorted(bare) == names(dropped.pictures)
        assert [stored.id for stored in store.sightings(5)] == names(40, 35)[::-1]
        store.queue_backlog(dropped, backlog_message(dropped, TOPICS))
        assert store.pending(1)[0].message.topic == "hw/h1/backlog"


def test_a_sighting_is_stored_without_its_picture_if_there_is_no_room_for_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The event has no picture; the log says why."""
    caplog.set_level(logging.ERROR)
    config = Config(hive=HIVE, mqtt=MqttConfig(base_topic="hw"))
    with small_disk(tmp_path / "disk", 2) as disk, Store(disk / "store") as store:
        publisher = Publisher(config.mqtt, store, "never started")
        recorder = Recorder(config, MODEL, store, publisher, Stopwatch())
        large = make_frame(make_pixels(3000, 3000))
        sighting = replace(make_visit(0)[0], best_frame=large)
        recorder.record(sighting)
        (stored,) = store.sightings(10)
        (entry,) = store.pending(10)
    document = json.loads(entry.message.payload)
    assert (stored.annotated_path, document["snapshot"]) == (None, None)
    assert stored.document == entry.message.payload.decode()
    assert "sighting v000 is stored without its picture" in caplog.text


def test_room_is_made_for_messages_end_events_and_state_too(tmp_path: Path) -> None:
    """None of them fails for lack of a few kilobytes."""
    with small_disk(tmp_path / "disk", 3) as disk, Store(disk / "store") as store:
        record_visits(store, range(5), sent=True, width_px=WIDTH_PX)
        store.record(*make_visit(5, Phase.START))
        fill(disk)
        (interrupted,) = store.interrupted()
        assert interrupted.document is not None
        store.queue(Message("hw/h1/summary", bytes(100_000), retained=True))
        store.end(interrupted.id, interrupted_end(interrupted.document, TOPICS))
        store.remember("announced-topics", "x" * 100_000)
        assert store.interrupted() == []
        assert store.recall("announced-topics") == "x" * 100_000
        assert len(store.sightings(10)) < 6, "the oldest must be removed"
        assert store.outbox_depth() == 4


def test_a_store_of_0_3_is_upgraded_on_an_almost_full_disk(tmp_path: Path) -> None:
    """There is room to open the database, but not for the new table until the oldest pictures are removed."""
    with small_disk(tmp_path / "disk", 3) as disk:
        with Store(disk / "store") as store:
            record_visits(store, range(30), sent=True, width_px=WIDTH_PX)
            record_visits(store, [30])
        with contextlib.closing(sqlite3.connect(disk / "store" / "hivewatch.db")) as connection:
            connection.execute("DROP TABLE state")
        (disk / "store" / "threshold").write_text("0.875\n")
        ballast = fill(disk)
        os.truncate(ballast, ballast.stat().st_size - SHARED_MEMORY_BYTES)
        with Store(disk / "store") as store:
            assert store.recall("threshold") == "0.875"
            assert unsent_ids(store) == ["v030"]
            assert 1 < len(store.sightings(100)) < 31


def test_a_full_disk_on_which_an_old_database_cannot_be_salvaged_keeps_no_watch_from_starting(
    tmp_path: Path,
) -> None:
    """What 0.3 moved aside and never copied waits until there is room; nothing of it is lost."""
    with small_disk(tmp_path / "disk", 3) as disk:
        with Store(disk / "old") as store:
            record_visits(store, range(100), width_px=8)
            expected = unsent_ids(store)
        with Store(disk / "store") as store:
            record_visits(store, [200])
            expected += unsent_ids(store)
        aside = disk / "store" / "hivewatch.db.damaged-20261001T080000Z"
        (disk / "old" / "hivewatch.db").rename(aside)
        ballast = fill(disk)
        os.truncate(ballast, ballast.stat().st_size - SHARED_MEMORY_BYTES - 4096)
        with Store(disk / "store") as store:
            assert unsent_ids(store) == ["v200"]
        ballast.unlink()
        with Store(disk / "store") as store:
            assert unsent_ids(store) == expected


def test_if_other_files_fill_the_disk_the_error_says_so_and_earlier_records_are_intact(
    tmp_path: Path,
) -> None:
    """With nothing of its own left to remove, the store raises, and the daemon exits with an error."""
    with small_disk(tmp_path / "disk", 2) as disk:
        with Store(disk / "store") as store:
            for number in range(3):
                sighting, alert = make_visit(number)
                store.record(sighting, replace(alert, snapshot=None, clean_jpeg=None))
            ballast = fill(disk)
            with pytest.raises(DiskFullError, match="the disk is full: free some space"):
                for number in range(3, 1000):
                    store.record(*make_visit(number))
            recorded = [stored.id for stored in store.sightings(1000)]
        ballast.unlink()
        with Store(disk / "store") as store:
            assert [stored.id for stored in store.sightings(1000)] == recorded
            assert sorted(unsent_ids(store)) == sorted(recorded)
            record_visits(store, [1000])


def test_a_card_that_turns_read_only_raises_an_error_and_loses_nothing(tmp_path: Path) -> None:
    """Worn-out cards do so; earlier records are there when the card can be read again."""
    with card(tmp_path / "card") as disk:
        with Store(disk / "store") as store:
            record_visits(store, range(3))
            wear_out(disk)
            with pytest.raises(StoreError, match=r"the file system is read-only|cannot be written"):
                record_visits(store, [3])
            assert [stored.id for stored in store.sightings(10)] == names(3)[::-1]
        with pytest.raises(StoreError, match=r"read-only|cannot be written"):
            Store(disk / "store")
        copy = tmp_path / "copy"
        shutil.copytree(disk / "store", copy)
    with Store(copy) as store:
        assert unsent_ids(store) == names(3)
        record_visits(store, [3])


def test_losing_permission_while_running_raises_an_error_and_loses_nothing() -> None:
    """Everything is there once the permission is restored."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o777)
        with ordinary_user(), Store(directory / "store") as store:
            record_visits(store, range(3))
            (directory / "store" / "snapshots").chmod(0o555)
            day = directory / "store" / "snapshots" / "2026-09-14"
            day.chmod(0o555)
            with pytest.raises(StoreError, match="permission denied: give the directory"):
                record_visits(store, [3])
            day.chmod(0o755)
            record_visits(store, [3])
            assert unsent_ids(store) == names(4)


@pytest.mark.parametrize("phase", [Phase.START, Phase.END])
def test_a_store_removed_while_in_use_is_detected_at_the_next_record(tmp_path: Path, phase: Phase) -> None:
    """SQLite alone would write to the deleted file without an error, and everything would be lost."""
    with Store(tmp_path / "store") as store:
        record_visits(store, [0])
        shutil.rmtree(tmp_path / "store")
        with pytest.raises(StoreError, match="a file or directory has vanished"):
            store.record(*make_visit(0, phase))
    with Store(tmp_path / "store") as store:
        record_visits(store, [1])


def test_a_store_removed_while_idle_is_detected_by_the_next_check(tmp_path: Path) -> None:
    """The error does not wait for the next hornet."""
    with Store(tmp_path / "store") as store:
        shutil.rmtree(tmp_path / "store")
        with pytest.raises(StoreError, match="a file or directory has vanished"):
            store.keep_in_bounds(StoreConfig(), OutboxConfig(), None)
