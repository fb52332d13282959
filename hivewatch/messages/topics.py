"""The topics of one hive."""

from __future__ import annotations

from dataclasses import dataclass

from hivewatch.config.sections import Config


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
