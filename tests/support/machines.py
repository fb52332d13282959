"""A machine whose clocks a test turns."""

from __future__ import annotations

from datetime import datetime, timedelta

from hivewatch.config.sections import ClockConfig
from hivewatch.system.clock import Clock


class Machine:
    """The clocks of a machine that has been up for 1000 s."""

    def __init__(self, wall: datetime) -> None:
        self.wall = wall
        self.monotonic_s = 1000.0
        self.clock = Clock(
            ClockConfig(wait_s=600),
            now=lambda: self.wall,
            monotonic_s=lambda: self.monotonic_s,
            synchronised=lambda: True,
        )
        self.clock.start(None)
        self.clock.release_messages()

    def pass_time(self, seconds: float) -> None:
        self.monotonic_s += seconds
        self.wall += timedelta(seconds=seconds)
