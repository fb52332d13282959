"""Whether a hornet is there, and how hard they press: counted from the store, told with hysteresis."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from support.fakes import MODEL, make_sighting
from support.machines import Machine, Told

from hivewatch.config.sections import Config, HiveConfig, PressureConfig
from hivewatch.daemon.pressure import Predation
from hivewatch.daemon.pressure_level import next_level
from hivewatch.domain.sightings import Phase, Presence, PressureLevel, Sighting
from hivewatch.messages.alert import compose
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
    """Either figure raises it; both must be below the share that lets it fall."""
    assert next_level(THRESHOLDS, before, Presence(sightings, minutes * 60)) is after


class Hive:
    """A daemon's store and clock in Paris, with a publisher that remembers."""

    def __init__(self, directory: Path, machine: Machine) -> None:
        self.machine = machine
        self.store = Store(directory)
        self.publisher = Told(self.store)
        self.predation = Predation(CONFIG, self.store, self.publisher, machine.clock)

    def visit(self, id_: str, seconds: float) -> None:
        """Let a hornet come, stay and go."""
        began = self.machine.wall
        self._record(id_, Phase.START, began)
        self.machine.pass_time(seconds)
        self._record(id_, Phase.END, began)

    def begin(self, id_: str) -> None:
        """Let a hornet come and stay."""
        self._record(id_, Phase.START, self.machine.wall)

    def _record(self, id_: str, phase: Phase, began: datetime) -> None:
        now = self.machine.wall
        sighting: Sighting = dataclasses.replace(
            make_sighting(id_, phase), started_at=began, last_seen_at=now, at=now
        )
        alert = compose(sighting, CONFIG.hive, MODEL, "hivewatch", 90)
        self.store.record(sighting, alert, queue=False)
        self.predation.sighted(sighting)

    def pressure(self) -> dict[str, Any]:
        """Return what stands for the pressure now; it must fulfil the schema."""
        self.predation.look()
        document: dict[str, Any] = json.loads(self.publisher.last("pressure"))
        jsonschema.Draft202012Validator(schema("pressure")).validate(document)
        assert document.keys() == schema("pressure")["properties"].keys()
        return document

    def count_told(self) -> int:
        """Return how often the pressure was told."""
        return sum(message.topic.endswith("/pressure") for message in self.publisher.states)


@pytest.fixture
def hive(tmp_path: Path) -> Iterator[Hive]:
    """A hive at half past eleven at night, 14 May 2027."""
    hive = Hive(tmp_path, Machine(datetime(2027, 5, 14, 21, 30, tzinfo=UTC)))
    yield hive
    hive.store.close()


def test_a_hornet_is_there_while_a_visit_is_open(hive: Hive) -> None:
    """OFF at the start, ON with the visit, OFF after it, retained each time."""
    hive.visit("v1", 30)
    told = [message for message in hive.publisher.states if message.topic == "hivewatch/h1/hornet/state"]
    assert [message.payload for message in told] == [b"OFF", b"ON", b"OFF"]
    assert all(message.retained for message in told)


def test_visits_and_minutes_are_those_of_the_hour_and_of_the_local_day(hive: Hive) -> None:
    """At midnight in Paris the day's figures begin anew, the hour's go on."""
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
    hive.begin("v1")
    assert hive.pressure()["level"] == "green"
    hive.machine.pass_time(4 * 60)
    document = hive.pressure()
    assert (document["minutes_this_hour"], document["level"]) == (4.0, "amber")


def test_only_the_part_of_a_visit_that_lies_in_the_hour_counts(hive: Hive) -> None:
    """A visit of ninety minutes fills the hour, and is no visit of this hour."""
    hive.visit("v1", 90 * 60)
    document = hive.pressure()
    assert (document["sightings_this_hour"], document["minutes_this_hour"]) == (0, 60.0)


def test_since_when_a_level_holds_outlasts_a_restart(hive: Hive, tmp_path: Path) -> None:
    """A beekeeper acts on "amber since ten", whatever the machine did since then."""
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


def test_a_level_has_no_time_while_the_clock_is_wrong_and_gets_it_later(hive: Hive) -> None:
    """None is better than a wrong one; once the clock is right the time can be told."""
    hive.machine.clock.trusted = False
    for number in range(4):
        hive.visit(f"v{number}", 1)
    assert hive.pressure()["since"] is None
    hive.machine.pass_time(100)
    hive.machine.clock.trusted = True
    assert hive.pressure()["since"] == "2027-05-14T21:30:04.000Z"


def test_the_pressure_is_told_at_changes_and_every_hour(hive: Hive) -> None:
    """Not with every frame."""
    start = hive.machine.wall
    while hive.machine.wall < start + timedelta(hours=3, minutes=1):
        hive.predation.look()
        hive.machine.pass_time(10)
    quiet = hive.count_told()
    hive.visit("v1", 1)
    hive.predation.look()
    assert quiet == 4
    assert hive.count_told() == 5


@pytest.mark.parametrize("text", ["", "{", "[]", '{"level": "blue", "since": null}', '{"level": "red"}'])
def test_a_damaged_note_begins_at_green(hive: Hive, tmp_path: Path, text: str) -> None:
    """It costs a time, not the watch."""
    hive.store.close()
    (tmp_path / "pressure").write_text(text)
    again = Hive(tmp_path, hive.machine)
    assert again.pressure()["level"] == "green"
    again.store.close()
