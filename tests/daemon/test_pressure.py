"""Whether a hornet is present, and the pressure on the hive: counted in the store, with hysteresis."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from support.machines import Machine
from support.rig import Rig

from hivewatch.config.sections import Config, HiveConfig, PressureConfig
from hivewatch.daemon.pressure import PressureService
from hivewatch.daemon.pressure_level import next_level
from hivewatch.domain.sightings import Phase, Presence, PressureLevel
from hivewatch.messages.documents import schema
from hivewatch.store import Store

pytestmark = pytest.mark.usefixtures("local_time_is_that_of_paris")

CONFIG = Config(hive=HiveConfig(id="h1"))
GREEN, AMBER, RED = PressureLevel
THRESHOLDS = PressureConfig(
    amber_sightings=4, amber_minutes=3.0, red_sightings=12, red_minutes=15.0, fall_share=0.5
)


@pytest.mark.parametrize(
    ("before", "sightings", "minutes", "after"),
    [
        (GREEN, 3, 2.9, GREEN),
        (GREEN, 4, 0.0, AMBER),
        (GREEN, 0, 3.0, AMBER),
        (GREEN, 12, 0.0, RED),
        (AMBER, 2, 0.0, AMBER),
        (AMBER, 1, 1.4, GREEN),
        (AMBER, 11, 14.0, AMBER),
        (RED, 6, 0.0, RED),
        (RED, 5, 7.4, AMBER),
        (RED, 0, 0.0, GREEN),
        (AMBER, 0, 15.0, RED),
    ],
)
def test_a_level_rises_at_once_and_falls_late(
    before: PressureLevel, sightings: int, minutes: float, after: PressureLevel
) -> None:
    """Either figure raises it; both must be below ``fall_share`` for it to fall."""
    assert next_level(THRESHOLDS, before, Presence(sightings, minutes * 60)) is after


class Hive(Rig):
    """A rig with the pressure service, in Paris."""

    def __init__(self, directory: Path, machine: Machine) -> None:
        super().__init__(directory, CONFIG, machine)
        self.add(PressureService(CONFIG, self.recorder, self.clock))

    def visit(self, id_: str, seconds: float) -> None:
        """Let a hornet come, stay and leave."""
        started_at = self.machine.wall
        self.record(id_)
        self.machine.pass_time(seconds)
        self.record(id_, Phase.END, started_at)

    def pressure(self) -> dict[str, Any]:
        """Return the published pressure; it must fulfil the schema."""
        self.tick()
        document: dict[str, Any] = json.loads(self.publisher.last("pressure"))
        jsonschema.Draft202012Validator(schema("pressure")).validate(document)
        assert document.keys() == schema("pressure")["properties"].keys()
        return document

    def count_published(self) -> int:
        """Return how often the pressure was published."""
        return sum(message.topic.endswith("/pressure") for message in self.publisher.states)


@pytest.fixture
def hive(tmp_path: Path) -> Iterator[Hive]:
    """A hive at half past eleven at night, 14 May 2027."""
    hive = Hive(tmp_path, Machine(datetime(2027, 5, 14, 21, 30, tzinfo=UTC)))
    yield hive
    hive.store.close()


def test_a_hornet_is_present_while_a_visit_is_open(hive: Hive) -> None:
    """OFF at the start, ON with the visit, OFF after it, retained each time."""
    hive.visit("v1", 30)
    published = [message for message in hive.publisher.states if message.topic == "hivewatch/h1/hornet/state"]
    assert [message.payload for message in published] == [b"OFF", b"ON", b"OFF"]
    assert all(message.retained for message in published)


def test_visits_and_minutes_are_those_of_the_hour_and_of_the_local_day(hive: Hive) -> None:
    """At midnight in Paris the day's figures restart, the hour's continue."""
    for number in range(3):
        hive.visit(f"v{number}", 60)
    hive.machine.pass_time(60)
    late = hive.pressure()
    hive.machine.pass_time(30 * 60)
    after_midnight = hive.pressure()
    hive.machine.pass_time(3600)
    later = hive.pressure()
    figures = ("sightings_this_hour", "minutes_this_hour", "sightings_today", "minutes_today")
    assert [late[name] for name in figures] == [3, 3.0, 3, 3.0]
    assert [after_midnight[name] for name in figures] == [3, 3.0, 0, 0.0]
    assert [later[name] for name in figures] == [0, 0.0, 0, 0.0]


def test_a_hornet_that_stays_counts_minute_by_minute(hive: Hive) -> None:
    """Before the visit has ended: amber must not wait for the hornet to leave."""
    hive.record("v1")
    assert hive.pressure()["level"] == "green"
    hive.machine.pass_time(4 * 60)
    document = hive.pressure()
    assert (document["minutes_this_hour"], document["level"]) == (4.0, "amber")


def test_only_the_part_of_a_visit_within_the_hour_counts(hive: Hive) -> None:
    """A visit of ninety minutes fills the hour, but did not start within it."""
    hive.visit("v1", 90 * 60)
    document = hive.pressure()
    assert (document["sightings_this_hour"], document["minutes_this_hour"]) == (0, 60.0)


def test_the_start_of_a_level_survives_a_restart(hive: Hive, tmp_path: Path) -> None:
    """A beekeeper acts on "amber since ten", whatever happened to the machine since."""
    for number in range(4):
        hive.visit(f"v{number}", 1)
    before = hive.pressure()
    hive.machine.pass_time(600)
    hive.store.close()
    again = Hive(tmp_path, hive.machine)
    after = again.pressure()
    again.store.close()
    assert before["level"] == after["level"] == "amber"
    assert before["since"] == after["since"] == "2027-05-14T21:30:04.000Z"


def test_a_level_has_no_start_while_the_clock_is_wrong_and_gets_it_later(hive: Hive) -> None:
    """No time is better than a wrong one."""
    hive.machine.clock.trusted = False
    for number in range(4):
        hive.visit(f"v{number}", 1)
    assert hive.pressure()["since"] is None
    hive.machine.pass_time(100)
    hive.machine.clock.trusted = True
    assert hive.pressure()["since"] == "2027-05-14T21:30:04.000Z"


def test_the_pressure_is_published_at_changes_and_every_hour(hive: Hive) -> None:
    """Not with every frame."""
    start = hive.machine.wall
    while hive.machine.wall < start + timedelta(hours=3, minutes=1):
        hive.tick()
        hive.machine.pass_time(10)
    quiet = hive.count_published()
    hive.visit("v1", 1)
    hive.tick()
    assert quiet == 4
    assert hive.count_published() == 5


@pytest.mark.parametrize("text", ["", "{", "[]", '{"level": "blue", "since": null}', '{"level": "red"}'])
def test_a_damaged_state_starts_at_green(hive: Hive, tmp_path: Path, text: str) -> None:
    """It costs the start of a level, not the watch."""
    hive.store.close()
    with Store(tmp_path) as store:
        store.remember("pressure", text)
    again = Hive(tmp_path, hive.machine)
    assert again.pressure()["level"] == "green"
    again.store.close()
