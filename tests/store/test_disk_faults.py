"""Real disks that fill up, turn read-only, or are taken away under the store."""

from __future__ import annotations

import json
import logging
import shutil
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

# As long as they are, 40 visits of these come to 2 MB.
WIDTH_PX = 1600


def unsent_ids(store: Store) -> list[str]:
    """Return the sightings whose events wait, in order."""
    waiting = [entry.message for entry in store.pending(1000)]
    return [json.loads(m.payload)["sighting_id"] for m in waiting if m.topic.endswith("/event")]


def names(count: int, first: int = 0) -> list[str]:
    """Return the ids of so many visits."""
    return [f"v{number:03}" for number in range(first, count)]


def test_on_a_disk_full_to_the_last_byte_new_sightings_replace_the_oldest_sent_pictures(
    tmp_path: Path,
) -> None:
    """Nothing unsent is touched as long as there is anything else."""
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


def test_when_all_is_unsent_the_oldest_pictures_go_and_no_event(tmp_path: Path) -> None:
    """What is dropped is counted, to be told."""
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
        store.tell(dropped, backlog_message(dropped, TOPICS))
        assert store.pending(1)[0].message.topic == "hw/h1/backlog"


def test_without_room_for_its_picture_a_sighting_is_kept_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The event says that there is no picture; the log says why."""
    caplog.set_level(logging.ERROR)
    config = Config(hive=HIVE, mqtt=MqttConfig(base_topic="hw"))
    with small_disk(tmp_path / "disk", 2) as disk, Store(disk / "store") as store:
        publisher = Publisher(config.mqtt, store, "never started")
        recorder = Recorder(config, MODEL, store, publisher, Stopwatch())
        large = make_frame(make_pixels(3000, 3000))
        sighting = replace(make_visit(0)[0], best_frame=large)
        recorder(sighting)
        (stored,) = store.sightings(10)
        (entry,) = store.pending(10)
    document = json.loads(entry.message.payload)
    assert (stored.annotated_path, document["snapshot"]) == (None, None)
    assert stored.document == entry.message.payload.decode()
    assert "sighting v000 is kept without its picture" in caplog.text


def test_messages_and_ends_find_room_on_a_full_disk_too(tmp_path: Path) -> None:
    """A summary, or the end of what a crash broke off, does not fail for want of some kilobytes."""
    with small_disk(tmp_path / "disk", 3) as disk, Store(disk / "store") as store:
        record_visits(store, range(5), sent=True, width_px=WIDTH_PX)
        store.record(*make_visit(5, Phase.START))
        fill(disk)
        (broken_off,) = store.interrupted()
        assert broken_off.document is not None
        store.queue(Message("hw/h1/summary", bytes(100_000), retained=True))
        store.end(broken_off.id, interrupted_end(broken_off.document, TOPICS))
        assert store.interrupted() == []
        assert len(store.sightings(10)) < 6, "the oldest had to go"
        assert store.outbox_depth() == 4


def test_on_a_disk_that_others_have_filled_the_error_says_so_and_all_before_is_whole(tmp_path: Path) -> None:
    """Where there is nothing of ours to remove, the daemon ends with its exit code, loudly."""
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


def test_a_card_that_turns_read_only_is_told_and_loses_nothing(tmp_path: Path) -> None:
    """As worn-out cards do; what was recorded before is there when it can be read again."""
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


def test_permission_lost_while_running_is_told_and_loses_nothing() -> None:
    """When it is given back, all is there."""
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
def test_a_store_removed_under_the_daemon_is_told_at_the_next_record(tmp_path: Path, phase: Phase) -> None:
    """SQLite alone would go on writing into a file without a name, and lose it all at the end."""
    with Store(tmp_path / "store") as store:
        record_visits(store, [0])
        shutil.rmtree(tmp_path / "store")
        with pytest.raises(StoreError, match="a file or directory has vanished"):
            store.record(*make_visit(0, phase))
    with Store(tmp_path / "store") as store:
        record_visits(store, [1])


def test_a_store_removed_under_an_idle_daemon_is_told_at_the_next_look(tmp_path: Path) -> None:
    """Nobody has to wait for a hornet to learn of it."""
    with Store(tmp_path / "store") as store:
        shutil.rmtree(tmp_path / "store")
        with pytest.raises(StoreError, match="a file or directory has vanished"):
            store.keep_in_bounds(StoreConfig(), OutboxConfig(), None)
