"""State survives restarts and is taken over from the files of 0.3, which can still open the store."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from support.disks import ordinary_user
from support.visits import record_visits

from hivewatch.store import Store

OLD_TEXTS = {
    "threshold": "0.875",
    "pressure": '{"level": "red", "since": "2026-09-14T12:00:00+00:00"}',
    "last-summary": "2026-09-14",
    "announced-topics": "homeassistant/device/a/config\nhomeassistant/device/é/config",
}


def make_store_of_0_3(directory: Path) -> None:
    """Make a store with two sightings as hivewatch 0.3 leaves it."""
    with Store(directory) as store:
        record_visits(store, range(2))
    with contextlib.closing(sqlite3.connect(directory / "hivewatch.db")) as connection:
        connection.execute("DROP TABLE state")
    for name, text in OLD_TEXTS.items():
        (directory / name).write_text(f"{text}\n", encoding="utf-8")


def old_files(directory: Path) -> dict[str, str]:
    """Return the texts of the old files that are still there."""
    return {
        name: (directory / name).read_text(encoding="utf-8").strip()
        for name in OLD_TEXTS
        if (directory / name).exists()
    }


def recalled(directory: Path) -> dict[str, str | None]:
    """Open the store and return the values of the old files' keys."""
    with Store(directory) as store:
        return {name: store.recall(name) for name in OLD_TEXTS}


def test_a_value_is_recalled_until_it_is_deleted(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        assert store.recall("threshold") is None
        store.remember("threshold", "0.5")
        store.remember("threshold", "0.75")
        store.remember("announced-topics", "a\nb\né")
        assert (store.recall("threshold"), store.recall("announced-topics")) == ("0.75", "a\nb\né")
        store.remember("threshold", None)
        store.remember("threshold", None)
        assert (store.recall("threshold"), store.recall("announced-topics")) == (None, "a\nb\né")


def test_state_survives_reopening(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.remember("last-summary", "2026-09-14")
        store.remember("pressure", "red")
        store.remember("pressure", None)
    with Store(tmp_path) as store:
        assert (store.recall("last-summary"), store.recall("pressure")) == ("2026-09-14", None)


def test_state_is_committed_as_durably_as_a_record(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        (synchronous,) = store._records.execute("PRAGMA synchronous").fetchone()
        store.remember("threshold", "0.5")
        assert not store._records.in_transaction
    assert synchronous == 2  # FULL


def test_the_old_files_are_taken_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    make_store_of_0_3(tmp_path)
    assert recalled(tmp_path) == OLD_TEXTS
    assert "took over from the files of an earlier hivewatch: threshold, pressure" in caplog.text


def test_the_old_files_stay_for_a_rollback_and_are_taken_over_once(tmp_path: Path) -> None:
    make_store_of_0_3(tmp_path)
    with Store(tmp_path) as store:
        store.remember("threshold", "0.5")
    for _ in range(3):
        assert recalled(tmp_path) == OLD_TEXTS | {"threshold": "0.5"}
    assert old_files(tmp_path) == OLD_TEXTS


def test_a_value_changed_or_deleted_after_the_takeover_stays_so(tmp_path: Path) -> None:
    make_store_of_0_3(tmp_path)
    with Store(tmp_path) as store:
        store.remember("threshold", None)
        store.remember("last-summary", "2026-09-15")
    expected = OLD_TEXTS | {"threshold": None, "last-summary": "2026-09-15"}
    assert recalled(tmp_path) == expected
    assert recalled(tmp_path) == expected


def test_files_that_0_3_changed_after_a_rollback_are_taken_over_again(tmp_path: Path) -> None:
    make_store_of_0_3(tmp_path)
    recalled(tmp_path)
    (tmp_path / "threshold").write_text("0.25\n")
    assert recalled(tmp_path) == OLD_TEXTS | {"threshold": "0.25"}
    assert recalled(tmp_path) == OLD_TEXTS | {"threshold": "0.25"}


def test_removing_the_old_files_changes_nothing(tmp_path: Path) -> None:
    make_store_of_0_3(tmp_path)
    recalled(tmp_path)
    for name in OLD_TEXTS:
        (tmp_path / name).unlink()
    assert recalled(tmp_path) == OLD_TEXTS


def test_an_empty_file_sets_no_value(tmp_path: Path) -> None:
    make_store_of_0_3(tmp_path)
    (tmp_path / "threshold").write_text("\n")
    assert recalled(tmp_path)["threshold"] is None
    assert recalled(tmp_path)["threshold"] is None


def make_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    "damage",
    [lambda path: path.write_bytes(b"\xff\xfe\x00damaged"), lambda path: path.chmod(0), make_directory],
    ids=["not UTF-8", "no permission", "a directory"],
)
def test_a_file_that_cannot_be_read_is_logged_and_kept(
    damage: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    with ordinary_user(), tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        make_store_of_0_3(directory)
        damage(directory / "pressure")
        for _ in range(2):
            assert recalled(directory) == OLD_TEXTS | {"pressure": None}
        assert (directory / "pressure").exists()
    assert caplog.text.count(f"cannot take over {directory / 'pressure'}") == 2


def test_a_takeover_that_fails_leaves_everything_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_store_of_0_3(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr("hivewatch.store.state.remember", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            Store(tmp_path)
    with contextlib.closing(sqlite3.connect(tmp_path / "hivewatch.db")) as connection:
        assert connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'state'").fetchone() is None
    assert recalled(tmp_path) == OLD_TEXTS


def test_a_database_of_0_3_is_upgraded_without_being_taken_for_damaged(tmp_path: Path) -> None:
    make_store_of_0_3(tmp_path)
    with Store(tmp_path) as store:
        assert store.status().set_aside is None
        assert [sighting.id for sighting in store.sightings(10)] == ["v001", "v000"]
        assert store.outbox_depth() == 4
        store.check_integrity()


@pytest.mark.parametrize(
    "make", [make_store_of_0_3, lambda path: Store(path).close()], ids=["upgraded", "new"]
)
def test_0_3_can_open_the_database_after_a_rollback(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """0.3 requires version 1 and its own three tables, and ignores further ones."""
    make(tmp_path)
    recalled(tmp_path)
    with contextlib.closing(sqlite3.connect(tmp_path / "hivewatch.db")) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        names = {
            name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        }
    assert version == 1
    assert names >= {"sightings", "outbox", "backlog", "state"}
