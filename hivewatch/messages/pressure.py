"""Whether a hornet is there now, and how hard hornets press the hive."""

from __future__ import annotations

from datetime import datetime

from hivewatch.config.sections import HiveConfig
from hivewatch.domain.sightings import Presence, PressureLevel
from hivewatch.domain.wire import Message
from hivewatch.messages.contract import HORNET_STATE, PRESSURE
from hivewatch.messages.documents import head


def hornet_message(hive: HiveConfig, base_topic: str, *, present: bool) -> Message:
    """Return the retained message that says whether a visit is open."""
    return HORNET_STATE.message(base_topic, hive.id, "ON" if present else "OFF")


def pressure_message(
    hour: Presence,
    today: Presence,
    level: PressureLevel,
    since: datetime | None,
    hive: HiveConfig,
    base_topic: str,
) -> Message:
    """Return the retained message of the last ``hour``, of ``today``, and of the ``level`` since then.

    ``since`` is None where nobody knows.
    """
    document = {
        **head("pressure", hive),
        "sightings_this_hour": hour.sightings,
        "minutes_this_hour": hour.minutes,
        "sightings_today": today.sightings,
        "minutes_today": today.minutes,
        "level": level,
        "since": since,
    }
    return PRESSURE.message(base_topic, hive.id, document)
