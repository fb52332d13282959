"""What is told of the daemon when it is well, when it is not, and once a day."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from support.fakes import MODEL, NOON, make_frame, make_prediction, make_sighting
from support.machines import Machine, Told

from hivewatch.camera.base import CameraCounts
from hivewatch.config.sections import Config, HealthConfig, HiveConfig, VideoConfig
from hivewatch.daemon.health import ProofOfLife
from hivewatch.daemon.loop import Step
from hivewatch.domain.wire import Message
from hivewatch.errors import DiskFullError
from hivewatch.messages.alert import compose
from hivewatch.messages.documents import schema
from hivewatch.store import Store
from hivewatch.system.stopwatch import Stopwatch

pytestmark = pytest.mark.usefixtures("local_time_is_that_of_paris")

CONFIG = Config(
    hive=HiveConfig(id="h1", name="Ruche"), health=HealthConfig(interval_s=60, summary_at="21:00")
)


class Camera:
    """A camera as far as it is counted."""

    name = "test camera"

    def __init__(self) -> None:
        self.counts = CameraCounts(dropped=3, bad=1)

    def frames(self, stop: object) -> Iterator[Any]:
        """Give none."""
        raise NotImplementedError


class Hive:
    """A proof of life with all around it. The local time is that of Paris."""

    def __init__(self, directory: Path, wall: datetime, config: Config = CONFIG) -> None:
        self.machine = Machine(wall)
        self.store = Store(directory)
        self.publisher = Told(self.store)
        self.stopwatch = Stopwatch()
        self.camera_status = "online"
        self.proof = ProofOfLife(
            config,
            MODEL,
            Camera(),
            self.store,
            self.publisher,
            self.stopwatch,
            self.machine.clock,
            lambda: self.camera_status,
        )

    def watch(self, seconds: float, score: float | None = 0.2, every_s: float = 1.0) -> None:
        for _ in range(round(seconds / every_s)):
            self.machine.pass_time(every_s)
            prediction = None if score is None else make_prediction(score)
            self.proof.finished(Step(FRAME, prediction))

    def record(self, id_: str) -> None:
        """Keep a sighting that has begun just now."""
        sighting = dataclasses.replace(make_sighting(id_), started_at=self.machine.wall)
        self.store.record(sighting, compose(sighting, CONFIG.hive, MODEL, "hivewatch", 90), queue=False)

    def documents(self) -> list[dict[str, Any]]:
        """Return the health documents so far, each of which must fulfil the schema."""
        documents = [json.loads(message.payload) for message in self.publisher.states]
        for document in documents:
            jsonschema.Draft202012Validator(schema("health")).validate(document)
        return documents

    def summaries(self) -> list[dict[str, Any]]:
        """Return the summaries in the outbox, each of which must fulfil the schema."""
        messages = [entry.message for entry in self.store.pending(1000)]
        assert all(message.topic == "hivewatch/h1/summary" and message.retained for message in messages)
        documents = [json.loads(message.payload) for message in messages]
        for document in documents:
            jsonschema.Draft202012Validator(schema("summary")).validate(document)
        return documents


FRAME = make_frame()
SIGHTED = make_sighting(), compose(make_sighting(), CONFIG.hive, MODEL, "hivewatch", 90)


@pytest.fixture
def hive(tmp_path: Path) -> Iterator[Hive]:
    """A hive at noon, 14 May 2027."""
    hive = Hive(tmp_path, datetime(2027, 5, 14, 10, 0, tzinfo=UTC))
    yield hive
    hive.store.close()


@pytest.mark.parametrize("leaf", ["health", "summary"])
def test_the_shipped_schemas_are_valid_and_name_all_that_is_sent(hive: Hive, leaf: str) -> None:
    document_schema = schema("health" if leaf == "health" else "summary")
    jsonschema.Draft202012Validator.check_schema(document_schema)
    hive.watch(10 * 3600, every_s=600)
    (document, *_) = hive.documents() if leaf == "health" else hive.summaries()
    assert document.keys() == document_schema["properties"].keys() >= set(document_schema["required"])
    assert document["schema"] == f"hivewatch.{leaf}"


def test_the_health_document_is_retained_and_renewed_at_its_interval(hive: Hive) -> None:
    hive.watch(301)
    assert len(hive.documents()) == 6
    assert {(message.topic, message.retained) for message in hive.publisher.states} == {
        ("hivewatch/h1/health", True)
    }


def test_the_health_document_counts_frames_scores_and_what_was_not_handed_over(hive: Hive) -> None:
    hive.watch(30, score=None)
    hive.watch(30, score=0.25)
    with hive.stopwatch("forward"):
        pass
    hive.watch(61, score=0.97)
    document = hive.documents()[-1]
    frames = document["frames"]
    assert (frames["seen"], frames["classified"], frames["held_back"]) == (121, 91, 30)
    assert (frames["dropped"], frames["bad"]) == (3, 1)
    assert frames["rate_hz"] == pytest.approx(1.0, abs=0.1)
    assert frames["classified_share"] == pytest.approx(91 / 121, abs=1e-4)
    assert document["scores_last_hour"] == [0, 0, 30, 0, 0, 0, 0, 0, 0, 61]
    assert document["latencies"]["forward"]["p95_ms"] >= 0
    assert document["uptime_s"] == 121
    assert document["store"]["disk_free_bytes"] > 0


@pytest.mark.parametrize("what", ["sighting", "camera", "broker"])
def test_a_change_is_told_within_a_second_or_two(hive: Hive, what: str) -> None:
    hive.watch(10)
    before = len(hive.documents())
    if what == "sighting":
        hive.proof.sighted(*SIGHTED)
    elif what == "camera":
        hive.camera_status = "degraded"
    else:
        hive.publisher.connections += 1
    hive.watch(2)
    assert len(hive.documents()) == before + 1


def test_a_stormy_day_of_changes_is_told_once_a_second_at_most(hive: Hive) -> None:
    for _ in range(100):
        hive.proof.sighted(*SIGHTED)
        hive.watch(0.1, every_s=0.1)
    assert len(hive.documents()) <= 11


def test_the_outbox_is_told_with_the_age_of_its_oldest(hive: Hive) -> None:
    hive.store.queue(Message("t", b"x", retained=False))
    hive.store.keep_in_bounds(CONFIG.store, CONFIG.outbox, hive.machine.wall)
    hive.watch(130)
    figures = hive.documents()[-1]["store"]
    assert figures["outbox_depth"] == 1
    assert figures["outbox_oldest_age_s"] == pytest.approx(121, abs=10)


def test_secrets_leave_no_trace_in_the_hash_of_the_configuration(hive: Hive, tmp_path: Path) -> None:
    hive.watch(1)
    video = VideoConfig(source="rtsp://user:password@address")
    camera = CONFIG.camera.model_copy(update={"video": video})
    other = Hive(tmp_path / "2", NOON, CONFIG.model_copy(update={"camera": camera}))
    third = Hive(tmp_path / "3", NOON, CONFIG.model_copy(update={"hive": HiveConfig(id="h1", name="Other")}))
    other.watch(1)
    third.watch(1)
    hashes = [h.documents()[0]["config_sha256"] for h in (hive, other, third)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_the_summary_comes_once_a_day_without_any_sighting(hive: Hive) -> None:
    hive.watch(3 * 86_400, every_s=600)
    assert [summary["day"] for summary in hive.summaries()] == ["2027-05-14", "2027-05-15", "2027-05-16"]
    assert {summary["sightings"] for summary in hive.summaries()} == {0}
    assert hive.summaries()[1]["frames_seen"] == 144
    assert hive.summaries()[0]["text"] == "still watching: 0 hornet sightings since yesterday, 54 frames seen"
    assert hive.summaries()[0]["at"].startswith("2027-05-14T19:0"), "21:00 in Paris"


def test_each_sighting_stands_in_one_summary_and_in_the_count_of_its_own_day(hive: Hive) -> None:
    today = []
    for number in range(4):
        hive.watch(6 * 3600 + 1800, every_s=600)  # 18:30, 1:00, 7:30, 14:00 in Paris
        hive.record(f"visit{number}")
        hive.watch(60)
        today.append(hive.documents()[-1]["store"]["sightings_today"])
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
def test_after_a_jump_of_the_clock_summaries_go_on(hive: Hive, jump: timedelta) -> None:
    hive.watch(10 * 3600, every_s=600)
    hive.machine.wall += jump
    hive.watch(27 * 3600, every_s=600)
    days = [summary["day"] for summary in hive.summaries()]
    assert len(days) >= 2
    assert len(days) == len(set(days))


def test_an_hour_without_trouble_leaves_one_line_in_the_log(
    hive: Hive, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "hivewatch")
    hive.watch(2 * 3600 + 60, every_s=10)
    lines = [record for record in caplog.records if "frames seen" in record.getMessage()]
    assert [record.levelname for record in lines] == ["INFO", "INFO"]
    assert lines[0].getMessage() == "all well; 360 frames seen, 360 classified, 0 sightings today"


def test_an_hour_with_trouble_is_not_called_well(hive: Hive, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "hivewatch")
    hive.camera_status = "degraded"
    hive.publisher.is_connected = False
    hive.watch(3610, every_s=10)
    (line,) = [record for record in caplog.records if "frames seen" in record.getMessage()]
    assert line.levelname == "WARNING"
    assert "the camera is degraded" in line.getMessage()
    assert "no broker" in line.getMessage()
    assert "all well" not in line.getMessage()


def test_a_full_disk_costs_the_summary_but_not_the_watch(
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


def test_the_status_says_in_one_line_how_it_goes(hive: Hive) -> None:
    hive.watch(120, every_s=0.5)
    assert hive.proof.status == "watching, 2.0 fps, no hornet yet, outbox 0"
    hive.record("visit1")
    hive.proof.sighted(*SIGHTED)
    hive.watch(2)
    local = NOON.astimezone()
    assert hive.proof.status.endswith(f"last hornet {local:%Y-%m-%d}, outbox 0"), "that was another day"
    hive.camera_status = "degraded"
    hive.watch(2)
    assert hive.proof.status.startswith("camera degraded, ")
