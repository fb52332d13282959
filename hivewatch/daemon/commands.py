"""Commands as they arrive over MQTT: bounded, parsed and validated. ``control.py`` carries them out.

The worst that any message can achieve is to be rejected: a payload that is too large is cut off on arrival,
messages that come too fast find the inbox full, and an invalid command is answered with the reason.
"""

from __future__ import annotations

import logging
import math
import queue
from collections.abc import Callable
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_core import from_json

from hivewatch.config.sections import Section, Share
from hivewatch.domain.wire import Message
from hivewatch.errors import CommandError

log = logging.getLogger(__name__)

LARGEST_BYTES = 4096
INBOX_SIZE = 16
BURST = 10
"""This many commands may come at once, and one a second after that."""
SUM_UP_AFTER_S = 60.0
"""Refused commands have a line in the log of their own at most this often."""
_LONGEST_PAUSE_S = 7 * 86_400.0
_LONGEST_WORD = 64


class Command(Section):
    """Base of all commands; the answer repeats the caller's ``id``."""

    id: Annotated[str, Field(max_length=_LONGEST_WORD)] | None = None


class Pause(Command):
    """Classify no frame until resumed, or for ``duration_s`` seconds.

    Never from an empty payload: that is what clears a retained message at the broker, and MQTT 3.1.1 does not
    mark it as retained.
    """

    duration_s: float | None = Field(default=None, gt=0, le=_LONGEST_PAUSE_S)


class Resume(Command):
    """Classify frames again."""


class TakeSnapshot(Command):
    """Send a picture of the current view."""


class SetThreshold(Command):
    """Alert at another score, 0..1; ``reset`` returns to that of the configuration file."""

    value: Share | None = None
    reset: bool = False

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.value is not None) == self.reset:
            raise ValueError('give either "value": a number from 0 to 1, or "reset": true')
        return self


class TestAlert(Command):
    """Send an alert marked as a test."""

    __test__ = False  # or pytest would collect it


_BY_NAME: dict[str, type[Command]] = {
    "pause": Pause,
    "resume": Resume,
    "snapshot": TakeSnapshot,
    "threshold": SetThreshold,
    "test_alert": TestAlert,
}


class Inbox:
    """A bounded queue from the publisher's thread to the loop's."""

    def __init__(self) -> None:
        """Start empty. ``dropped`` counts the messages that found it full."""
        self.dropped = 0
        self._messages: queue.Queue[Message] = queue.Queue(INBOX_SIZE)

    def put(self, message: Message) -> None:
        """Add a message, a large one cut to one byte over the limit. Never waits."""
        payload = message.payload[: LARGEST_BYTES + 1]
        try:
            self._messages.put_nowait(Message(message.topic, payload, message.retained))
        except queue.Full:
            self.dropped += 1

    def take(self) -> Message | None:
        """Return the oldest message, None if there is none."""
        try:
            return self._messages.get_nowait()
        except queue.Empty:
            return None


class RateLimit:
    """A token bucket: BURST commands at once, and one a second in the long run."""

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        """Start with a full bucket."""
        self._monotonic_s = monotonic_s
        self._left = float(BURST)
        self._at_s = monotonic_s()

    def allows_one(self) -> bool:
        """Return whether one more command may be carried out, and count it if so."""
        now_s = self._monotonic_s()
        self._left = min(float(BURST), self._left + now_s - self._at_s)
        self._at_s = now_s
        allowed = self._left >= 1
        self._left -= allowed
        return allowed


class RefusedCommands:
    """Logs the first refused command at once, and those of the next minute in one line."""

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        """Start without any."""
        self._monotonic_s = monotonic_s
        self._count = 0
        self._latest = ""
        self._until_s = -math.inf

    def note(self, text: str) -> None:
        """Count a command that was refused or ignored; ``text`` names it and says why."""
        self.sum_up()
        if self._monotonic_s() < self._until_s:
            self._count, self._latest = self._count + 1, text
            return
        log.warning("%s", text)
        self._until_s = self._monotonic_s() + SUM_UP_AFTER_S

    def sum_up(self) -> None:
        """Log how many there were, once the minute is over."""
        if self._count and self._monotonic_s() >= self._until_s:
            log.warning(
                "%d more commands were refused or ignored within %g s, the latest: %s",
                *(self._count, SUM_UP_AFTER_S, self._latest),
            )
            self._count = 0
            self._until_s = self._monotonic_s() + SUM_UP_AFTER_S


def parse(leaf: str, payload: bytes) -> Command:
    """Return the command in ``payload`` on topic ``leaf``; raises CommandError with the reason."""
    if len(payload) > LARGEST_BYTES:
        raise CommandError(f"longer than {LARGEST_BYTES} bytes: ignored")
    match leaf:
        case "detection/set":
            return _parse_switch(payload)
        case "threshold/set":
            return _parse_number(payload)
    kind = _BY_NAME.get(leaf.removeprefix("command/"))
    if kind is None:
        raise CommandError(f"no such command; known are {', '.join(_BY_NAME)}")
    if kind is Pause and not payload.strip():
        raise CommandError("empty, as if a retained message was cleared: send {} to pause until resumed")
    return _parse_document(kind, payload)


def name_of(leaf: str) -> str:
    """Return the name of the command on ``leaf``, as its answer gives it."""
    return leaf.removeprefix("command/").removesuffix("/set")[:_LONGEST_WORD]


def _parse_switch(payload: bytes) -> Command:
    match payload:
        case b"ON":
            return Resume()
        case b"OFF":
            return Pause()
    raise CommandError("send ON or OFF")


def _parse_number(payload: bytes) -> Command:
    if payload == b"reset":
        return SetThreshold(reset=True)
    try:
        return SetThreshold(value=from_json(payload, allow_inf_nan=False))
    except ValueError as error:
        raise CommandError("send a number from 0 to 1, or reset") from error


def _parse_document(kind: type[Command], payload: bytes) -> Command:
    data = _json_object(payload)
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        id_ = data.get("id")
        is_usable = isinstance(id_, str) and len(id_) <= _LONGEST_WORD
        raise CommandError(_sentence(error, kind), id_ if is_usable else None) from error


def _json_object(payload: bytes) -> dict[str, Any]:
    """Return the JSON object; an empty payload is an empty object."""
    try:
        data = from_json(payload, allow_inf_nan=False) if payload.strip() else {}
    except ValueError as error:
        raise CommandError(f"not JSON: {error}") from error
    if not isinstance(data, dict):
        raise CommandError('not a JSON object, such as {} or {"id": "1"}')
    return data


def _sentence(error: ValidationError, kind: type[Command]) -> str:
    fault = error.errors(include_url=False, include_input=False)[0]
    if fault["type"] == "extra_forbidden":
        name = str(fault["loc"][0])[:_LONGEST_WORD]
        return f"{name!r} is unknown; known are {', '.join(kind.model_fields)}"
    where = "".join(f"{part}: " for part in fault["loc"][:1])
    return where + fault["msg"].removeprefix("Value error, ")
