"""Commands as they come over MQTT: bounded, read and checked. What they bring about ``control.py`` knows.

Nothing that is sent can do more than be refused: what is too large is cut off where it arrives, what comes
too fast finds the inbox full, and what is not exactly a command is told why.
"""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_core import from_json

from hivewatch.config.sections import Section, Share
from hivewatch.domain.wire import Message
from hivewatch.errors import CommandError

LARGEST_BYTES = 4096
INBOX_SIZE = 16
BURST = 10
"""So many commands may come at once, and one a second after that."""
_LONGEST_PAUSE_S = 7 * 86_400.0
_LONGEST_WORD = 64


class Command(Section):
    """Base of all commands; ``id`` is the caller's name for this one, repeated in its answer."""

    id: Annotated[str, Field(max_length=_LONGEST_WORD)] | None = None


class Pause(Command):
    """Judge no frame any more: until resumed, or for so long."""

    duration_s: float | None = Field(default=None, gt=0, le=_LONGEST_PAUSE_S)


class Resume(Command):
    """Judge frames again."""


class TakeSnapshot(Command):
    """Send a picture of the view as it is."""


class SetThreshold(Command):
    """Alert from another score on; ``reset``: from that of the configuration file."""

    value: Share | None = None
    reset: bool = False

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.value is not None) == self.reset:
            raise ValueError('give either "value": a number from 0 to 1, or "reset": true')
        return self


class TestAlert(Command):
    """Send an alert that is marked as a test."""

    __test__ = False  # pytest takes it for one of its own


_BY_NAME: dict[str, type[Command]] = {
    "pause": Pause,
    "resume": Resume,
    "snapshot": TakeSnapshot,
    "threshold": SetThreshold,
    "test_alert": TestAlert,
}


class Inbox:
    """What came, on its way from the publisher's thread to the loop's. It holds no more than a few."""

    def __init__(self) -> None:
        """It is empty, and nothing was ``dropped`` yet."""
        self.dropped = 0
        self._messages: queue.Queue[Message] = queue.Queue(INBOX_SIZE)

    def put(self, message: Message) -> None:
        """Take a message in; of a large one only so much that it can be told as one. Never waits."""
        payload = message.payload[: LARGEST_BYTES + 1]
        try:
            self._messages.put_nowait(Message(message.topic, payload, message.retained))
        except queue.Full:
            self.dropped += 1

    def take(self) -> Message | None:
        """Return the oldest message, None where there is none."""
        try:
            return self._messages.get_nowait()
        except queue.Empty:
            return None


class Allowance:
    """Lets BURST commands through at once, and one a second in the long run."""

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        """Begin with all there is to use."""
        self._monotonic_s = monotonic_s
        self._left = float(BURST)
        self._at_s = monotonic_s()

    def use(self) -> bool:
        """Tell whether one more may be carried out, and count it."""
        now_s = self._monotonic_s()
        self._left = min(float(BURST), self._left + now_s - self._at_s)
        self._at_s = now_s
        allowed = self._left >= 1
        self._left -= allowed
        return allowed


def read(leaf: str, payload: bytes) -> Command:
    """Return the command that ``payload`` on topic ``leaf`` stands for; raises CommandError with a reason."""
    if len(payload) > LARGEST_BYTES:
        raise CommandError(f"longer than {LARGEST_BYTES} bytes: nothing of it was read")
    match leaf:
        case "detection/set":
            return _read_switch(payload)
        case "threshold/set":
            return _read_number(payload)
    kind = _BY_NAME.get(leaf.removeprefix("command/"))
    if kind is None:
        raise CommandError(f"there is no such command; known are {', '.join(_BY_NAME)}")
    return _read_document(kind, payload)


def name_of(leaf: str) -> str:
    """Return what the answer to a command on ``leaf`` calls it."""
    return leaf.removeprefix("command/").removesuffix("/set")[:_LONGEST_WORD]


def _read_switch(payload: bytes) -> Command:
    match payload:
        case b"ON":
            return Resume()
        case b"OFF":
            return Pause()
    raise CommandError("send ON or OFF")


def _read_number(payload: bytes) -> Command:
    if payload == b"reset":
        return SetThreshold(reset=True)
    try:
        return SetThreshold(value=from_json(payload, allow_inf_nan=False))
    except ValueError as error:
        raise CommandError("send a number from 0 to 1, or reset") from error


def _read_document(kind: type[Command], payload: bytes) -> Command:
    data = _parse(payload)
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        id_ = data.get("id")
        is_usable = isinstance(id_, str) and len(id_) <= _LONGEST_WORD
        raise CommandError(_sentence(error, kind), id_ if is_usable else None) from error


def _parse(payload: bytes) -> dict[str, Any]:
    """Return the JSON object; nothing at all is an empty one."""
    try:
        data = from_json(payload, allow_inf_nan=False) if payload.strip() else {}
    except ValueError as error:
        raise CommandError(f"is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise CommandError('is not a JSON object, such as {} or {"id": "1"}')
    return data


def _sentence(error: ValidationError, kind: type[Command]) -> str:
    fault = error.errors(include_url=False, include_input=False)[0]
    if fault["type"] == "extra_forbidden":
        name = str(fault["loc"][0])[:_LONGEST_WORD]
        return f"{name!r} is not known here; known are {', '.join(kind.model_fields)}"
    where = "".join(f"{part}: " for part in fault["loc"][:1])
    return where + fault["msg"].removeprefix("Value error, ")
