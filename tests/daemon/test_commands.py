"""Commands as they arrive: parsed exactly, or rejected with a reason, whatever is sent."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.payloads import EXAMPLES, LEAVES, payloads

from hivewatch.daemon.commands import (
    BURST,
    INBOX_SIZE,
    LARGEST_BYTES,
    Command,
    Inbox,
    Pause,
    RateLimit,
    Resume,
    SetThreshold,
    TakeSnapshot,
    TestAlert,
    name_of,
    parse,
)
from hivewatch.domain.wire import Message
from hivewatch.errors import CommandError


@pytest.mark.parametrize(
    ("leaf", "payload", "command"),
    [
        ("command/pause", b"{}", Pause()),
        ("command/pause", b'{"duration_s": 60, "id": "a"}', Pause(id="a", duration_s=60.0)),
        ("command/resume", b" {} ", Resume()),
        ("command/snapshot", b'{"id": "1"}', TakeSnapshot(id="1")),
        ("command/threshold", b'{"value": 1}', SetThreshold(value=1.0)),
        ("command/threshold", b'{"reset": true}', SetThreshold(reset=True)),
        ("command/test_alert", b"", TestAlert()),
        ("detection/set", b"ON", Resume()),
        ("detection/set", b"OFF", Pause()),
        ("threshold/set", b"0.85", SetThreshold(value=0.85)),
        ("threshold/set", b"reset", SetThreshold(reset=True)),
    ],
)
def test_every_command_of_the_contract_is_parsed(leaf: str, payload: bytes, command: Command) -> None:
    """As JSON, as an empty payload, or as the plain text of switches and sliders."""
    assert parse(leaf, payload) == command


@pytest.mark.parametrize(
    ("leaf", "payload", "reason"),
    [
        ("command/pause", b"", "empty, as if a retained message was cleared: send {} to pause until resumed"),
        ("command/pause", b" \n", "send {} to pause"),
        ("detection/set", b"", "send ON or OFF"),
        ("command/pause", b"{", "not JSON"),
        ("command/pause", b"\xff\xfe", "not JSON"),
        ("command/pause", b"[" * 4000, "not JSON: recursion"),
        ("command/pause", b"[1]", "not a JSON object"),
        ("command/pause", b'{"duration_s": -1}', "duration_s: Input should be greater than 0"),
        ("command/pause", b'{"duration_s": 1e9}', "duration_s: Input should be less than"),
        ("command/pause", b'{"duration_s": "60"}', "duration_s: Input should be a valid number"),
        ("command/pause", b'{"duration": 60}', "'duration' is unknown; known are id, duration_s"),
        ("command/threshold", b"", 'give either "value"'),
        ("command/threshold", b'{"value": 0.5, "reset": true}', 'give either "value"'),
        ("command/threshold", b'{"value": NaN}', "not JSON"),
        ("command/threshold", b'{"value": true}', "value: Input should be a valid number"),
        ("command/reboot", b"", "no such command; known are pause, resume"),
        ("detection/set", b"off", "send ON or OFF"),
        ("threshold/set", b"1.5", "send a number from 0 to 1, or reset"),
        ("threshold/set", b"true", "send a number from 0 to 1, or reset"),
        ("threshold/set", b"", "send a number from 0 to 1, or reset"),
        ("command/resume", b" " * (LARGEST_BYTES + 1), "longer than 4096 bytes"),
    ],
)
def test_an_invalid_command_is_rejected_with_a_reason(leaf: str, payload: bytes, reason: str) -> None:
    """The reason tells its sender what to do."""
    with pytest.raises(CommandError, match=reason.replace("(", r"\(")):
        parse(leaf, payload)


def test_a_rejection_carries_the_id_if_it_could_be_read() -> None:
    """So that the caller knows which of its commands failed; an id of the wrong kind is none."""
    for payload, expected in ((b'{"id": "x", "no": 1}', "x"), (b'{"id": 7}', None), (b"{", None)):
        with pytest.raises(CommandError) as caught:
            parse("command/pause", payload)
        assert caught.value.id == expected


@settings(max_examples=EXAMPLES, deadline=None)
@given(leaf=st.sampled_from(LEAVES), payload=payloads)
def test_every_payload_is_a_command_within_bounds_or_rejected(leaf: str, payload: bytes) -> None:
    """No other exception, no value out of bounds, no reason longer than a person reads."""
    try:
        command = parse(leaf, payload)
    except CommandError as error:
        assert 0 < len(f"{error}") < 400
        assert error.id is None or len(error.id) <= 64
        return
    assert command.id is None or len(command.id) <= 64
    match command:
        case Pause(duration_s=float(duration_s)):
            assert 0 < duration_s <= 7 * 86_400
        case SetThreshold(value=value, reset=reset):
            assert reset is (value is None)
            assert value is None or 0 <= value <= 1


def test_the_inbox_holds_a_few_messages_and_counts_the_others() -> None:
    """A flood neither fills the memory nor makes the publisher wait; a huge one is cut."""
    inbox = Inbox()
    for number in range(INBOX_SIZE + 5):
        inbox.put(Message(f"t{number}", bytes(1_000_000), retained=False))
    taken = []
    while (message := inbox.take()) is not None:
        taken.append(message)
    assert [message.topic for message in taken] == [f"t{number}" for number in range(INBOX_SIZE)]
    assert {len(message.payload) for message in taken} == {LARGEST_BYTES + 1}
    assert inbox.dropped == 5


def test_a_burst_is_allowed_and_then_one_a_second() -> None:
    """However long it was quiet before."""
    now_s = [1000.0]
    rate_limit = RateLimit(lambda: now_s[0])
    now_s[0] += 3600
    assert sum(rate_limit.allows_one() for _ in range(BURST + 5)) == BURST
    now_s[0] += 2.5
    assert sum(rate_limit.allows_one() for _ in range(5)) == 2


def test_an_answer_uses_a_short_name_of_the_command() -> None:
    """The last part of its topic, cut if it is long."""
    names = [
        name_of(leaf) for leaf in ("command/pause", "detection/set", "threshold/set", "command/" + "x" * 500)
    ]
    assert names == ["pause", "detection", "threshold", "x" * 64]
