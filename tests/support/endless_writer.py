"""Record sightings in the store DIRECTORY without end; print each id and phase once it is stored."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

from hivewatch.domain.sightings import Phase
from hivewatch.messages.alert import compose
from hivewatch.messages.topics import HiveTopics
from hivewatch.store import Store
from support.fakes import MODEL, make_frame, make_pixels, make_prediction, make_sighting

TOPICS = HiveTopics("hive1", "Hive 1", "hw")


def main(directory: Path, prefix: str) -> None:
    """Start and update sightings, with new pictures each time, until killed."""
    frames = [make_frame(make_pixels(320, 240, seed)) for seed in range(4)]
    with Store(directory) as store:
        for number in itertools.count():
            phase = Phase.UPDATE if number % 2 else Phase.START
            sighting = make_sighting(f"{prefix}{number // 2}", phase, frames[number % 4], make_prediction())
            store.record(sighting, compose(sighting, TOPICS, MODEL, 80))
            print(sighting.id, phase, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
