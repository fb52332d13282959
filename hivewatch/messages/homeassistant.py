"""What Home Assistant is told, so that the hive appears there as one device with its entities, by itself.

One retained document (MQTT device discovery) names the topics of the contract that the entities read; an
empty one takes the device away again. Entities that could only stay "unknown" here are left out.
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

BORN = b"online"
"""What Home Assistant says on ``birth_topic`` when it has started."""
_MISSED_HEALTH = 3
_GRACE_S = 30
_LONGEST_PRESSURE_SILENCE_S = 2 * 3600 + 600

Entity = dict[str, Any]


def birth_topic(config: Config) -> str:
    """Return the topic on which Home Assistant says that it is there."""
    return f"{config.homeassistant.prefix}/status"


def discovery_topic(config: Config) -> str:
    """Return the topic of the hive's discovery document."""
    return f"{config.homeassistant.prefix}/device/{_device_id(config)}/config"


def messages(config: Config, told_before: Iterable[str], *, has_temperature: bool) -> list[Message]:
    """Return what Home Assistant is to be told: the device where that is wanted, and what is there no more.

    ``told_before``: the topics that a discovery document was ever sent to. ``has_temperature``: whether the
    machine has a sensor of its processor's temperature.
    """
    wanted = [discovery(config, has_temperature=has_temperature)] if config.homeassistant.enabled else []
    gone = sorted(set(told_before) - {message.topic for message in wanted})
    return [*wanted, *(Message(old, b"", retained=True) for old in gone)]


def discovery(config: Config, *, has_temperature: bool) -> Message:
    """Return the retained document from which Home Assistant makes the device."""
    document = {
        "device": {
            "identifiers": [_device_id(config)],
            "name": config.hive.name,
            "manufacturer": "hivewatch",
            "model": "Watch at the hive entrance",
            "sw_version": __version__,
        },
        "origin": {"name": "hivewatch", "sw_version": __version__},
        "availability": [_daemon_is_there(config)],
        "qos": 1,
        "components": _components(config, has_temperature=has_temperature),
    }
    return Message(discovery_topic(config), to_json(document).encode(), retained=True)


def _device_id(config: Config) -> str:
    return f"hivewatch_{config.hive.id}"


def _components(config: Config, *, has_temperature: bool) -> dict[str, Entity]:
    entities = _of_the_hive(config) | _of_the_machine(config)
    if has_temperature:
        entities |= _temperature(config)
    if config.mqtt.commands:
        entities |= _commands(config)
    if config.homeassistant.version_topic:
        entities |= _update(config)
    for key, entity in entities.items():
        entity["unique_id"] = f"{_device_id(config)}_{key}"
        # Without it the ids would be made of names, and dashboards and automations break when one changes.
        entity["default_entity_id"] = f"{entity['platform']}.{_slug(_device_id(config))}_{key}"
    return entities


def _of_the_hive(config: Config) -> dict[str, Entity]:
    return {
        "hornet": {
            "platform": "binary_sensor",
            "name": "Hornet",
            "icon": "mdi:bee",
            "device_class": "occupancy",
            "state_topic": _topic(config, HORNET_STATE),
            **_only_while_it_can_see(config),
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


def _of_the_machine(config: Config) -> dict[str, Entity]:
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


def _temperature(config: Config) -> dict[str, Entity]:
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


def _commands(config: Config) -> dict[str, Entity]:
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


def _update(config: Config) -> dict[str, Entity]:
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
        "expire_after": _LONGEST_PRESSURE_SILENCE_S,
    }


def _health(config: Config, field: str) -> Entity:
    """Return a figure of the health document: one that is not renewed must not look alive."""
    return {
        "entity_category": "diagnostic",
        "state_class": "measurement",
        "state_topic": _topic(config, HEALTH),
        "value_template": f"{{{{ value_json.{field} }}}}",
        "expire_after": math.ceil(_MISSED_HEALTH * config.health.interval_s) + _GRACE_S,
    }


def _daemon_is_there(config: Config) -> Entity:
    return _available_by(_topic(config, AVAILABILITY), "online", "offline")


def _available_by(state_topic: str, yes: str, no: str) -> Entity:
    """Return a condition, its payloads said: 2026.2.3 was seen to fail for want of the usual ones."""
    return {"topic": state_topic, "payload_available": yes, "payload_not_available": no}


def _only_while_it_can_see(config: Config) -> Entity:
    """Return when "no hornet" means that there is none: not without a camera, not while paused."""
    camera = _available_by(_topic(config, CAMERA_STATUS), "online", "offline")
    camera["value_template"] = "{{ 'offline' if value_json.status == 'offline' else 'online' }}"
    detection = _available_by(_topic(config, DETECTION_STATE), "ON", "OFF")
    return {"availability": [_daemon_is_there(config), camera, detection], "availability_mode": "all"}


def _topic(config: Config, entry: Topic, name: str = "") -> str:
    return HiveTopics.of(config).topic(entry.leaf.replace("<name>", name))


def _slug(text: str) -> str:
    return text.lower().replace("-", "_")
