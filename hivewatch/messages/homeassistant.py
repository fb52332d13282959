"""Home Assistant's MQTT device discovery: the hive appears there as one device with its entities.

One retained document maps the entities to topics of the contract; an empty payload removes the device.
Entities that would always be "unknown" are left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from hivewatch import __version__
from hivewatch.config.sections import Config
from hivewatch.domain.wire import Message
from hivewatch.messages.contract import (
    AVAILABILITY,
    CAMERA_STATUS,
    COMMAND,
    DETECTION_SET,
    DETECTION_STATE,
    EVENT,
    HEALTH,
    HORNET_STATE,
    JPEG,
    PRESSURE,
    SNAPSHOT,
    THRESHOLD_SET,
    THRESHOLD_STATE,
    Topic,
)
from hivewatch.messages.documents import to_json
from hivewatch.messages.topics import HiveTopics

BIRTH_PAYLOAD = b"online"
"""The payload that Home Assistant publishes on ``birth_topic`` once it has started."""
_MISSED_HEALTH = 3
_GRACE_S = 30
_PRESSURE_EXPIRY_S = 2 * 3600 + 600

Entity = dict[str, Any]


def birth_topic(config: Config) -> str:
    """Return the topic of Home Assistant's birth message."""
    return f"{config.homeassistant.prefix}/status"


def discovery_topic(config: Config, key: str) -> str:
    """Return the topic of the discovery document of the hive with ``key`` (``topics.hive_key``)."""
    return f"{config.homeassistant.prefix}/device/{_device_id(key)}/config"


def messages(config: Config, key: str, announced: Iterable[str], *, has_temperature: bool) -> list[Message]:
    """Return the messages to send: the discovery document if enabled, and the removal of outdated ones.

    ``key``: the hive's own (``topics.hive_key``). ``announced``: all topics that a discovery document was
    ever sent to. ``has_temperature``: whether the machine has a CPU temperature sensor.
    """
    is_on = config.homeassistant.enabled
    current = [discovery(config, key, has_temperature=has_temperature)] if is_on else []
    outdated = sorted(set(announced) - {message.topic for message in current})
    return [*current, *(Message(topic, b"", retained=True) for topic in outdated)]


def discovery(config: Config, key: str, *, has_temperature: bool) -> Message:
    """Return the retained discovery document of the device; ``key`` tells it from all others."""
    document = {
        "device": {
            "identifiers": [_device_id(key)],
            "name": config.hive.name,
            "manufacturer": "hivewatch",
            "model": "Watch at the hive entrance",
            "sw_version": __version__,
        },
        "origin": {"name": "hivewatch", "sw_version": __version__},
        "availability": [_daemon_is_online(config)],
        "qos": 1,
        "components": _components(config, key, has_temperature=has_temperature),
    }
    return Message(discovery_topic(config, key), to_json(document).encode(), retained=True)


def _device_id(key: str) -> str:
    return f"hivewatch_{key}"


def _components(config: Config, key: str, *, has_temperature: bool) -> dict[str, Entity]:
    entities = _hive_entities(config) | _machine_entities(config)
    if has_temperature:
        entities |= _temperature_entity(config)
    if config.mqtt.commands:
        entities |= _command_entities(config)
    if config.homeassistant.version_topic:
        entities |= _update_entity(config)
    for name, entity in entities.items():
        entity["unique_id"] = f"{_device_id(key)}_{name}"
        # Otherwise Home Assistant derives entity ids from names, and a new name breaks automations.
        entity["default_entity_id"] = f"{entity['platform']}.{_slug(_device_id(key))}_{name}"
    return entities


def _hive_entities(config: Config) -> dict[str, Entity]:
    return {
        "hornet": {
            "platform": "binary_sensor",
            "name": "Hornet",
            "icon": "mdi:bee",
            "device_class": "occupancy",
            "state_topic": _topic(config, HORNET_STATE),
            **_available_while_watching(config),
        },
        "visit": {
            "platform": "event",
            "name": "Visit",
            "icon": "mdi:bee",
            "state_topic": _topic(config, EVENT),
            "event_types": ["start", "update", "end"],
        },
        "picture": {
            "platform": "image",
            "name": "Last hornet",
            "image_topic": _topic(config, SNAPSHOT),
            "content_type": JPEG,
        },
        "visits_today": {
            "platform": "sensor",
            "name": "Visits today",
            "icon": "mdi:counter",
            "state_class": "total_increasing",
            "unit_of_measurement": "visits",
            **_pressure(config, "sightings_today"),
        },
        "pressure": {
            "platform": "sensor",
            "name": "Pressure",
            "icon": "mdi:gauge",
            "device_class": "enum",
            "options": ["green", "amber", "red"],
            "json_attributes_topic": _topic(config, PRESSURE),
            **_pressure(config, "level"),
        },
        "camera": {
            "platform": "binary_sensor",
            "name": "Camera",
            "device_class": "problem",
            "entity_category": "diagnostic",
            "state_topic": _topic(config, CAMERA_STATUS),
            "value_template": "{{ 'OFF' if value_json.status == 'online' else 'ON' }}",
            "json_attributes_topic": _topic(config, CAMERA_STATUS),
        },
    }


