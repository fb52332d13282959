"""MQTT messages, sent and received."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Message:
    """A message to the broker, always sent with QoS 1, or from it.

    ``sighting_id`` is the sighting it belongs to, if any.
    """

    topic: str
    payload: bytes
    retained: bool
    sighting_id: str | None = None


@dataclass(frozen=True, slots=True)
class Envelope:
    """The MQTT 5 properties of a message: content type, message expiry, and user properties."""

    content_type: str | None = None
    expiry_s: int | None = None
    properties: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Alert:
    """The messages of a Sighting: the JSON ``event``, the annotated JPEG to send, and the clean JPEG to keep.

    Both pictures are None if the disk had no room for them; the event then says so. ``own_snapshot`` is the
    annotated picture on the sighting's own topic, if configured.
    """

    event: Message
    snapshot: Message | None
    clean_jpeg: bytes | None
    own_snapshot: Message | None = None

    @property
    def snapshots(self) -> tuple[Message, ...]:
        """The messages that carry the annotated picture."""
        return tuple(message for message in (self.snapshot, self.own_snapshot) if message is not None)


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """A Message that the broker has not acknowledged yet."""

    id: int
    message: Message
    is_picture: bool = False
