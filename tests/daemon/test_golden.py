"""A seeded video of the simulator gives the same sightings every time, with the released model.

After a change that is meant to alter them (a new model, say) run
``scripts/test tests/daemon/test_golden.py --update-expected`` and review the difference before committing it.
"""

from __future__ import annotations

import json
import threading
from datetime import datetime

import pytest
from support.paths import TESTS

from hivewatch.camera.simulator.camera import SimulatorCamera
from hivewatch.config.sections import Config, SimulatorConfig
from hivewatch.daemon.loop import Loop
from hivewatch.domain.frames import Frame
from hivewatch.domain.sightings import Sighting
from hivewatch.system.stopwatch import Stopwatch
from hivewatch.vision.classifier import load_classifier

pytestmark = pytest.mark.slow

EXPECTED = TESTS / "expected" / "golden.json"
VIDEO = SimulatorConfig(seed=11, hornet_every_s=20.0, hornet_stay_s=6.0, duration_s=40.0)


def decisions() -> list[dict[str, object]]:
    """Replay the video and return the events, in whole votes and in seconds of the video."""
    config, events, frames = Config(), list[Sighting](), list[Frame]()
    camera = SimulatorCamera(VIDEO, 1280, 720, rate_hz=3.0, paced=False)
    loop = Loop(config, load_classifier(None, threads=0), events.append, Stopwatch())
    for step in loop.run(camera.frames(threading.Event())):
        frames.append(step.frame)
    start = frames[0].taken_at

    def second(moment: datetime) -> float:
        return round((moment - start).total_seconds(), 3)

    return [
        {
            "phase": str(event.phase),
            "at_s": second(event.at),
            "started_at_s": second(event.started_at),
            "last_seen_at_s": second(event.last_seen_at),
            "votes_for": event.votes_for,
            "votes": event.votes,
        }
        for event in events
    ]


def test_a_seeded_video_gives_the_expected_sightings(request: pytest.FixtureRequest) -> None:
    decided = decisions()
    if request.config.getoption("--update-expected"):
        EXPECTED.write_text(json.dumps(decided, indent=1) + "\n")
    assert decided == json.loads(EXPECTED.read_text())
    assert [event["phase"] for event in decided].count("end") >= 1, "the video has hornets in it"
