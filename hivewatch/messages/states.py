"""What commands have set, and what became of each command."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

from hivewatch.domain.status import Answer, Settings
from hivewatch.domain.wire import Message
from hivewatch.messages.contract import (
    ANSWER,
    AVAILABILITY,
    CAMERA_SNAPSHOT,
    DETECTION_STATE,
    SETTINGS,
    THRESHOLD_STATE,
)
from hivewatch.messages.documents import header
from hivewatch.messages.topics import HiveTopics


def availability_message(topics: HiveTopics, *, online: bool) -> Message:
    """Return the retained message that says whether the hive's daemon is connected."""
    return AVAILABILITY.message(topics, "online" if online else "offline")


def settings_messages(settings: Settings, topics: HiveTopics) -> tuple[Message, ...]:
    """Return the retained messages that say what is set: all of it, and what switches and sliders show."""
    document = {**header("settings", topics), **asdict(settings)}
    return (
        SETTINGS.message(topics, document),
        DETECTION_STATE.message(topics, "OFF" if settings.paused else "ON"),
        THRESHOLD_STATE.message(topics, f"{settings.threshold:g}"),
    )


def answer_message(answer: Answer, at: datetime, topics: HiveTopics) -> Message:
    """Return what the caller of a command hears, ``at`` that time."""
    document = {**header("answer", topics), **asdict(answer), "at": at}
    return ANSWER.message(topics, document)


def camera_snapshot_message(jpeg: bytes, topics: HiveTopics) -> Message:
    """Return the message with a picture that was asked for."""
    return CAMERA_SNAPSHOT.message(topics, jpeg)
