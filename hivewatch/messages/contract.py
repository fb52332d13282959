"""The MQTT contract: every topic of a hive, what goes over it, and when. All messages are made of this.

The table in README is ``table()``; a test compares the two. Within a schema's version changes only add.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hivewatch.domain.wire import Envelope, Message
from hivewatch.messages.documents import SCHEMA_VERSION, schema_file, to_json
from hivewatch.messages.topics import HiveTopics

QOS = 1
TEXT = "text/plain"
JSON = "application/json"
JPEG = "image/jpeg"
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic under ``<base topic>/<hive id>/``.

    ``payload`` and ``when`` are words for people, ``schema`` names the JSON Schema of a document.
    ``expiry_s``: with MQTT 5, after how long the broker throws away what it could not deliver, or retains.
    ``incoming`` ones are commands, which the daemon subscribes to.
    """

    leaf: str
    payload: str
    when: str
    retained: bool = False
    content_type: str = JSON
    schema: str | None = None
    expiry_s: int | None = None
    incoming: bool = False

    def message(
        self,
        topics: HiveTopics,
        payload: bytes | str | Mapping[str, Any],
        sighting_id: str | None = None,
    ) -> Message:
        """Return the message with ``payload`` on this topic of a hive."""
        if isinstance(payload, Mapping):
            payload = to_json(payload)
        content = payload.encode() if isinstance(payload, str) else payload
        leaf = self.leaf.replace("<id>", sighting_id or "")
        return Message(topics.topic(leaf), content, self.retained, sighting_id)

    def fits(self, leaf: str) -> bool:
        """Tell whether ``leaf`` is one of this topic."""
        return re.fullmatch(re.sub("<[a-z]+>", "[^/]+", self.leaf), leaf) is not None


AVAILABILITY = Topic(
    "availability",
    "`online` or `offline`",
    "at every connection; `offline` at a clean stop, and said by the broker when the connection breaks",
    retained=True,
    content_type=TEXT,
)
CAMERA_STATUS = Topic(
    "camera/status",
    "JSON: is the hive in view? `online`, `degraded` (dark, covered, moved ...) or `offline`",
    "at every change; counts only while `availability` says `online`",
    retained=True,
    schema="camera_status",
)
CAMERA_SNAPSHOT = Topic(
    "camera/snapshot",
    "JPEG of the view as it is, nothing drawn on it",
    "asked for by `command/snapshot`",
    content_type=JPEG,
    expiry_s=60,
)
HORNET_STATE = Topic(
    "hornet/state",
    "`ON` while a visit is open, else `OFF`",
    "at every change; `OFF` also at the start, when the camera is lost, when paused, at a clean stop",
    retained=True,
    content_type=TEXT,
)
EVENT = Topic(
    "event",
    "JSON of a visit: `start`, `update` (a better picture), `end`; `test` marks a test alert",
    "as it happens; later, in order, where the broker was away",
    schema="sighting",
)
SNAPSHOT = Topic(
    "snapshot",
    "JPEG of the best frame with box, heat map, score and time; its SHA-256 stands in the event",
    "after each event with a new picture (a test alert's is not retained)",
    retained=True,
    content_type=JPEG,
    expiry_s=7 * _DAY_S,
)
SIGHTING_SNAPSHOT = Topic(
    "sighting/<id>/snapshot",
    "the same JPEG under the visit's own topic",
    "with `snapshot`, if `mqtt.sighting_pictures` is on: twice the bytes",
    content_type=JPEG,
    expiry_s=_DAY_S,
)
PRESSURE = Topic(
    "pressure",
    "JSON: visits and minutes of presence in the last hour and today; level `green`, `amber` or `red`,"
    " since when",
    "at every change, and every hour",
    retained=True,
    schema="pressure",
)
HEALTH = Topic(
    "health",
    "JSON: rates, latencies, last frame's age, outbox, disk, temperature, versions, paused or not",
    "every minute (`health.interval_s`) and at changes",
    retained=True,
    schema="health",
)
SUMMARY = Topic(
    "summary",
    'JSON: "still watching", also without any hornet',
    "once a day (`health.summary_at`)",
    retained=True,
    schema="summary",
)
BACKLOG = Topic(
    "backlog",
    "JSON: how many sightings could not be sent in full, and from when to when",
    "when the outbox had become too big or too old",
    schema="backlog",
)
DETECTION_STATE = Topic(
    "detection/state", "`ON`, or `OFF` while paused", "at every change", retained=True, content_type=TEXT
)
THRESHOLD_STATE = Topic(
    "threshold/state",
    "the alert threshold in force, 0 to 1",
    "at every change",
    retained=True,
    content_type=TEXT,
)
SETTINGS = Topic(
    "settings",
    "JSON: paused, until when; the threshold in force and the YAML's; whether commands are heard",
    "at every change",
    retained=True,
    schema="settings",
)
ANSWER = Topic(
    "command/answer",
    "JSON: was the command accepted, and why not",
    "after every command",
    schema="answer",
    expiry_s=60,
)
COMMAND = Topic(
    "command/<name>",
    'JSON or nothing: `pause` `{"duration_s": 3600}`, `resume`, `snapshot`, `threshold` `{"value": 0.9}` or'
    ' `{"reset": true}`, `test_alert`; each may carry an `"id"`, which its answer repeats',
    "if `mqtt.commands` is on",
    incoming=True,
)
DETECTION_SET = Topic(
    "detection/set",
    "`ON` resumes, `OFF` pauses",
    "if `mqtt.commands` is on",
    content_type=TEXT,
    incoming=True,
)
THRESHOLD_SET = Topic(
    "threshold/set",
    "a number from 0 to 1, or `reset`",
    "if `mqtt.commands` is on",
    content_type=TEXT,
    incoming=True,
)

