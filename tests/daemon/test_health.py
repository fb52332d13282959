"""The health document: its content, and when it is published."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from support.rig import Rig

from hivewatch.config.sections import Config, HealthConfig, HiveConfig, MqttConfig, VideoConfig
from hivewatch.daemon.health import HealthService, config_sha256
from hivewatch.domain.status import CameraState
from hivewatch.domain.wire import Message
from hivewatch.messages.documents import schema

pytestmark = pytest.mark.usefixtures("local_time_is_that_of_paris")

CONFIG = Config(
    hive=HiveConfig(id="h1", name="Ruche"), health=HealthConfig(interval_s=60, summary_at="21:00")
)


class Hive(Rig):
    """A rig with the health service."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, CONFIG)
        self.add(
            HealthService(
                *(self.configuration, self.supervisor, self.loop, self.recorder, self.clock, self.counts)
            )
        )

    def documents(self) -> list[dict[str, Any]]:
        """Return the health documents so far; each must fulfil the schema."""
        documents = [json.loads(message.payload) for message in self.publisher.states]
        for document in documents:
            jsonschema.Draft202012Validator(schema("health")).validate(document)
        return documents


@pytest.fixture
def hive(tmp_path: Path) -> Iterator[Hive]:
    """A hive at noon, 14 May 2027."""
    hive = Hive(tmp_path)
    yield hive
    hive.store.close()


def test_the_shipped_schema_is_valid_and_names_everything_that_is_sent(hive: Hive) -> None:
    document_schema = schema("health")
    jsonschema.Draft202012Validator.check_schema(document_schema)
    hive.watch(600)
    document = hive.documents()[0]
    assert document.keys() == document_schema["properties"].keys() >= set(document_schema["required"])
    assert document["schema"] == "hivewatch.health"


def test_the_document_is_retained_and_renewed_at_its_interval(hive: Hive) -> None:
    hive.watch(301)
    assert len(hive.documents()) == 6
    assert {(message.topic, message.retained) for message in hive.publisher.states} == {
        ("hivewatch/h1/health", True)
    }


def test_a_new_interval_holds_from_the_next_document_on(hive: Hive) -> None:
    hive.watch(61)
    before = len(hive.documents())
    shorter = CONFIG.model_copy(update={"health": HealthConfig(interval_s=10)})
    for service in hive.services:
        service.configure(shorter)
    hive.watch(120)
    assert len(hive.documents()) - before == pytest.approx(8, abs=1)


def test_the_document_counts_frames_scores_and_frames_that_were_not_delivered(hive: Hive) -> None:
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


@pytest.mark.parametrize("what", ["sighting", "camera", "broker", "pause"])
def test_a_change_is_published_within_two_seconds(hive: Hive, what: str) -> None:
    hive.watch(10)
    before = len(hive.documents())
    if what == "sighting":
        hive.record("visit1")
    elif what == "camera":
        hive.set_camera(CameraState.DEGRADED)
    elif what == "pause":
        hive.loop.pause()
    else:
        hive.publisher.connections += 1
    hive.watch(2)
    assert len(hive.documents()) == before + 1
    assert hive.documents()[-1]["store"]["sightings_today"] == (what == "sighting")


def test_with_mqtt_disabled_no_document_is_made(hive: Hive) -> None:
    hive.publisher.delivers = False
    hive.watch(61)
    assert hive.documents() == []


def test_many_changes_are_published_once_a_second_at_most(hive: Hive) -> None:
    for number in range(100):
        hive.record(f"visit{number}")
        hive.watch(0.1, every_s=0.1)
    assert len(hive.documents()) <= 11


def test_the_outbox_is_reported_with_the_age_of_its_oldest_message(hive: Hive) -> None:
    hive.store.queue(Message("t", b"x", retained=False))
    hive.store.keep_in_bounds(CONFIG.store, CONFIG.outbox, hive.machine.wall)
    hive.watch(130)
    figures = hive.documents()[-1]["store"]
    assert figures["outbox_depth"] == 1
    assert figures["outbox_oldest_age_s"] == pytest.approx(121, abs=10)


def test_the_hash_of_the_configuration_leaves_out_what_may_hold_a_password(hive: Hive) -> None:
    hive.watch(1)
    video = VideoConfig(source="rtsp://user:password@address")
    camera = CONFIG.camera.model_copy(update={"video": video})
    mqtt = MqttConfig(username="bees")
    own = config_sha256(CONFIG)
    assert hive.documents()[0]["config_sha256"] == own
    assert config_sha256(CONFIG.model_copy(update={"camera": camera, "mqtt": mqtt})) == own
    assert config_sha256(CONFIG.model_copy(update={"hive": HiveConfig(id="h1", name="Other")})) != own