def _machine_entities(config: Config) -> dict[str, Entity]:
    return {
        "frame_age": {
            "platform": "sensor",
            "name": "Last frame's age",
            "device_class": "duration",
            "unit_of_measurement": "s",
            **_health(config, "frames.last_age_s"),
        },
        "outbox": {
            "platform": "sensor",
            "name": "Outbox",
            "icon": "mdi:tray-full",
            "unit_of_measurement": "messages",
            **_health(config, "store.outbox_depth"),
        },
    }


def _temperature_entity(config: Config) -> dict[str, Entity]:
    return {
        "cpu_temperature": {
            "platform": "sensor",
            "name": "CPU temperature",
            "device_class": "temperature",
            "unit_of_measurement": "°C",
            "suggested_display_precision": 0,
            **_health(config, "cpu_temperature_c"),
        }
    }


def _command_entities(config: Config) -> dict[str, Entity]:
    return {
        "detection": {
            "platform": "switch",
            "name": "Detection",
            "entity_category": "config",
            "state_topic": _topic(config, DETECTION_STATE),
            "command_topic": _topic(config, DETECTION_SET),
        },
        "threshold": {
            "platform": "number",
            "name": "Alert threshold",
            "entity_category": "config",
            "icon": "mdi:tune",
            "min": 0,
            "max": 1,
            "step": 0.01,
            "state_topic": _topic(config, THRESHOLD_STATE),
            "command_topic": _topic(config, THRESHOLD_SET),
        },
        "test_alert": {
            "platform": "button",
            "name": "Test alert",
            "entity_category": "config",
            "icon": "mdi:bell-ring",
            "command_topic": _topic(config, COMMAND, "test_alert"),
            "payload_press": "{}",
        },
    }


def _update_entity(config: Config) -> dict[str, Entity]:
    return {
        "update": {
            "platform": "update",
            "name": "Version",
            "title": "hivewatch",
            "entity_category": "diagnostic",
            "state_topic": _topic(config, HEALTH),
            "value_template": "{{ value_json.versions.hivewatch }}",
            "latest_version_topic": config.homeassistant.version_topic,
        }
    }


def _pressure(config: Config, field: str) -> Entity:
    return {
        "state_topic": _topic(config, PRESSURE),
        "value_template": f"{{{{ value_json.{field} }}}}",
        "expire_after": _PRESSURE_EXPIRY_S,
    }


def _health(config: Config, field: str) -> Entity:
    """Return the keys of a figure in the health document; it expires, so an old one never looks current."""
    return {
        "entity_category": "diagnostic",
        "state_class": "measurement",
        "state_topic": _topic(config, HEALTH),
        "value_template": f"{{{{ value_json.{field} }}}}",
        "expire_after": math.ceil(_MISSED_HEALTH * config.health.interval_s) + _GRACE_S,
    }


def _daemon_is_online(config: Config) -> Entity:
    return _condition(_topic(config, AVAILABILITY), "online", "offline")


def _condition(topic: str, available: str, unavailable: str) -> Entity:
    """Return an availability condition; Home Assistant 2026.2.3 fails if the default payloads are omitted."""
    return {"topic": topic, "payload_available": available, "payload_not_available": unavailable}


def _available_while_watching(config: Config) -> Entity:
    """Return the availability of the hornet entity: unavailable without a camera and while paused.

    Otherwise "no hornet" could mean that nothing was watched.
    """
    camera = _condition(_topic(config, CAMERA_STATUS), "online", "offline")
    camera["value_template"] = "{{ 'offline' if value_json.status == 'offline' else 'online' }}"
    detection = _condition(_topic(config, DETECTION_STATE), "ON", "OFF")
    return {"availability": [_daemon_is_online(config), camera, detection], "availability_mode": "all"}


def _topic(config: Config, entry: Topic, name: str = "") -> str:
    return HiveTopics.of(config).topic(entry.leaf.replace("<name>", name))


def _slug(text: str) -> str:
    return text.lower().replace("-", "_")
