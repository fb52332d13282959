"""Whether a hornet is there now, and how hard hornets press the hive."""

from __future__ import annotations

from datetime import datetime

from hivewatch.domain.sightings import Presence, PressureLevel
from hivewatch.domain.wire import Message
from hivewatch.messages.contract import HORNET_STATE, PRESSURE
from hivewatch.messages.documents import header
from hivewatch.messages.topics import HiveTopics


def hornet_message(topics: HiveTopics, *, present: bool) -> Message:
    """Return the retained message that says whether a visit is open."""
    return HORNET_STATE.message(topics, "ON" if present else "OFF")


def pressure_message(
    hour: Presence,
    today: Presence,
    level: PressureLevel,
    since: datetime | None,
    topics: HiveTopics,
) -> Message:
    """Return the retained message of the last ``hour``, of ``today``, and of the ``level`` since then.

    ``since`` is None where nobody knows.
    """
    document = {
        **header("pressure", topics),
        "sightings_this_hour": hour.sightings,
        "minutes_this_hour": hour.minutes,
        "sightings_today": today.sightings,
        "minutes_today": today.minutes,
        "level": level,
        "since": since,
    }
    return PRESSURE.message(topics, document)
