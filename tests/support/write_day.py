"""Replay one day of a hive's store in about a minute and print how many bytes were written to disk.

Run as ``write_day.py DIRECTORY PORT SIGHTINGS``; run it under ``strace -f -c`` to count the syncs. Each
sighting has a start, a better picture and an end, at 1280 x 720. As in the daemon, the outbox is polled once
a second and maintenance runs once a minute. Also prints the size of the pictures.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hivewatch.config.sections import ClockConfig, Config, MqttConfig
from hivewatch.daemon.maintenance import MaintenanceService
from hivewatch.daemon.recorder import Recorder
from hivewatch.domain.sightings import Phase, Sighting
from hivewatch.domain.wire import Alert
from hivewatch.messages.alert import compose
from hivewatch.messages.topics import HiveTopics
from hivewatch.mqtt.publisher import Publisher
from hivewatch.store import Store
from hivewatch.system.clock import Clock
from hivewatch.system.stopwatch import Stopwatch
from support.fakes import MODEL, make_frame, make_pixels, make_prediction, make_sighting

MINUTES = 24 * 60
START = datetime(2026, 9, 14, tzinfo=UTC)


def main(directory: Path, port: int, sightings: int) -> None:
    """Record and send ``sightings`` sightings, spread evenly over a day."""
    alerts = {phase: make_event(phase, seed) for phase, seed in zip(Phase, (0, 1, 1), strict=True)}
    picture_bytes = 0
    minute = 0
    before_bytes = written_bytes()
    with Store(directory) as store:
        publisher = Publisher(MqttConfig(host="127.0.0.1", port=port), store, "hivewatch-day")
        publisher.start()
        recorder = Recorder(Config(), MODEL, store, publisher, Stopwatch())
        clock = Clock(
            ClockConfig(wait_s=0),
            now=lambda: START + timedelta(minutes=minute),
            monotonic_s=lambda: 60.0 * minute,
            synchronised=lambda: True,
        )
        clock.start(None)
        maintenance = MaintenanceService(Config(), recorder, clock)
        due = 0.0
        for minute in range(MINUTES):
            due += sightings / MINUTES
            while due >= 1 - 1e-9:
                due -= 1
                picture_bytes += record(
                    store, f"v{minute:04}x{due:.3f}", alerts, START + timedelta(minutes=minute)
                )
                assert publisher.drain(20)
            for _ in range(60):
                store.pending(1)
            maintenance.tick(60.0 * minute)
        publisher.stop(5.0)
    print(json.dumps({"write_bytes": written_bytes() - before_bytes, "picture_bytes": picture_bytes}))


def make_event(phase: Phase, seed: int) -> tuple[Sighting, Alert]:
    """Return an event and its alert with a full-size picture."""
    frame = make_frame(make_pixels(1280, 720, seed))
    sighting = make_sighting("any", phase, frame, make_prediction())
    return sighting, compose(sighting, HiveTopics("hive1", "Hive 1", "hw"), MODEL, 90)


def record(store: Store, id_: str, events: dict[Phase, tuple[Sighting, Alert]], at: datetime) -> int:
    """Record a sighting from start to end; return the size of its pictures in bytes."""
    picture_bytes = 0
    for phase, (sighting, alert) in events.items():
        assert alert.snapshot is not None
        assert alert.clean_jpeg is not None
        store.record(replace(sighting, id=id_, started_at=at, last_seen_at=at, at=at), alert)
        if phase is not Phase.END:
            picture_bytes += len(alert.snapshot.payload) + len(alert.clean_jpeg)
    return picture_bytes


def written_bytes() -> int:
    """Return how many bytes this process has written to disk."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["write_bytes"])


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
