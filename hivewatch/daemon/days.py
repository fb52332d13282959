"""Local days: right on days of 23 and 25 hours too."""

from __future__ import annotations

from datetime import date, datetime, time, tzinfo

from hivewatch.store import Store


def local_time(day: date, at: time = time(), zone: tzinfo | None = None) -> datetime:
    """Return the aware moment of the local time ``at`` on ``day`` in ``zone``, None for this machine's."""
    if zone is not None:
        return datetime.combine(day, at, zone)
    # astimezone() of a naive time uses the UTC offset of that day, which need not be today's.
    return datetime.combine(day, at).astimezone()


def midnight(now: datetime, zone: tzinfo | None = None) -> datetime:
    """Return the start of the local day of ``now``."""
    return local_time(now.astimezone(zone).date(), zone=zone)


def count_since_midnight(store: Store, now: datetime, zone: tzinfo | None = None) -> int:
    """Return how many sightings have started today; raises StoreError like the store."""
    return store.count_since(midnight(now, zone))
