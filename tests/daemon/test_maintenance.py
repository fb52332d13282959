"""When the store is looked after, and what the hive says of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.visits import HIVE, record_visits

from hivewatch.config.sections import Config, MqttConfig, OutboxConfig, StoreConfig
from hivewatch.daemon.maintenance import CHECK_EVERY_S, EVERY_S, Upkeep
from hivewatch.errors import DiskFullError, StoreError
from hivewatch.store import Store

CONFIG = Config(
    hive=HIVE,
    mqtt=MqttConfig(base_topic="hw"),
    store=StoreConfig(least_free_mb=0.001),
    outbox=OutboxConfig(largest_mb=1e-6),
)


class Ticks:
    """A monotonic clock that a test turns."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    with Store(tmp_path / "store") as store:
        yield store


def test_the_first_call_does_what_is_due_and_the_next_one_waits_a_minute(store: Store) -> None:
    """What was dropped is told at once; between two looks a call does nothing."""
    ticks = Ticks()
    upkeep = Upkeep(CONFIG, store, lambda: None, ticks)
    record_visits(store, range(2))
    assert upkeep()
    assert [entry.message.topic for entry in store.pending(10)] == ["hw/h1/backlog"]
    record_visits(store, [2])
    ticks.now_s += EVERY_S / 2
    assert not upkeep()
    assert store.outbox_depth() == 3
    ticks.now_s += EVERY_S / 2
    assert upkeep()
    (entry,) = store.pending(10)
    assert json.loads(entry.message.payload)["sightings"] == 3


def test_the_database_is_looked_through_once_a_day(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Damage ends the daemon; the next start mends it."""
    ticks = Ticks()
    upkeep = Upkeep(CONFIG, store, lambda: None, ticks)

    def damaged() -> None:
        raise StoreError("damaged")

    monkeypatch.setattr(store, "check_integrity", damaged)
    ticks.now_s += CHECK_EVERY_S - 1
    upkeep()
    ticks.now_s += EVERY_S
    with pytest.raises(StoreError, match="damaged"):
        upkeep()


def test_a_full_disk_does_not_end_the_watch(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told, and recording shows what can still be kept."""

    def full(*_: object) -> None:
        raise DiskFullError("no room")

    monkeypatch.setattr(store, "keep_in_bounds", full)
    assert not Upkeep(CONFIG, store, lambda: None, Ticks())()
    assert "no room" in caplog.text
