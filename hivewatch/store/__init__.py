"""Sightings, their pictures, the outbox and small state, on disk: see ``store.py``."""

from hivewatch.store.store import MADE_BY, Store

__all__ = ["MADE_BY", "Store"]
