"""The loop: what becomes of a frame that shows nothing, and of a sighting when the camera is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.fakes import make_frame, make_pixels

from hivewatch.config.sections import DecisionConfig, GateConfig, MotionConfig
from hivewatch.daemon.loop import Watch
from hivewatch.domain.sightings import Phase, Sighting
from hivewatch.system.stopwatch import Stopwatch
from hivewatch.vision.classifier import Classifier, load_classifier
from hivewatch.vision.decision import Decider
from hivewatch.vision.motion import MotionGate
from hivewatch.vision.region import Region


@pytest.fixture(scope="module")
def classifier(tiny_model_path: Path) -> Classifier:
    return load_classifier(tiny_model_path, 1, Stopwatch())


def make_watch(classifier: Classifier, told: list[Sighting]) -> Watch:
    """Return a loop that classifies every frame and takes each for a hornet."""
    decision = DecisionConfig(threshold=0.0, release=0.0, votes=1, cool_down_s=0.0)
    gate = MotionGate(MotionConfig(enabled=False))
    return Watch(Region(GateConfig()), gate, classifier, Decider(decision), told.append, Stopwatch())


def test_an_unusable_frame_is_no_vote_and_the_background_does_not_learn_from_it(
    classifier: Classifier,
) -> None:
    told: list[Sighting] = []
    watch = make_watch(classifier, told)
    frames = [make_frame(make_pixels(), n, n, usable=False) for n in range(3)]
    assert [step.prediction for step in watch.steps(frames)] == [None] * 3
    assert told == []
    assert (watch.gate.passed, watch.gate.held_back) == (0, 0)


def test_a_visit_ends_when_frames_are_unusable_for_quiet_s(classifier: Classifier) -> None:
    told: list[Sighting] = []
    frames = [make_frame(make_pixels(seed=n), n, n, usable=n < 5) for n in range(30)]
    list(make_watch(classifier, told).steps(frames))
    assert (told[0].phase, told[-1].phase) == (Phase.START, Phase.END)
    assert told[-1].at < frames[-1].taken_at


def test_a_visit_ends_when_the_camera_is_lost_and_another_begins_when_it_is_back(
    classifier: Classifier,
) -> None:
    told: list[Sighting] = []
    watch = make_watch(classifier, told)
    steps = watch.steps(make_frame(make_pixels(seed=n), n, n) for n in range(4))
    next(steps)
    watch.finish()
    next(steps)
    assert [sighting.phase for sighting in told] == [Phase.START, Phase.END, Phase.START]
    assert told[0].id == told[1].id != told[2].id
