"""What of a packet depends on its message: the MQTT 5 properties, and the size."""

from __future__ import annotations

from paho.mqtt.properties import Properties

from hivewatch.domain.wire import Envelope, Message

# At most: one byte of type and flags, four of the length, two of the topic's length, two of the packet's id.
_HEADER_BYTES = 9


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
