"""The command report: the table, the CSV, and what it says if there is nothing to report."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.daemons import Daemon
from support.fakes import NOON
from support.users import without_rights
from support.visits import make_visit, record_visits

from hivewatch.cli.main import main
from hivewatch.domain.sightings import Phase
from hivewatch.store import Store
from hivewatch.visits.spreadsheet import COLUMNS
from hivewatch.visits.table import duration

pytestmark = pytest.mark.usefixtures("local_time_is_that_of_paris")

DAY_S = 24 * 60


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store") as store:
        yield store


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "hive.yaml"
    file.write_text(
        "hive: {id: pear, name: Under the pear tree}\ncamera: {kind: simulator}\nstore: {directory: store}\n"
    )
    return file


def report(config: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    """Return what ``hivewatch report`` prints."""
    assert main(["report", "--config", str(config), *options]) == 0
    return capsys.readouterr().out


def rows(text: str) -> list[dict[str, str]]:
    """Return the CSV's rows by column."""
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_the_table_shows_each_visit_at_its_local_time_and_a_total_for_each_day(
    store: Store, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record_visits(store, [0, 1, 700])
    text = report(config, capsys, "--since", "2026-09-14")
    assert text.startswith(
        "Visits at Under the pear tree (pear) since Mon 2026-09-14 00:00; local times, UTC+02:00\n"
    )
    assert "Mon 2026-09-14: 2 visits, 4 s\n  14:00:00           2 s   0.90     3 of 4  /" in text
    assert "Tue 2026-09-15: 1 visit, 2 s\n  01:40:00 " in text, "23:40 UTC is the next day in Paris"
    assert text.endswith("In total: 3 visits, 6 s.\n")


def test_the_table_names_the_annotated_picture_of_each_visit(
    store: Store, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record_visits(store, [0])
    text = report(config, capsys, "--since", "2026-09-14")
    (picture,) = store.directory.glob("snapshots/*/*-annotated.jpg")
    assert str(picture) in text


def test_a_visit_whose_picture_was_removed_has_none(
    store: Store, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record_visits(store, [0])
    for picture in store.directory.glob("snapshots/*/*.jpg"):
        picture.unlink()
    assert "no picture" in report(config, capsys, "--since", "2026-09-14")
    assert rows(report(config, capsys, "--since", "2026-09-14", "--csv"))[0]["picture"] == ""


def test_the_csv_has_a_header_crlf_ends_and_both_utc_and_local_time(
    store: Store, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record_visits(store, [0])
    text = report(config, capsys, "--since", "2026-09-14", "--csv")
    assert text.startswith(",".join(COLUMNS) + "\r\n")
    assert text.count("\r\n") == text.count("\n") == 2
    (row,) = rows(text)
    picture = row.pop("picture")
    assert Path(picture).is_file()
    assert row == {
        "start_utc": "2026-09-14T12:00:00Z",
        "start_local": "2026-09-14 14:00:00",
        "duration_s": "2.0",
        "best_score": "0.9",
        "votes_for": "3",
        "votes": "4",
        "notes": "",
        "hive": "pear",
        "id": "v000",
    }


def test_the_csv_quotes_a_path_with_a_comma_or_a_quote(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / 'the "old", store'
    with Store(folder) as store:
        record_visits(store, [0])
    config = tmp_path / "hive.yaml"
    config.write_text(f"camera: {{kind: simulator}}\nstore: {{directory: '{folder}'}}\n")
    text = report(config, capsys, "--since", "2026-09-14", "--csv")
    assert ',"' in text
    assert Path(rows(text)[0]["picture"]).parents[2] == folder


def test_an_open_visit_has_not_ended_while_a_process_has_the_store(
    store: Store, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    now_minute = int((datetime.now(UTC) - NOON) / timedelta(minutes=1))
    store.record(*make_visit(now_minute - 7, Phase.START))
    text = report(config, capsys)
    assert "(not ended yet)" in text
    assert re.search(r"  [78] min \d\d s  ", text), "it lasts until now"
    store.close()
    text = report(config, capsys)
    assert "(interrupted)" in text
    assert "  2 s  " in text


@pytest.mark.parametrize(
    ("added", "note"), [({"test": True}, "test"), ({"clock": {"boot_id": "b"}}, "clock was not set")]
)
def test_a_note_says_what_the_event_says(
    store: Store, config: Path, capsys: pytest.CaptureFixture[str], added: dict[str, object], note: str
) -> None:
    sighting, alert = make_visit(0)
    document = json.loads(alert.event.payload) | added
    store.record(sighting, replace(alert, event=replace(alert.event, payload=json.dumps(document).encode())))
    assert f"({note})" in report(config, capsys, "--since", "2026-09-14")
    assert rows(report(config, capsys, "--since", "2026-09-14", "--csv"))[0]["notes"] == note


def test_a_visit_of_which_only_pictures_were_left_shows_what_is_known(
    store: Store, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record_visits(store, [0])
    store.close()
    for file in store.directory.glob("hivewatch.db*"):
        file.write_bytes(b"damaged" * 1000)
    Store(store.directory).close()
    text = report(config, capsys, "--since", "2026-09-14")
    assert "14:00:00           0 s      -          -  /" in text
    assert "(recovered from its pictures)" in text


def test_a_change_to_winter_time_shows_both_offsets(
    store: Store, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    days = (datetime(2026, 10, 26, tzinfo=UTC) - NOON).days
    record_visits(store, [0, days * DAY_S])
    text = report(config, capsys, "--since", "2026-09-14")
    assert "local times, UTC+02:00 and UTC+01:00\n" in text


def test_a_span_before_now_selects_the_recent_visits(
    store: Store, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    now_minute = int((datetime.now(UTC) - NOON) / timedelta(minutes=1))
    record_visits(store, [now_minute - 90, now_minute - 30])
    assert len(rows(report(config, capsys, "--since", "1h", "--csv"))) == 1
    assert len(rows(report(config, capsys, "--since", "1d", "--csv"))) == 2
    assert len(rows(report(config, capsys, "--csv"))) == 2, "a week is the default"


def test_no_visit_in_the_period_names_the_latest_before_it(
    store: Store, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record_visits(store, [0, 1])
    text = report(config, capsys, "--since", "2026-11-24")
    assert (
        ": none.\nThe store holds 2 earlier visits, the latest on 2026-09-14: see `--since 2026-09-14`."
        in text
    )


@pytest.mark.usefixtures("store")
def test_an_empty_store_says_so(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "The store holds no visit at all." in report(config, capsys)


@pytest.mark.parametrize("when", ["yesterday", "7w", "2026-13-01", "", "-1d", "0001-01-01"])
def test_a_time_that_cannot_be_read_is_a_usage_error(when: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["report", f"--since={when}"])
    assert ended.value.code == 2
    assert "expected a date such as 2026-11-24, or a span such as 7d or 24h, not" in capsys.readouterr().err


def test_a_missing_store_is_an_error_with_its_exit_code(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "--config", str(config)]) == 6
    assert capsys.readouterr().err.startswith("hivewatch: there is no store in")


def test_a_user_without_permission_is_told_to_use_sudo(
    store: Store, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store.close()
    store.directory.chmod(0)
    try:
        with without_rights(config):
            assert main(["report", "--config", str(config)]) == 6
    finally:
        store.directory.chmod(0o755)
    assert "permission denied for" in (error := capsys.readouterr().err)
    assert "use sudo" in error


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (125, "2 min 05 s"), (3_720, "1 h 02 min")],
)
def test_durations_are_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.slow
def test_visits_are_reported_while_the_daemon_runs(
    tmp_path: Path, tiny_model_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Daemon(tmp_path, tiny_model_path) as daemon:
        daemon.wait_for_log("sighting")
        text = report(daemon.config_path, capsys, "--since", "1h")
        assert daemon.stop() == 0
    assert "1 visit" in text
    assert "not ended yet" in text
