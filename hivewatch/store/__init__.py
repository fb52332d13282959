"""Sightings, their pictures, the outbox and small state, on disk: see ``store.py``."""

from hivewatch.store.store import Store

__all__ = ["Store"]
