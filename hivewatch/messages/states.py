"""Retained state messages, and the replies to commands: the answer and the requested picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime

from hivewatch.domain.sightings import Presence, PressureLevel
from hivewatch.domain.status import Answer, CameraFault, CameraStatus, Settings
from hivewatch.domain.wire import Message
from hivewatch.messages.contract import (
    ANSWER,
    AVAILABILITY,
    CAMERA_SNAPSHOT,
    CAMERA_STATUS,
    DETECTION_STATE,
    HORNET_STATE,
    PRESSURE,
    SETTINGS,
    THRESHOLD_STATE,
)
from hivewatch.messages.documents import header
from hivewatch.messages.topics import HiveTopics


def availability_message(topics: HiveTopics, *, online: bool) -> Message:
    """Return the retained message that says whether the hive's daemon is connected."""
    return AVAILABILITY.message(topics, "online" if online else "offline")


def camera_message(
    status: CameraStatus,
    raised: Mapping[CameraFault, int],
    since: datetime | None,
    topics: HiveTopics,
) -> Message:
    """Return the retained message of the camera's status: whether the hive is in view.

    ``raised``: how often each fault was raised since the start. ``since``: when the status last changed, None
    if the clock was not trusted then.
    """
    document = {
        **header("camera_status", topics),
        "source": status.source,
        "status": status.state,
        "reasons": status.reasons,
        "since": since,
        "raised": raised,
    }
    return CAMERA_STATUS.message(topics, document)


def hornet_message(topics: HiveTopics, *, present: bool) -> Message:
    """Return the retained message that says whether a sighting is open."""
    return HORNET_STATE.message(topics, "ON" if present else "OFF")


def pressure_message(
    hour: Presence,
    today: Presence,
    level: PressureLevel,
    since: datetime | None,
    topics: HiveTopics,
) -> Message:
    """Return the retained message of hornet pressure: the last ``hour``, ``today``, and the ``level``.

    ``since``: when the level last changed, None if unknown.
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


def settings_messages(settings: Settings, topics: HiveTopics) -> tuple[Message, ...]:
    """Return the retained messages of ``settings``: the whole document, then one plain value per control."""
    return (
        SETTINGS.message(topics, {**header("settings", topics), **asdict(settings)}),
        DETECTION_STATE.message(topics, "OFF" if settings.paused else "ON"),
        THRESHOLD_STATE.message(topics, f"{settings.threshold:g}"),
    )


def answer_message(answer: Answer, at: datetime, topics: HiveTopics) -> Message:
    """Return the message with the ``answer`` to a command; ``at`` is the time of the answer."""
    return ANSWER.message(topics, {**header("answer", topics), **asdict(answer), "at": at})


def camera_snapshot_message(jpeg: bytes, topics: HiveTopics) -> Message:
    """Return the message with a picture requested by a command."""
    return CAMERA_SNAPSHOT.message(topics, jpeg)
