"""When the store is maintained, and how the hive reports what was dropped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.rig import Rig
from support.visits import HIVE, record_visits

from hivewatch.config.sections import Config, MqttConfig, OutboxConfig, StoreConfig
from hivewatch.daemon import maintenance
from hivewatch.daemon.maintenance import CHECK_EVERY_S, EVERY_S, MaintenanceService
from hivewatch.errors import DiskFullError, StoreError
from hivewatch.store.retention import PORTION

CONFIG = Config(
    hive=HIVE,
    mqtt=MqttConfig(base_topic="hw"),
    store=StoreConfig(least_free_mb=0.001),
    outbox=OutboxConfig(largest_mb=1e-6),
)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A rig with an empty store and the maintenance alone."""
    rig = Rig(tmp_path / "store", CONFIG)
    rig.add(MaintenanceService(CONFIG, rig.recorder, rig.clock))
    yield rig
    rig.store.close()


def test_the_first_tick_keeps_the_bounds_and_the_next_one_comes_after_a_minute(rig: Rig) -> None:
    """What was dropped is reported and sent at once."""
    record_visits(rig.store, range(2))
    rig.tick()
    assert [entry.message.topic for entry in rig.store.pending(10)] == ["hw/h1/backlog"]
    assert rig.publisher.wakes == 1
    record_visits(rig.store, [2])
    rig.machine.pass_time(EVERY_S / 2)
    rig.tick()
    assert rig.store.outbox_depth() == 3
    assert rig.publisher.wakes == 1
    rig.machine.pass_time(EVERY_S / 2)
    rig.tick()
    assert rig.publisher.wakes == 2
    (entry,) = rig.store.pending(10)
    assert json.loads(entry.message.payload)["sightings"] == 3


def test_the_next_portion_is_removed_at_the_next_tick(tmp_path: Path) -> None:
    """Not a minute later; a frame and a beat come in between."""
    config = CONFIG.model_copy(update={"store": StoreConfig(least_free_mb=0.001, retention_days=1e-6)})
    rig = Rig(tmp_path / "store", config)
    rig.add(MaintenanceService(config, rig.recorder, rig.clock))
    record_visits(rig.store, range(PORTION + 1), sent=True)
    rig.machine.pass_time(10 * 86_400)
    rig.tick()
    assert len(rig.store.sightings(1000)) == 1
    rig.tick()
    assert rig.store.sightings(1000) == []
    rig.store.close()


def test_free_memory_is_given_back_once_a_minute(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    given_back: list[float] = []
    monkeypatch.setattr(maintenance, "give_back_memory", lambda: given_back.append(0.0))
    for _ in range(4):
        rig.tick()
        rig.machine.pass_time(EVERY_S / 2)
    assert len(given_back) == 2


def test_the_database_is_checked_once_a_day(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Damage ends the daemon; the next start recovers."""

    def damaged() -> None:
        raise StoreError("damaged")

    monkeypatch.setattr(rig.store, "check_integrity", damaged)
    rig.machine.pass_time(CHECK_EVERY_S - 1)
    rig.tick()
    rig.machine.pass_time(EVERY_S)
    with pytest.raises(StoreError, match="damaged"):
        rig.tick()


def test_a_full_disk_does_not_end_the_watch(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and the next sighting shows what can still be stored."""

    def full(*_: object) -> None:
        raise DiskFullError("no room")

    monkeypatch.setattr(rig.store, "keep_in_bounds", full)
    rig.tick()
    assert "the store was not tidied: no room" in caplog.text
