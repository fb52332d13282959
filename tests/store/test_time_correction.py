"""What was recorded by a clock that nobody could trust is dated once it can be, in store and outbox."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from support.fakes import MODEL, make_frame, make_sighting

from hivewatch.domain.sightings import Phase, Sighting, Stamp
from hivewatch.messages.alert import compose, with_corrected_times
from hivewatch.messages.annotate import annotate
from hivewatch.messages.documents import schema
from hivewatch.messages.topics import HiveTopics
from hivewatch.store import Store

IN_1970 = datetime(1970, 1, 1, 0, 5, tzinfo=UTC)
NOON = datetime(2027, 5, 14, 12, 0, tzinfo=UTC)
STAMP = Stamp("this boot", 300.0)
TOPICS = HiveTopics("hive1", "Hive 1", "hivewatch")


def in_1970(id_: str, phase: Phase = Phase.END) -> Sighting:
    """Return a sighting of 20 s as a clock told it that began at 1970."""
    sighting = make_sighting(id_, phase, at_s=20)
    frame = dataclasses.replace(make_frame(), taken_at=IN_1970 - timedelta(seconds=10))
    return dataclasses.replace(
        sighting,
        at=IN_1970,
        started_at=IN_1970 - timedelta(seconds=20),
        last_seen_at=IN_1970 - timedelta(seconds=5),
        best_frame=frame,
    )


def record(store: Store, sighting: Sighting, stamp: Stamp | None) -> None:
    store.record(sighting, compose(sighting, TOPICS, MODEL, 90, stamp))


def dated_at(moment: datetime | None) -> Callable[[str], str | None]:
    return partial(with_corrected_times, date_of=lambda _stamp: moment)


def events(store: Store) -> list[dict[str, Any]]:
    """Return the unsent events, each of which must fulfil the schema."""
    messages = [entry.message for entry in store.pending(100)]
    documents = [json.loads(m.payload) for m in messages if m.topic.endswith("/event")]
    for document in documents:
        jsonschema.Draft202012Validator(schema("sighting")).validate(document)
    return documents


def test_a_document_of_untrusted_times_says_so_and_others_do_not(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        record(store, in_1970("a"), STAMP)
        record(store, in_1970("b"), None)
        first, second = events(store)
    assert first["clock"] == {"boot_id": "this boot", "monotonic_s": 300.0}
    assert "clock" not in second


def test_a_picture_of_untrusted_time_tells_none() -> None:
    sighting = in_1970("a")
    dated, undated = (annotate(sighting.best_frame, sighting.best, dated=dated) for dated in (True, False))
    height_px = sighting.best_frame.height_px
    assert (dated[:height_px] == undated[:height_px]).all()
    other = dataclasses.replace(sighting.best_frame, taken_at=NOON)
    assert (annotate(other, sighting.best, dated=False) == undated).all()


def test_records_and_unsent_events_are_dated_all_by_the_same_shift(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        record(store, in_1970("a", Phase.START), STAMP)
        record(store, in_1970("a"), STAMP)
        assert store.redate(dated_at(NOON)) == 1
        (kept,) = store.sightings(10)
        assert kept.started_at == NOON - timedelta(seconds=20)
        assert kept.last_seen_at == NOON - timedelta(seconds=5)
        assert kept.ended_at == NOON
        told = events(store)
        assert [document["event_type"] for document in told] == ["start", "end"]
        for document in told:
            assert document["at"] == "2027-05-14T12:00:00.000Z"
            assert document["started_at"] == "2027-05-14T11:59:40.000Z"
            assert document["frame"]["taken_at"] == "2027-05-14T11:59:50.000Z"
            assert "clock" not in document
        assert told[1]["ended_at"] == told[1]["at"]
        assert json.loads(kept.document or "") == told[1]


def test_what_is_dated_is_not_dated_again(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        record(store, in_1970("a"), STAMP)
        store.redate(dated_at(NOON))
        assert store.redate(dated_at(NOON + timedelta(days=1))) == 0
        assert events(store)[0]["at"] == "2027-05-14T12:00:00.000Z"


def test_what_nobody_can_date_stays_marked(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        record(store, in_1970("a"), STAMP)
        assert store.redate(dated_at(None)) == 0
        assert events(store)[0]["clock"]["boot_id"] == "this boot"


def test_other_sightings_are_left_alone(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        record(store, make_sighting("b", Phase.END), None)
        before = store.sightings(10), events(store)
        assert store.redate(dated_at(NOON)) == 0
        assert (store.sightings(10), events(store)) == before


def test_what_was_held_back_survives_a_crash_in_between(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        record(store, in_1970("a"), STAMP)
    with Store(tmp_path) as store:
        assert store.redate(dated_at(NOON)) == 1
        assert events(store)[0]["ended_at"] == "2027-05-14T12:00:00.000Z"


def test_a_clock_that_goes_wrong_while_dating_changes_nothing(tmp_path: Path) -> None:
    def fail(_document: str) -> str:
        raise ValueError("no")

    with Store(tmp_path) as store:
        record(store, in_1970("a"), STAMP)
        before = events(store)
        with pytest.raises(ValueError, match="no"):
            store.redate(fail)
        assert events(store) == before
