"""The document that says whether the camera shows the hive, apart from whether the daemon is there.

``<base topic>/<hive id>/camera/status``, retained (``schema/camera-status-1.json``). It counts only while the
hive's ``availability`` is ``online``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

from hivewatch.config import HiveConfig
from hivewatch.domain import CameraFault, CameraStatus, Message

SCHEMA = "hivewatch.camera_status"
SCHEMA_VERSION = 1


def camera_message(
    status: CameraStatus,
    raised: Mapping[CameraFault, int],
    since: datetime | None,
    hive: HiveConfig,
    base_topic: str,
) -> Message:
    """Return the retained message of ``status``: since when, and how often each fault was ``raised`` so far.

    ``since`` is None as long as nobody knows what time it is.
    """
    document = {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "hive": {"id": hive.id, "name": hive.name},
        "source": status.source,
        "status": status.state,
        "reasons": status.reasons,
        "since": since and since.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "raised": raised,
    }
    payload = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    return Message(f"{base_topic}/{hive.id}/camera/status", payload, retained=True)


def camera_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) that every such document fulfils."""
    path = files("hivewatch").joinpath("schema", f"camera-status-{SCHEMA_VERSION}.json")
    schema: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return schema
