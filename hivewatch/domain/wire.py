"""What goes to the MQTT broker and comes from it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Message:
    """What goes to the broker, always with QoS 1, or comes from it. It keeps the last ``retained``.

    ``sighting_id`` names the visit that it belongs to, if any.
    """

    topic: str
    payload: bytes
    retained: bool
    sighting_id: str | None = None


@dataclass(frozen=True, slots=True)
class Envelope:
    """What MQTT 5 can say beside a message: its kind, when it is out of date, and properties for readers."""

    content_type: str | None = None
    expiry_s: int | None = None
    properties: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Alert:
    """A Sighting's wire form: the JSON ``event``, the annotated JPEG to send, and the clean JPEG to keep.

    Both pictures are None where there was no room for them; the event then says so. ``own_snapshot`` is the
    annotated one once more, on a topic of the sighting's own, where that is wanted.
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
