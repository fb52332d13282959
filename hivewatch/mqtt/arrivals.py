"""A subscriber that notes when messages come: for measuring how long they take."""

from __future__ import annotations

import queue
import threading
import time
from types import TracebackType
from typing import Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from hivewatch.errors import PublishError

_ANSWER_S = 10.0


class Arrivals:
    """Notes arrivals on ``topics`` of a broker on this machine; ``with`` it, they come."""

    def __init__(self, port: int, topics: tuple[str, ...]) -> None:
        """Connect to nothing yet."""
        self._port = port
        self._at_s: dict[str, queue.Queue[float]] = {topic: queue.Queue() for topic in topics}
        self._subscribed = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._note

    def __enter__(self) -> Self:
        """Subscribe; raises PublishError where no broker answers."""
        try:
            self._client.connect("127.0.0.1", self._port)
        except OSError as error:
            raise PublishError(f"no broker answers on port {self._port}: {error}") from error
        self._client.loop_start()
        self._client.subscribe([(topic, 1) for topic in self._at_s])
        if not self._subscribed.wait(_ANSWER_S):
            raise PublishError(f"the broker on port {self._port} takes no subscription")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave."""
        self._client.disconnect()
        self._client.loop_stop()

    def next_at_s(self, topic: str) -> float:
        """Wait for the next message on ``topic``; return when it came, by ``time.perf_counter``."""
        try:
            return self._at_s[topic].get(timeout=_ANSWER_S)
        except queue.Empty as error:
            raise PublishError(f"nothing came on {topic} within {_ANSWER_S:g} s") from error

    def _note(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        now_s = time.perf_counter()
        self._at_s[message.topic].put(now_s)
