"""A fleet as `hivewatch watch` shows it, from the hives' MQTT messages alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hivewatch.domain.wire import Message
from hivewatch.fleet.hives import LEAVES, Fleet, Row, duration, log_line, printable, table

NOW = datetime(2026, 9, 14, 12, 0, 0, tzinfo=UTC)


def document(**content: object) -> bytes:
    return json.dumps({"hive": {"id": "hive1", "name": "Pear tree"}, **content}).encode()


def health(at: datetime = NOW, last_age_s: float | None = 0.4) -> bytes:
    return document(at=at.isoformat(), frames={"last_age_s": last_age_s})


def receive(fleet: Fleet, topic: str, payload: bytes) -> None:
    fleet.on_message(Message(topic, payload, retained=False))


def fleet_after(**leaves: bytes) -> Fleet:
    """Return a fleet with the messages of a healthy hive1, replaced by ``leaves``; "_" stands for "/"."""
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
        receive(fleet, f"apiary/hives/hive1/{leaf.replace('_', '/')}", payload)
    return fleet


def row(fleet: Fleet) -> Row:
    (only,) = fleet.rows(NOW)
    return only


def test_a_healthy_hive_is_one_complete_row() -> None:
    assert row(fleet_after()) == Row("hive1", "Pear tree", "online", "online", "0.4 s", "none", "3", "green")


def test_an_offline_hive_shows_its_count_and_no_outdated_state() -> None:
    assert row(fleet_after(availability=b"offline")) == Row(
        "hive1", "Pear tree", "offline", "-", "-", "-", "3", "-"
    )


def test_a_present_hornet_is_shown_in_capitals() -> None:
    assert row(fleet_after(hornet_state=b"ON")).hornet == "HORNET"


def test_without_a_camera_the_hornet_state_is_unknown() -> None:
    camera = document(status="offline", reasons=["no frames"])
    assert row(fleet_after(camera_status=camera))[3:6] == ("offline (no frames)", "0.4 s", "-")


def test_while_detection_is_paused_no_hornet_state_is_shown() -> None:
    assert row(fleet_after(detection_state=b"OFF")).hornet == "paused"


def test_the_faults_of_the_camera_are_shown() -> None:
    camera = document(status="degraded", reasons=["dark", "slow"])
    assert row(fleet_after(camera_status=camera)).camera == "degraded (dark, slow)"


def test_the_last_frame_grows_older_without_new_messages() -> None:
    assert row(fleet_after(health=health(NOW - timedelta(seconds=50)))).frame_age == "50 s"


def test_a_hive_whose_clock_is_ahead_has_no_negative_frame_age() -> None:
    assert row(fleet_after(health=health(NOW + timedelta(hours=1)))).frame_age == "0.4 s"


def test_a_hive_without_a_frame_has_no_frame_age() -> None:
    assert row(fleet_after(health=health(last_age_s=None))).frame_age == "?"


def test_states_not_received_yet_are_unknown() -> None:
    fleet = Fleet("hivewatch")
    receive(fleet, "hivewatch/hive1/availability", b"online")
    assert row(fleet)[2:] == ("online", "?", "?", "?", "?", "?")


@pytest.mark.parametrize("leaf", LEAVES)
@pytest.mark.parametrize("payload", [b"", b"\xff", b"{}", b"[]", b"nonsense", b"[" * 100_000, b"null"])
def test_an_unreadable_message_is_shown_as_a_fault_of_that_hive(leaf: str, payload: bytes) -> None:
    fleet = fleet_after()
    receive(fleet, f"apiary/hives/hive1/{leaf}", payload)
    assert row(fleet).camera == f"{leaf} unreadable"


def test_a_fault_ends_with_the_next_readable_message() -> None:
    fleet = fleet_after(hornet_state=b"maybe")
    receive(fleet, "apiary/hives/hive1/hornet/state", b"OFF")
    assert row(fleet).camera == "online"


def test_other_topics_are_ignored() -> None:
    fleet = Fleet("hivewatch")
    for topic in (
        "hivewatch/hive1/snapshot",
        "hivewatch/availability",
        "other/hive1/availability",
        "hivewatch",
    ):
        receive(fleet, topic, b"online")
    assert not fleet.rows(NOW)


def test_a_cleared_fleet_has_no_hives() -> None:
    fleet = fleet_after()
    fleet.clear()
    assert not fleet.rows(NOW)


@given(st.sampled_from(LEAVES), st.binary(max_size=200))
def test_no_payload_raises(leaf: str, payload: bytes) -> None:
    fleet = fleet_after()
    receive(fleet, f"apiary/hives/hive1/{leaf}", payload)
    assert len(fleet.rows(NOW)) == 1


def test_a_name_cannot_send_control_characters_to_the_terminal() -> None:
    evil = json.dumps({"hive": {"name": "\x1b[2J\x07nasty\n" + "x" * 99}, "status": "online", "reasons": []})
    name = row(fleet_after(pressure=b"?", health=b"?", camera_status=evil.encode())).name
    assert name.isprintable()
    assert len(name) == 24
    assert printable("Bienenstöcke im Tal") == "Bienenstöcke im Tal"


def test_hives_are_in_columns_ordered_by_id() -> None:
    fleet = Fleet("hivewatch")
    for hive in ("b", "a-long-one"):
        receive(fleet, f"hivewatch/{hive}/availability", b"online")
    lines = table(fleet.rows(NOW), width=80)
    assert [line.split()[0] for line in lines] == ["HIVE", "a-long-one", "b"]
    assert lines[0].index("DAEMON") == lines[1].index("online") == lines[2].index("online")


def test_no_line_is_wider_than_the_terminal() -> None:
    assert max(map(len, table(fleet_after().rows(NOW), width=20))) == 20


def test_a_log_line_names_every_state() -> None:
    assert log_line(row(fleet_after())) == (
        "hive1 'Pear tree': daemon online, camera online, hornet none, today 3, pressure green"
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (12, "12 s"),
        (119, "119 s"),
        (600, "10 min"),
        (7380, "2 h 3 min"),
        (180_000, "2 d 2 h"),
    ],
)
def test_durations_are_written_in_their_two_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text
