"""What is removed from the store, in which order, and what is never removed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from support.fakes import NOON
from support.visits import make_visit, record_visits

from hivewatch.config.sections import OutboxConfig, StoreConfig
from hivewatch.domain.sightings import Phase
from hivewatch.store import Store, retention

LOOSE = StoreConfig(retention_days=36_500, largest_mb=1e6, least_free_mb=0.001)
OUTBOX = OutboxConfig()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    with Store(tmp_path / "store") as store:
        yield store


def ids(store: Store) -> list[str]:
    """Return the ids of the sightings in the store, oldest first."""
    return [stored.id for stored in store.sightings(1000)][::-1]


def pictures(store: Store) -> int:
    """Return the number of files under the snapshots folder."""
    return sum(path.is_file() for path in (store.directory / "snapshots").rglob("*"))


def loose(**options: float) -> StoreConfig:
    """Return a configuration that keeps everything except as ``options`` say."""
    return LOOSE.model_copy(update=options)


def test_sent_sightings_are_removed_when_they_are_too_old(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """Rows and files are removed together; the log says how many and why."""
    record_visits(store, range(10), sent=True)
    now = NOON + timedelta(days=30, minutes=4, seconds=30)
    store.keep_in_bounds(loose(retention_days=30), OUTBOX, now)
    assert ids(store) == [f"v{number:03}" for number in range(5, 10)]
    assert pictures(store) == 10
    assert store.status().sightings_removed == 5
    assert "removed the 5 oldest sent sightings" in caplog.text
    assert "store.retention_days" in caplog.text


def test_without_a_trusted_clock_nothing_is_removed_by_age(store: Store) -> None:
    """A machine that does not know the time cannot know what is too old."""
    record_visits(store, range(3), sent=True)
    store.keep_in_bounds(loose(retention_days=1e-6), OUTBOX, None)
    assert len(ids(store)) == 3


def test_unsent_sightings_are_kept_however_old_and_many(store: Store) -> None:
    """Neither age nor size removes what has not been delivered yet."""
    record_visits(store, range(5))
    store.keep_in_bounds(
        loose(retention_days=1e-6, largest_mb=1e-6), OUTBOX.model_copy(), NOON + timedelta(days=1)
    )
    assert len(ids(store)) == 5
    assert pictures(store) == 10


def test_an_open_sighting_is_kept(store: Store) -> None:
    """It has more events to come."""
    store.record(*make_visit(0, Phase.START), queue=False)
    store.keep_in_bounds(loose(retention_days=1e-6, largest_mb=1e-6), OUTBOX, NOON + timedelta(days=1))
    assert ids(store) == ["v000"]


def test_the_oldest_are_removed_when_the_store_is_too_large(store: Store) -> None:
    """No more are removed than necessary."""
    record_visits(store, range(20), sent=True, width_px=640)
    picture_bytes = sum(file.stat().st_size for file in (store.directory / "snapshots").rglob("*.jpg"))
    store.keep_in_bounds(
        loose(largest_mb=(store.status().used_bytes - picture_bytes / 4) / 1e6), OUTBOX, None
    )
    assert ids(store)[0] in {"v005", "v006"}
    assert ids(store)[-1] == "v019"


def test_on_a_disk_that_fills_up_the_oldest_sent_sightings_are_removed_first(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While there are enough of them, unsent ones are kept."""
    record_visits(store, range(5), sent=True, width_px=640)
    record_visits(store, range(5, 10), width_px=640)
    size_bytes = sum(file.stat().st_size for file in (store.directory / "snapshots").rglob("*.jpg")) // 10
    monkeypatch.setattr(retention, "free_bytes", lambda _: 10_000_000)
    store.keep_in_bounds(loose(least_free_mb=10 + 2 * size_bytes / 1e6), OUTBOX, None)
    assert 7 <= len(ids(store)) <= 8
    assert store.status().unsent_messages == 10


def test_on_a_disk_about_to_be_full_unsent_pictures_are_dropped_but_no_event(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The sighting and its event are kept, and the dropped picture is reported."""
    caplog.set_level(logging.WARNING)
    record_visits(store, range(3, 6))
    monkeypatch.setattr(retention, "free_bytes", lambda _: 100)
    dropped = store.keep_in_bounds(loose(least_free_mb=0.002), OUTBOX, None)
    assert dropped is not None
    assert dropped.pictures == 1
    assert dropped.sighting_ids == ("v003",)
    first_left = store.sightings(10)[-1]
    assert (first_left.id, first_left.clean_path, first_left.annotated_path) == ("v003", None, None)
    assert store.status().unsent_messages == 5
    assert "removed the pictures of the 1 oldest sightings" in caplog.text


def test_many_sightings_are_removed_in_portions(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """Frames and the watchdog's beat come in between; the log has one line for all of them."""
    count = 2 * retention.PORTION + 1
    record_visits(store, range(count), sent=True)
    config, now = loose(retention_days=1e-6), NOON + timedelta(days=1)
    left = []
    while not left or store.exceeds_bounds:
        store.keep_in_bounds(config, OUTBOX, now)
        left.append(len(ids(store)))
    assert left == [count - retention.PORTION, 1, 0]
    (line,) = [message for message in caplog.messages if "oldest sent" in message]
    assert line.startswith(f"removed the {count} oldest sent sightings")


def test_what_was_removed_is_logged_if_the_store_is_closed_before_the_last_portion(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Store(tmp_path / "other") as store:
        record_visits(store, range(retention.PORTION + 1), sent=True)
        store.keep_in_bounds(loose(retention_days=1e-6), OUTBOX, NOON + timedelta(days=1))
        assert store.exceeds_bounds
        assert "oldest sent" not in caplog.text
    assert f"removed the {retention.PORTION} oldest sent sightings" in caplog.text


def test_damaged_databases_do_not_cost_sightings(store: Store) -> None:
    """They are kept for their owner, and do not count as part of the store."""
    record_visits(store, range(3), sent=True)
    (store.directory / "hivewatch.db.damaged-20200101T000000Z").write_bytes(bytes(5_000_000))
    store.keep_in_bounds(loose(largest_mb=2), OUTBOX, None)
    assert len(ids(store)) == 3


def test_empty_day_folders_are_removed(store: Store) -> None:
    """They would pile up, one a day."""
    record_visits(store, range(3), sent=True)
    store.keep_in_bounds(loose(retention_days=1e-6), OUTBOX, NOON + timedelta(days=1))
    assert list((store.directory / "snapshots").iterdir()) == []
