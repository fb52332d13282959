"""What of a packet depends on its message, the MQTT 5 properties and the size, and the answer to it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from hivewatch.domain.wire import Envelope, Message
from hivewatch.mqtt.client import PACKET_TOO_LARGE

# At most: one byte of type and flags, four of the length, two of the topic's length, two of the packet's id.
_HEADER_BYTES = 9


@dataclass(slots=True)
class Reply:
    """The broker's answer to a message or subscription; ``refusal`` is the reason if it refuses, else "".

    ``is_too_large``: the reason is the size of the message.
    """

    is_answered: bool = False
    refusal: str = ""
    is_too_large: bool = False

    def note(self, reasons: Iterable[ReasonCode]) -> None:
        """Note the broker's answer."""
        refusals = [reason for reason in reasons if reason.is_failure]
        self.is_answered, self.refusal = True, f"{refusals[0]}" if refusals else ""
        self.is_too_large = any(reason.value == PACKET_TOO_LARGE for reason in refusals)


def make_properties(envelope: Envelope, packet: int) -> Properties:
    """Return the MQTT 5 properties that carry ``envelope`` in a ``packet`` of that type."""
    properties = Properties(packet)  # type: ignore[no-untyped-call]
    if envelope.content_type is not None:
        properties.ContentType = envelope.content_type
    if envelope.expiry_s is not None:
        properties.MessageExpiryInterval = envelope.expiry_s
    if envelope.properties:
        properties.UserProperty = list(envelope.properties)
    return properties


def packet_bytes(message: Message, properties: Properties | None) -> int:
    """Return the size of the packet that carries ``message``, rounded up by a few bytes."""
    extra_bytes = 0 if properties is None else len(properties.pack())  # type: ignore[no-untyped-call]
    return _HEADER_BYTES + len(message.topic.encode()) + extra_bytes + len(message.payload)
