"""A simulated hive for clients' tests: it publishes the daemon's messages without camera or model."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from hivewatch.config.sections import Config
from hivewatch.domain.sightings import Phase
from hivewatch.domain.wire import Message
from hivewatch.messages.alert import compose
from hivewatch.messages.documents import header, to_json
from hivewatch.messages.homeassistant import discovery
from hivewatch.messages.states import availability_message
from hivewatch.messages.topics import HiveTopics, hive_key
from support.brokers import wait_until
from support.fakes import MODEL, make_frame, make_pixels, make_sighting


class SpokenHive:
    """The hive ``hive_id`` at the broker on ``port``, online inside its ``with`` block."""

    def __init__(self, port: int, hive_id: str, **sections: dict[str, Any]) -> None:
        self.config = Config.model_validate(
            {
                "hive": {"id": hive_id, "name": f"Hive {hive_id}"},
                "homeassistant": {"enabled": True, "version_topic": "hivewatch/latest_version"},
                **sections,
            }
        )
        self._topics = HiveTopics.of(self.config)
        self._port = port
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        offline = availability_message(self._topics, online=False)
        self._client.will_set(offline.topic, offline.payload, 1, retain=True)
        self._online = availability_message(self._topics, online=True)

    def __enter__(self) -> Self:
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        wait_until(self._client.is_connected, "the hive is connected")
        self.say(self._online, discovery(self.config, hive_key(self.config), has_temperature=True))
        self.retain("hornet/state", "OFF")
        self.retain("detection/state", "ON")
        self.retain("threshold/state", "0.8")
        self.camera("online")
        self.pressure()
        self.health()
        return self

    def __exit__(self, *_error: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def break_off(self) -> None:
        """Drop the connection, as in a power cut: the broker publishes that the hive is offline."""
        self._client.loop_stop()
        socket = self._client.socket()
        assert socket is not None
        socket.close()

    def say(self, *messages: Message) -> None:
        """Publish messages and wait until the broker has acknowledged them."""
        self._wait([self._client.publish(m.topic, m.payload, 1, m.retained) for m in messages])

    def retain(self, leaf: str, payload: str | bytes | dict[str, Any]) -> None:
        """Publish a retained message on a topic of the hive."""
        content = to_json(payload) if isinstance(payload, dict) else payload
        content = content.encode() if isinstance(content, str) else content
        self.say(Message(self._topics.topic(leaf), content, retained=True))

    def camera(self, status: str, *reasons: str) -> None:
        """Publish the camera's status."""
        self.retain("camera/status", self._document("camera_status", status=status, reasons=reasons))

    def pressure(self, sightings_today: int = 0, level: str = "green") -> None:
        """Publish the hornet pressure on the hive."""
        content = {"sightings_today": sightings_today, "minutes_today": sightings_today / 2, "level": level}
        self.retain("pressure", self._document("pressure", **content))

    def health(self) -> None:
        """Publish the health document."""
        content = {
            "at": datetime.now(UTC),
            "frames": {"last_age_s": 0.3},
            "store": {"outbox_depth": 0},
            "cpu_temperature_c": 51.5,
            "versions": {"hivewatch": "0.1.0"},
        }
        self.retain("health", self._document("health", **content))

    def visit(self, sighting_id: str, phases: Iterable[Phase] = tuple(Phase), *, age_s: float = 0.0) -> bytes:
        """Publish the events and pictures of a visit that started ``age_s`` ago; return the last picture."""
        picture = b""
        for number, phase in enumerate(phases):
            event, snapshot = self.alert(sighting_id, phase, seed=number, age_s=age_s)
            self.retain("hornet/state", "OFF" if phase is Phase.END else "ON")
            self.say(event, snapshot)
            picture = snapshot.payload
        return picture

    def alert(
        self, sighting_id: str, phase: Phase, seed: int = 0, age_s: float = 0.0
    ) -> tuple[Message, Message]:
        """Return the event and the picture of one phase of a visit."""
        pixels = make_pixels(640, 360, seed=hash((sighting_id, seed)) % 2**32)
        at = datetime.now(UTC) - timedelta(seconds=age_s)
        sighting = dataclasses.replace(
            make_sighting(sighting_id, phase, make_frame(pixels)), started_at=at, at=at, last_seen_at=at
        )
        alert = compose(sighting, self._topics, MODEL, 90)
        assert alert.snapshot is not None
        return alert.event, alert.snapshot

    def _document(self, name: str, **content: object) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(to_json({**header(name, self._topics), **content}))
        return document

    def _wait(self, sent: list[mqtt.MQTTMessageInfo]) -> None:
        for info in sent:
            wait_until(info.is_published, "the broker acknowledges")
