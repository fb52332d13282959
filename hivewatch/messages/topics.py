"""The topics of one hive."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from hivewatch.config.sections import Config, MqttConfig


@dataclass(frozen=True, slots=True)
class HiveTopics:
    """The hive ``id``, its ``name`` for people, and the ``base`` topic that its own topics are under."""

    id: str
    name: str
    base: str

    @classmethod
    def of(cls, config: Config) -> HiveTopics:
        """Return the topics of the configured hive."""
        return cls(config.hive.id, config.hive.name, config.mqtt.base_topic)

    def topic(self, leaf: str) -> str:
        """Return the full topic of ``leaf``."""
        return f"{self.base}/{self.id}/{leaf}"

    def leaf(self, topic: str) -> str | None:
        """Return the leaf of ``topic``, or None if the topic is not one of this hive."""
        prefix = self.topic("")
        return topic.removeprefix(prefix) if topic.startswith(prefix) else None


def hive_key(config: Config, *, by_id_alone: bool = False) -> str:
    """Return what tells the hive from every other of its broker, for ids: letters, digits, _ and -.

    It is the hive id. Under another base topic than the default, a hash of that topic follows: two sites at
    one broker may have a hive of the same id. ``by_id_alone`` leaves out the hash, as hivewatch 0.3 did.
    """
    id_, base = config.hive.id, config.mqtt.base_topic
    if by_id_alone or base == MqttConfig.model_fields["base_topic"].default:
        return id_
    return f"{id_}-{hashlib.sha256(base.encode()).hexdigest()[:8]}"