TOPICS = (
    *(
        AVAILABILITY,
        HORNET_STATE,
        EVENT,
        SNAPSHOT,
        SIGHTING_SNAPSHOT,
        PRESSURE,
        CAMERA_STATUS,
        CAMERA_SNAPSHOT,
    ),
    *(HEALTH, SUMMARY, BACKLOG, SETTINGS, DETECTION_STATE, THRESHOLD_STATE, ANSWER),
    *(COMMAND, DETECTION_SET, THRESHOLD_SET),
)

COMMAND_LEAVES = tuple(entry.leaf.replace("<name>", "+") for entry in TOPICS if entry.incoming)
"""What a hive that hears commands subscribes to."""


def find(leaf: str) -> Topic | None:
    """Return the entry for ``leaf``, None where the contract knows none; what goes out comes first."""
    return next((entry for entry in TOPICS if entry.fits(leaf)), None)


def envelope(message: Message, topics: HiveTopics) -> Envelope:
    """Return what MQTT 5 says beside ``message``; of a topic that is not of the contract nothing is known."""
    leaf = topics.leaf(message.topic)
    entry = None if leaf is None else find(leaf)
    if entry is None:
        return Envelope()
    properties = []
    if entry.schema is not None:
        properties.append(("schema", f"hivewatch.{entry.schema}-{SCHEMA_VERSION}"))
    if message.sighting_id is not None:
        properties.append(("sighting_id", message.sighting_id))
    return Envelope(entry.content_type, entry.expiry_s, tuple(properties))


def table() -> str:
    """Return the contract as a table in Markdown."""
    rows = ["| topic | retained | QoS | payload | when |", "|---|---|---|---|---|"]
    return "\n".join([*rows, *map(_row, TOPICS)])


def _row(entry: Topic) -> str:
    retained = "ignored" if entry.incoming else "yes" if entry.retained else "no"
    arrow = "→ " if entry.incoming else ""
    payload = entry.payload
    if entry.schema is not None:
        payload += f" ([schema](hivewatch/messages/schemas/{schema_file(entry.schema)}))"
    return f"| {arrow}`{entry.leaf}` | {retained} | {QOS} | {payload} | {entry.when} |"
