"""Tells Home Assistant of the hive, tells it again when it starts, and takes back what is no longer true."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from hivewatch.config.sections import Config
from hivewatch.domain.wire import Message
from hivewatch.errors import DiskFullError
from hivewatch.messages.homeassistant import BORN, birth_topic, discovery_topic, messages
from hivewatch.mqtt.publisher import Publisher
from hivewatch.store import Store
from hivewatch.store.announced import Announced
from hivewatch.system.sensors import cpu_temperature_c

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Announcer:
    """Keeps what Home Assistant knows of the hive in step with the configuration."""

    config: Config
    store: Store
    publisher: Publisher | None
    _announced: Announced = field(init=False)

    def __post_init__(self) -> None:
        """Tell what there is to tell; raises StoreError like the store."""
        self._announced = Announced(self.store.directory)
        self.configure(self.config)

    def configure(self, config: Config) -> None:
        """Take over another configuration."""
        self.config = config
        if self.publisher is None:
            return
        if config.homeassistant.enabled:
            self._note(discovery_topic(config))
            self.publisher.listen(birth_topic(config), self.hear)
        has_temperature = cpu_temperature_c() is not None
        for message in messages(config, self._announced.topics, has_temperature=has_temperature):
            self.publisher.state(message)

    def hear(self, message: Message) -> None:
        """Tell everything again when Home Assistant says that it is there; in the publisher's thread."""
        is_asked = self.config.homeassistant.enabled and message.topic == birth_topic(self.config)
        if self.publisher is not None and is_asked and message.payload == BORN:
            self.publisher.repeat_states()

    def _note(self, topic: str) -> None:
        try:
            self._announced.note(topic)
        except DiskFullError as error:
            # No reason to stop watching: when something is to be recorded it shows what can still be kept.
            log.error("switched off later, %s will stay on the broker: %s", topic, error)  # noqa: TRY400
