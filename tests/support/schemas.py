"""Strict JSON Schemas for tests."""

from __future__ import annotations

from typing import Any


def closed(schema: Any) -> Any:
    """Return the schema with unknown properties forbidden: consumers accept them, but we never send any."""
    if isinstance(schema, dict):
        schema = {key: closed(value) for key, value in schema.items()}
        if schema.get("type") == "object":
            schema.setdefault("additionalProperties", False)
    return [closed(item) for item in schema] if isinstance(schema, list) else schema
