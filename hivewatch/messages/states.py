"""What commands have set, and what became of each command."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

from hivewatch.config.sections import HiveConfig
from hivewatch.domain.status import Answer, Settings
from hivewatch.domain.wire import Message
from hivewatch.messages.contract import (
    ANSWER,
    CAMERA_SNAPSHOT,
    DETECTION_STATE,
    SETTINGS,
    THRESHOLD_STATE,
)
from hivewatch.messages.documents import head


def settings_messages(settings: Settings, hive: HiveConfig, base_topic: str) -> tuple[Message, ...]:
    """Return the retained messages that say what is set: all of it, and what switches and sliders show."""
    document = {**head("settings", hive), **asdict(settings)}
    return (
        SETTINGS.message(base_topic, hive.id, document),
        DETECTION_STATE.message(base_topic, hive.id, "OFF" if settings.paused else "ON"),
        THRESHOLD_STATE.message(base_topic, hive.id, f"{settings.threshold:g}"),
    )


def answer_message(answer: Answer, at: datetime, hive: HiveConfig, base_topic: str) -> Message:
    """Return what the caller of a command hears, ``at`` that time."""
    document = {**head("answer", hive), **asdict(answer), "at": at}
    return ANSWER.message(base_topic, hive.id, document)


def view_message(jpeg: bytes, hive: HiveConfig, base_topic: str) -> Message:
    """Return the message with a picture that was asked for."""
    return CAMERA_SNAPSHOT.message(base_topic, hive.id, jpeg)
