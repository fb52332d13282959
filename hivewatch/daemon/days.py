"""Local days: right on days of 23 and 25 hours too."""

from __future__ import annotations

from datetime import date, datetime, time

from hivewatch.store import Store


def local_time(day: date, at: time = time()) -> datetime:
    """Return the aware moment of the local time ``at`` on ``day``."""
    # astimezone() of a naive time uses the UTC offset of that day, which need not be today's.
    return datetime.combine(day, at).astimezone()


def midnight(now: datetime) -> datetime:
    """Return the start of the local day of ``now``."""
    return local_time(now.astimezone().date())


def count_since_midnight(store: Store, now: datetime) -> int:
    """Return how many sightings have started today; raises StoreError like the store."""
    return store.count_since(midnight(now))
