"""The MQTT contract: every topic of a hive, its payload, and when it is sent.

All messages are made from these entries. README.md in this directory holds ``table()``, and a test compares
the two. Within a version, a schema only grows.
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

    ``payload`` and ``when`` describe it in the README; ``schema`` names the JSON Schema of its documents.
    ``expiry_s`` is the MQTT 5 message expiry: after it the broker drops an undelivered or retained message.
    An ``incoming`` topic carries commands; the daemon subscribes to it.
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
        """Return a message with ``payload`` on this topic of a hive; a mapping is sent as JSON."""
        if isinstance(payload, Mapping):
            payload = to_json(payload)
        content = payload.encode() if isinstance(payload, str) else payload
        leaf = self.leaf.replace("<id>", sighting_id or "")
        return Message(topics.topic(leaf), content, self.retained, sighting_id)

    def fits(self, leaf: str) -> bool:
        """Return whether ``leaf`` is this topic's, with any value for its placeholder."""
        return re.fullmatch(re.sub("<[a-z]+>", "[^/]+", self.leaf), leaf) is not None


AVAILABILITY = Topic(
    "availability",
    "`online` or `offline`",
    "at every connection; `offline` at a clean stop, or from the broker if the connection breaks (last will)",
    retained=True,
    content_type=TEXT,
)
CAMERA_STATUS = Topic(
    "camera/status",
    "JSON: whether the hive is in view: `online`, `degraded` (dark, covered, moved ...) or `offline`",
    "at every change; valid only while `availability` is `online`",
    retained=True,
    schema="camera_status",
)
CAMERA_SNAPSHOT = Topic(
    "camera/snapshot",
    "JPEG of the current view, without annotations",
    "in response to `command/snapshot`",
    content_type=JPEG,
    expiry_s=60,
)
HORNET_STATE = Topic(
    "hornet/state",
    "`ON` while a sighting is open, otherwise `OFF`",
    "at every change; also `OFF` at the start, when the camera is lost, when paused and at a clean stop",
    retained=True,
    content_type=TEXT,
)
EVENT = Topic(
    "event",
    "JSON of a sighting: `start`, `update` (a better picture) or `end`;"
    " `test` marks a test alert or the simulator",
    "as it happens; later, in order, if the broker could not be reached",
    schema="sighting",
)
SNAPSHOT = Topic(
    "snapshot",
    "JPEG of the best frame with outline, close-up, score and local time; its SHA-256 is in the event",
    "after each event with a new picture (not retained for a test alert)",
    retained=True,
    content_type=JPEG,
    expiry_s=7 * _DAY_S,
)
SIGHTING_SNAPSHOT = Topic(
    "sighting/<id>/snapshot",
    "the same JPEG on the sighting's own topic",
    "with `snapshot`, if `mqtt.sighting_pictures` is on (doubles the traffic)",
    content_type=JPEG,
    expiry_s=_DAY_S,
)
PRESSURE = Topic(
    "pressure",
    "JSON: sightings and minutes of presence in the last hour and today; the level `green`, `amber` or `red`,"
    " and since when",
    "at every change, and every hour",
    retained=True,
    schema="pressure",
)
HEALTH = Topic(
    "health",
    "JSON: rates, latencies, age of the last frame, outbox, disk, temperature, versions, whether paused",
    "every minute (`health.interval_s`) and at changes",
    retained=True,
    schema="health",
)
SUMMARY = Topic(
    "summary",
    'JSON: "still watching", also on a day without a hornet',
    "once a day (`health.summary_at`)",
    retained=True,
    schema="summary",
)
BACKLOG = Topic(
    "backlog",
    "JSON: how many sightings were not sent in full, and from which period",
    "when messages were dropped: outbox too large or too old, or a picture too large for the broker",
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
    "JSON: paused and until when; the threshold in force and the one in the YAML; whether commands are on",
    "at every change",
    retained=True,
    schema="settings",
)
ANSWER = Topic(
    "command/answer",
    "JSON: whether the command was accepted, and why not",
    "after every command",
    schema="answer",
    expiry_s=60,
)
COMMAND = Topic(
    "command/<name>",
    'JSON or empty: `pause` `{"duration_s": 3600}` or `{}` (an empty one is refused), `resume`, `snapshot`,'
    ' `threshold` `{"value": 0.9}` or `{"reset": true}`, `test_alert`; each may carry an `"id"`, which its'
    " answer repeats",
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
"""The leaves a hive subscribes to if commands are on."""


def find(leaf: str) -> Topic | None:
    """Return the entry for ``leaf``, outgoing topics first, or None if the contract has none."""
    return next((entry for entry in TOPICS if entry.fits(leaf)), None)


def envelope(message: Message, topics: HiveTopics) -> Envelope:
    """Return the MQTT 5 properties of ``message``; they are empty for a topic outside the contract."""
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
    """Return the contract as a Markdown table, with links relative to this directory."""
    rows = ["| topic | retained | QoS | payload | when |", "|---|---|---|---|---|"]
    return "\n".join([*rows, *map(_row, TOPICS)])


def _row(entry: Topic) -> str:
    retained = "ignored" if entry.incoming else "yes" if entry.retained else "no"
    arrow = "→ " if entry.incoming else ""
    payload = entry.payload
    if entry.schema is not None:
        payload += f" ([schema](schemas/{schema_file(entry.schema)}))"
    return f"| {arrow}`{entry.leaf}` | {retained} | {QOS} | {payload} | {entry.when} |"
