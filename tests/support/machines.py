"""A machine's clocks that a test turns, and a publisher that only remembers."""

from __future__ import annotations

from datetime import datetime, timedelta

from hivewatch.config.sections import ClockConfig, MqttConfig
from hivewatch.domain.wire import Message
from hivewatch.mqtt.publisher import Publisher
from hivewatch.store import Store
from hivewatch.system.clock import Clock


class Machine:
    """The clocks of a machine."""

    def __init__(self, wall: datetime) -> None:
        self.wall = wall
        self.monotonic_s = 1000.0
        self.clock = Clock(
            ClockConfig(wait_s=600),
            now=lambda: self.wall,
            monotonic_s=lambda: self.monotonic_s,
            synchronised=lambda: True,
        )
        self.clock.start(None)
        self.clock.release_messages()

    def pass_time(self, seconds: float) -> None:
        self.monotonic_s += seconds
        self.wall += timedelta(seconds=seconds)


class Told(Publisher):
    """A publisher that remembers what it was to tell; it is never started, so it connects to nothing."""

    def __init__(self, store: Store) -> None:
        super().__init__(MqttConfig(), store, "test")
        self.states: list[Message] = []
        self.remarks: list[Message] = []
        self.is_connected = True

    def state(self, message: Message) -> None:
        self.states.append(message)

    def remark(self, message: Message) -> None:
        self.remarks.append(message)

    def last(self, leaf: str) -> bytes:
        """Return the payload that stands for the topic ending in ``leaf``."""
        return next(m.payload for m in reversed(self.states) if m.topic.endswith(f"/{leaf}"))
