"""Sightings, their pictures and what waits for the broker, on disk: see ``store.py``."""

from hivewatch.store.store import Store

__all__ = ["Store"]
