"""Announces the hive to Home Assistant, again whenever Home Assistant starts, and removes old announcements.

A retained discovery document outlives the daemon that sent it. A person who disables discovery, or renames
its prefix or the hive, does so in a file that the daemon reads at its next start: by then it must know which
topics to clear. So the store remembers every topic ever used.
"""

from __future__ import annotations

from hivewatch.config.sections import Config
from hivewatch.daemon.recorder import Recorder, own_key
from hivewatch.daemon.service import Service
from hivewatch.domain.wire import Message
from hivewatch.messages.homeassistant import BIRTH_PAYLOAD, birth_topic, discovery_topic, messages
from hivewatch.store.disk import tolerate_full_disk
from hivewatch.system.sensors import cpu_temperature_c

_KEY = "announced-topics"


class DiscoveryService(Service):
    """Keeps Home Assistant's picture of the hive in step with the configuration."""

    def __init__(self, config: Config, recorder: Recorder) -> None:
        """Announce the hive; raises StoreError like the store."""
        self._store = recorder.store
        self._publisher = recorder.publisher
        self._announced = _topics(self._store.recall(_KEY) or "")
        self._published: list[Message] = []
        self.configure(config)

    def configure(self, config: Config) -> None:
        """Announce the hive as ``config`` says, or remove it; raises StoreError like the store.

        Does nothing if the announcement stays the same, as after a commanded threshold.
        """
        self._config = config
        key = own_key(config, self._store)
        if config.homeassistant.enabled and self._publisher.delivers:
            self._remember(discovery_topic(config, key))
        has_temperature = cpu_temperature_c() is not None
        announcement = messages(config, key, self._announced, has_temperature=has_temperature)
        if announcement == self._published:
            return
        self._published = announcement
        if config.homeassistant.enabled:
            self._publisher.subscribe(birth_topic(config), self._on_birth)
        for message in announcement:
            self._publisher.publish_state(message)

    def _on_birth(self, message: Message) -> None:
        """Publish every state again when Home Assistant starts; runs in the publisher's thread."""
        is_current = self._config.homeassistant.enabled and message.topic == birth_topic(self._config)
        if is_current and message.payload == BIRTH_PAYLOAD:
            self._publisher.repeat_states()

    def _remember(self, topic: str) -> None:
        if topic in self._announced:
            return
        announced = self._announced | {topic}
        with tolerate_full_disk(f"{topic} will stay on the broker when discovery is disabled"):
            self._store.remember(_KEY, "\n".join(sorted(announced)))
            self._announced = announced


def _topics(text: str) -> frozenset[str]:
    """Return the topics in ``text``, without those that a flipped bit has spoilt.

    A broker, or the client library, ends every connection on which such a topic is to be cleared.
    """
    lines = text.splitlines()
    return frozenset(line for line in lines if line and line.isprintable() and not set("+#") & set(line))
