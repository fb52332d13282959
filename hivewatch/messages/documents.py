"""What all documents share: header, compact JSON, UTC times, and the schemas in the package."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from importlib.resources import files
from typing import Any

from hivewatch.messages.topics import HiveTopics

SCHEMA_VERSION = 1


def header(name: str, topics: HiveTopics) -> dict[str, Any]:
    """Return the properties that every document of schema ``name`` starts with."""
    return {
        "schema": f"hivewatch.{name}",
        "schema_version": SCHEMA_VERSION,
        "hive": {"id": topics.id, "name": topics.name},
    }


def to_json(document: Mapping[str, Any]) -> str:
    """Return ``document`` as compact JSON, with dates and times in ISO 8601. Raises ValueError for a NaN."""
    return json.dumps(document, default=_text, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def iso(moment: datetime) -> str:
    """Return ``moment`` in UTC, ISO 8601 with milliseconds and a Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema ``name`` (draft 2020-12)."""
    path = files("hivewatch.messages").joinpath("schemas", schema_file(name))
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def schema_file(name: str) -> str:
    """Return the file name of schema ``name``."""
    return f"{name.replace('_', '-')}-{SCHEMA_VERSION}.json"


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
