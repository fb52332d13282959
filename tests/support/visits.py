"""Make many sightings and record them in a store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from hivewatch.config.sections import HiveConfig
from hivewatch.domain.sightings import Phase, Sighting
from hivewatch.domain.wire import Alert
from hivewatch.messages.alert import compose
from hivewatch.messages.topics import HiveTopics
from hivewatch.store import Store
from support.fakes import MODEL, NOON, make_frame, make_pixels, make_prediction, make_sighting

HIVE = HiveConfig(id="h1", name="Ruche 1")
TOPICS = HiveTopics(HIVE.id, HIVE.name, "hw")


def make_visit(
    number: int, phase: Phase = Phase.END, seed: int | None = None, width_px: int = 64
) -> tuple[Sighting, Alert]:
    """Return an event of the visit ``v<number>``, which started ``number`` minutes after noon."""
    frame = make_frame(make_pixels(width_px, 48, number if seed is None else seed), at_s=60.0 * number)
    sighting = replace(
        make_sighting(f"v{number:03}", phase, frame, make_prediction(0.9)),
        started_at=NOON + timedelta(minutes=number),
        last_seen_at=NOON + timedelta(minutes=number, seconds=2),
    )
    return sighting, compose(sighting, TOPICS, MODEL, 80)


def record_visits(store: Store, numbers: Sequence[int], *, sent: bool = False, width_px: int = 64) -> None:
    """Record ended visits; if ``sent``, as if their messages had left the outbox already."""
    for number in numbers:
        store.record(*make_visit(number, width_px=width_px), queue=not sent)
