"""The daily summary: once a day, whatever the clock does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from support.machines import Machine
from support.rig import NOON_IN_PARIS, Rig

from hivewatch.config.sections import Config, HealthConfig, HiveConfig
from hivewatch.daemon.days import count_since_midnight
from hivewatch.daemon.summary import SummaryService
from hivewatch.domain.wire import Message
from hivewatch.errors import DiskFullError
from hivewatch.messages.documents import schema

pytestmark = pytest.mark.usefixtures("local_time_is_that_of_paris")

CONFIG = Config(
    hive=HiveConfig(id="h1", name="Ruche"), health=HealthConfig(interval_s=60, summary_at="21:00")
)


class Hive(Rig):
    """A rig with the summary service. The local time is that of Paris."""

    def __init__(self, directory: Path, wall: datetime = NOON_IN_PARIS, config: Config = CONFIG) -> None:
        super().__init__(directory, config, Machine(wall))
        self.add(SummaryService(config, self.loop, self.recorder, self.clock, self.counts))

    def summaries(self) -> list[dict[str, Any]]:
        """Return the summaries in the outbox; each must fulfil the schema."""
        messages = [entry.message for entry in self.store.pending(1000)]
        messages = [message for message in messages if message.topic == "hivewatch/h1/summary"]
        assert all(message.retained for message in messages)
        documents = [json.loads(message.payload) for message in messages]
        for document in documents:
            jsonschema.Draft202012Validator(schema("summary")).validate(document)
        return documents


@pytest.fixture
def hive(tmp_path: Path) -> Iterator[Hive]:
    """A hive at noon, 14 May 2027."""
    hive = Hive(tmp_path)
    yield hive
    hive.store.close()


def test_the_shipped_schema_is_valid_and_names_everything_that_is_sent(hive: Hive) -> None:
    document_schema = schema("summary")
    jsonschema.Draft202012Validator.check_schema(document_schema)
    hive.watch(10 * 3600, every_s=600)
    (document,) = hive.summaries()
    assert document.keys() == document_schema["properties"].keys() >= set(document_schema["required"])
    assert document["schema"] == "hivewatch.summary"


def test_the_summary_comes_once_a_day_without_any_sighting(hive: Hive) -> None:
    hive.watch(3 * 86_400, every_s=600)
    assert [summary["day"] for summary in hive.summaries()] == ["2027-05-14", "2027-05-15", "2027-05-16"]
    assert {summary["sightings"] for summary in hive.summaries()} == {0}
    assert hive.summaries()[1]["frames_seen"] == 144
    assert hive.summaries()[0]["text"] == "still watching: 0 hornet sightings since yesterday, 54 frames seen"
    assert hive.summaries()[0]["at"].startswith("2027-05-14T19:0"), "21:00 in Paris"


def test_each_sighting_counts_in_one_summary_and_on_its_own_day(hive: Hive) -> None:
    today = []
    for number in range(4):
        hive.watch(6 * 3600 + 1800, every_s=600)  # 18:30, 1:00, 7:30, 14:00 in Paris
        hive.record(f"visit{number}")
        today.append(count_since_midnight(hive.store, hive.machine.wall))
    hive.watch(10 * 3600, every_s=600)
    assert [summary["sightings"] for summary in hive.summaries()] == [1, 3]
    assert today == [1, 1, 2, 3]


def test_a_restart_in_the_evening_sends_no_second_summary(hive: Hive, tmp_path: Path) -> None:
    hive.watch(10 * 3600, every_s=600)
    assert len(hive.summaries()) == 1
    hive.store.close()
    again = Hive(tmp_path, hive.machine.wall)
    again.watch(600)
    assert len(again.summaries()) == 1
    again.store.close()


@pytest.mark.parametrize(
    ("day", "summary_at"), [((2027, 3, 28), "02:30"), ((2027, 10, 31), "02:30"), ((2027, 3, 28), "21:00")]
)
def test_the_summary_comes_once_on_days_of_23_and_of_25_hours(
    tmp_path: Path, day: tuple[int, int, int], summary_at: str
) -> None:
    """On 28 March 2027 there is no 02:30 in Paris, on 31 October there are two."""
    config = CONFIG.model_copy(update={"health": HealthConfig(summary_at=summary_at)})
    hive = Hive(tmp_path, datetime(*day, 12, 0, tzinfo=UTC) - timedelta(days=1), config)
    hive.watch(3 * 86_400, every_s=300)
    days = [summary["day"] for summary in hive.summaries()]
    assert len(days) == len(set(days))
    assert "{}-{:02}-{:02}".format(*day) in days
    hive.store.close()


@pytest.mark.parametrize("jump", [timedelta(days=365), timedelta(hours=-2), timedelta(days=-30)])
def test_after_a_jump_of_the_clock_summaries_continue(hive: Hive, jump: timedelta) -> None:
    hive.watch(10 * 3600, every_s=600)
    hive.machine.wall += jump
    hive.watch(27 * 3600, every_s=600)
    days = [summary["day"] for summary in hive.summaries()]
    assert len(days) >= 2
    assert len(days) == len(set(days))


def test_a_full_disk_loses_the_summary_but_does_not_end_the_watch(
    hive: Hive, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_message: Message) -> None:
        raise DiskFullError("the disk is full")

    monkeypatch.setattr(hive.store, "queue", refuse)
    hive.watch(10 * 3600, every_s=600)
    assert [r.levelname for r in caplog.records if "disk is full" in r.getMessage()] == ["ERROR"]
    monkeypatch.undo()
    hive.watch(86_400, every_s=600)
    assert [summary["day"] for summary in hive.summaries()] == ["2027-05-15"]


def test_the_summary_comes_at_the_local_time_of_the_hive(tmp_path: Path) -> None:
    """A machine in Paris may watch a hive in Bogotá, six or seven hours behind."""
    hive_config = HiveConfig(id="h1", time_zone="America/Bogota")
    hive = Hive(tmp_path, config=CONFIG.model_copy(update={"hive": hive_config}))
    hive.watch(86_400, every_s=600)
    (summary,) = hive.summaries()
    assert summary["at"].startswith("2027-05-15T02:0"), "21:00 in Bogotá"
    assert summary["day"] == "2027-05-14"
    hive.store.close()
