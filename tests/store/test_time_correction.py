"""Times recorded before the clock was set are corrected once it is, in the records and in the outbox."""

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
    """Return a sighting of 20 s as recorded by a clock that started in 1970."""
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


def corrected_to(moment: datetime | None) -> Callable[[str], str | None]:
    return partial(with_corrected_times, date_of=lambda _stamp: moment)


def events(store: Store) -> list[dict[str, Any]]:
    """Return the unsent events, each validated against the schema."""
    messages = [entry.message for entry in store.pending(100)]
    documents = [json.loads(m.payload) for m in messages if m.topic.endswith("/event")]
    for document in documents:
        jsonschema.Draft202012Validator(schema("sighting")).validate(document)
    return documents


def test_only_documents_with_untrusted_times_are_marked(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        record(store, in_1970("a"), STAMP)
        record(store, in_1970("b"), None)
        first, second = events(store)
    assert first["clock"] == {"boot_id": "this boot", "monotonic_s": 300.0}
    assert "clock" not in second


def test_a_picture_with_an_untrusted_time_shows_none() -> None:
    sighting = in_1970("a")
    dated, undated = (annotate(sighting.best_frame, sighting.best, dated=dated) for dated in (True, False))
    height_px = sighting.best_frame.height_px
    assert (dated[:height_px] == undated[:height_px]).all()
    other = dataclasses.replace(sighting.best_frame, taken_at=NOON)
    assert (annotate(other, sighting.best, dated=False) == undated).all()


def test_records_and_unsent_events_are_all_shifted_by_the_same_time(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        record(store, in_1970("a", Phase.START), STAMP)
        record(store, in_1970("a"), STAMP)
        assert store.correct_times(corrected_to(NOON)) == 1
        (kept,) = store.sightings(10)
        assert kept.started_at == NOON - timedelta(seconds=20)
        assert kept.last_seen_at == NOON - timedelta(seconds=5)
        assert kept.ended_at == NOON
        documents = events(store)
        assert [document["event_type"] for document in documents] == ["start", "end"]
        for document in documents:
            assert document["at"] == "2027-05-14T12:00:00.000Z"
            assert document["started_at"] == "2027-05-14T11:59:40.000Z"
            assert document["frame"]["taken_at"] == "2027-05-14T11:59:50.000Z"
            assert "clock" not in document
        assert documents[1]["ended_at"] == documents[1]["at"]
        assert json.loads(kept.document or "") == documents[1]


def test_times_are_corrected_only_once(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        record(store, in_1970("a"), STAMP)
        store.correct_times(corrected_to(NOON))
        assert store.correct_times(corrected_to(NOON + timedelta(days=1))) == 0
        assert events(store)[0]["at"] == "2027-05-14T12:00:00.000Z"


def test_times_that_cannot_be_corrected_stay_marked(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        record(store, in_1970("a"), STAMP)
        assert store.correct_times(corrected_to(None)) == 0
        assert events(store)[0]["clock"]["boot_id"] == "this boot"


def test_sightings_with_trusted_times_are_not_changed(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        record(store, make_sighting("b", Phase.END), None)
        before = store.sightings(10), events(store)
        assert store.correct_times(corrected_to(NOON)) == 0
        assert (store.sightings(10), events(store)) == before


def test_times_are_corrected_after_a_restart(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        record(store, in_1970("a"), STAMP)
    with Store(tmp_path) as store:
        assert store.correct_times(corrected_to(NOON)) == 1
        assert events(store)[0]["ended_at"] == "2027-05-14T12:00:00.000Z"


def test_an_error_during_the_correction_changes_nothing(tmp_path: Path) -> None:
    def fail(_document: str) -> str:
        raise ValueError("no")

    with Store(tmp_path) as store:
        record(store, in_1970("a"), STAMP)
        before = events(store)
        with pytest.raises(ValueError, match="no"):
            store.correct_times(fail)
        assert events(store) == before


def test_a_time_that_a_flipped_bit_has_spoilt_keeps_no_other_from_being_corrected(tmp_path: Path) -> None:
    """The true times of that event are unknown: it stays marked."""
    with Store(tmp_path / "store") as store:
        for id_ in ("one", "two"):
            record(store, in_1970(id_), STAMP)
        change = (
            "UPDATE sightings SET document = replace(document, '\"at\":\"1', '\"at\":\"9') WHERE id = 'one'"
        )
        store._records.execute(change)
        assert store.correct_times(corrected_to(NOON)) == 1


@pytest.mark.parametrize("size", ["size_bytes", "size_bytes + 57"], ids=["as written", "as 0.3 left it"])
def test_corrected_events_are_not_taken_for_damage_at_the_next_start(tmp_path: Path, size: str) -> None:
    """The corrected document is shorter. hivewatch 0.3 left the size that it had before."""
    with Store(tmp_path / "store") as store:
        record(store, in_1970("one"), STAMP)
        assert store.correct_times(corrected_to(NOON)) == 1
        assert store.status().unsent_bytes == sum(len(entry.message.payload) for entry in store.pending(9))
        change = f"UPDATE outbox SET size_bytes = {size} WHERE payload IS NOT NULL"  # noqa: S608  constants
        store._records.execute(change)
    with Store(tmp_path / "store") as store:
        assert store.status().set_aside is None
