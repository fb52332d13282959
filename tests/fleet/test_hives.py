"""A fleet as `hivewatch watch` shows it, from what hives say alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hivewatch.fleet.hives import LEAVES, Fleet, Row, duration, printable, sentence, table

NOW = datetime(2026, 9, 14, 12, 0, 0, tzinfo=UTC)


def document(**content: object) -> bytes:
    return json.dumps({"hive": {"id": "hive1", "name": "Pear tree"}, **content}).encode()


def health(at: datetime = NOW, last_age_s: float | None = 0.4) -> bytes:
    return document(at=at.isoformat(), frames={"last_age_s": last_age_s})


def told(**leaves: bytes) -> Fleet:
    """Return a fleet that has heard these of hive1 beside what a healthy hive says; "_" stands for "/"."""
    usual = {
        "availability": b"online",
        "camera_status": document(status="online", reasons=[]),
        "hornet_state": b"OFF",
        "detection_state": b"ON",
        "pressure": document(sightings_today=3, level="green"),
        "health": health(),
    }
    fleet = Fleet("apiary/hives")
    for leaf, payload in (usual | leaves).items():
        fleet.hear(f"apiary/hives/hive1/{leaf.replace('_', '/')}", payload)
    return fleet


def row(fleet: Fleet) -> Row:
    (only,) = fleet.rows(NOW)
    return only


def test_a_healthy_hive_is_one_row_with_all_that_matters() -> None:
    assert row(told()) == Row("hive1", "Pear tree", "online", "online", "0.4 s", "none", "3", "green")


def test_a_hive_that_is_gone_keeps_its_count_but_nothing_that_looks_alive() -> None:
    assert row(told(availability=b"offline")) == Row("hive1", "Pear tree", "offline", "-", "-", "-", "3", "-")


def test_a_hornet_that_is_there_stands_out() -> None:
    assert row(told(hornet_state=b"ON")).hornet == "HORNET"


def test_without_a_camera_nobody_claims_that_there_is_no_hornet() -> None:
    camera = document(status="offline", reasons=["no frames"])
    assert row(told(camera_status=camera))[3:6] == ("offline (no frames)", "0.4 s", "-")


def test_while_detection_is_paused_nobody_claims_that_there_is_no_hornet() -> None:
    assert row(told(detection_state=b"OFF")).hornet == "paused"


def test_what_is_wrong_with_the_camera_is_told() -> None:
    camera = document(status="degraded", reasons=["dark", "slow"])
    assert row(told(camera_status=camera)).camera == "degraded (dark, slow)"


def test_the_last_frame_grows_older_while_the_hive_says_nothing_new() -> None:
    assert row(told(health=health(NOW - timedelta(seconds=50)))).frame_age == "50 s"


def test_a_hive_whose_clock_is_ahead_has_no_frames_from_the_future() -> None:
    assert row(told(health=health(NOW + timedelta(hours=1)))).frame_age == "0.4 s"


def test_a_hive_that_has_seen_no_frame_yet_has_no_age_of_it() -> None:
    assert row(told(health=health(last_age_s=None))).frame_age == "?"


def test_what_a_hive_has_not_told_yet_is_unknown_not_well() -> None:
    fleet = Fleet("hivewatch")
    fleet.hear("hivewatch/hive1/availability", b"online")
    assert row(fleet)[2:] == ("online", "?", "?", "?", "?", "?")


@pytest.mark.parametrize("leaf", LEAVES)
@pytest.mark.parametrize("payload", [b"", b"\xff", b"{}", b"[]", b"nonsense", b"[" * 100_000, b"null"])
def test_what_cannot_be_read_is_shown_as_a_fault_of_that_hive(leaf: str, payload: bytes) -> None:
    fleet = told()
    fleet.hear(f"apiary/hives/hive1/{leaf}", payload)
    assert row(fleet).camera == f"{leaf} unreadable"


def test_a_fault_is_over_with_the_next_message_that_can_be_read() -> None:
    fleet = told(hornet_state=b"maybe")
    fleet.hear("apiary/hives/hive1/hornet/state", b"OFF")
    assert row(fleet).camera == "online"


def test_topics_of_others_are_passed_over() -> None:
    fleet = Fleet("hivewatch")
    for topic in (
        "hivewatch/hive1/snapshot",
        "hivewatch/availability",
        "other/hive1/availability",
        "hivewatch",
    ):
        fleet.hear(topic, b"online")
    assert not fleet.rows(NOW)


def test_without_a_broker_no_hive_is_said_to_be_online() -> None:
    fleet = told()
    fleet.forget()
    assert not fleet.rows(NOW)


@given(st.sampled_from(LEAVES), st.binary(max_size=200))
def test_no_payload_brings_it_down(leaf: str, payload: bytes) -> None:
    fleet = told()
    fleet.hear(f"apiary/hives/hive1/{leaf}", payload)
    assert len(fleet.rows(NOW)) == 1


def test_a_name_cannot_steer_the_terminal() -> None:
    evil = json.dumps({"hive": {"name": "\x1b[2J\x07nasty\n" + "x" * 99}, "status": "online", "reasons": []})
    name = row(told(pressure=b"?", health=b"?", camera_status=evil.encode())).name
    assert name.isprintable()
    assert len(name) == 24
    assert printable("Bienenstöcke im Tal") == "Bienenstöcke im Tal"


def test_hives_stand_in_columns_in_the_order_of_their_ids() -> None:
    fleet = Fleet("hivewatch")
    for hive in ("b", "a-long-one"):
        fleet.hear(f"hivewatch/{hive}/availability", b"online")
    lines = table(fleet.rows(NOW), width=80)
    assert [line.split()[0] for line in lines] == ["HIVE", "a-long-one", "b"]
    assert lines[0].index("DAEMON") == lines[1].index("online") == lines[2].index("online")


def test_no_line_is_longer_than_the_terminal_is_wide() -> None:
    assert max(map(len, table(told().rows(NOW), width=20))) == 20


def test_a_line_for_a_log_says_it_in_words() -> None:
    assert sentence(row(told())) == (
        "hive1 'Pear tree': daemon online, camera online, hornet none, today 3, pressure green"
    )


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.04, "0.0 s"),
        (12, "12 s"),
        (119, "119 s"),
        (600, "10 min"),
        (7380, "2 h 3 min"),
        (180_000, "2 d 2 h"),
    ],
)
def test_lengths_of_time_are_said_as_people_do(seconds: float, words: str) -> None:
    assert duration(seconds) == words
