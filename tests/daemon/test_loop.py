"""The loop: unusable frames, and sightings when the camera is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.fakes import make_frame, make_pixels

from hivewatch.config.sections import Config, DecisionConfig, GateConfig, MotionConfig
from hivewatch.daemon.loop import Loop
from hivewatch.domain.sightings import Phase, Sighting
from hivewatch.system.stopwatch import Stopwatch
from hivewatch.vision.classifier import Classifier, load_classifier


@pytest.fixture(scope="module")
def classifier(tiny_model_path: Path) -> Classifier:
    return load_classifier(tiny_model_path, 1, Stopwatch())


def make_loop(classifier: Classifier, recorded: list[Sighting], *, gated: bool = False) -> Loop:
    """Return a loop that takes every classified frame for a hornet."""
    config = Config(
        decision=DecisionConfig(threshold=0.0, release=0.0, votes=1, cool_down_s=0.0),
        gate=GateConfig(motion=MotionConfig(enabled=gated)),
    )
    return Loop(config, classifier, recorded.append, Stopwatch())


def test_an_unusable_frame_has_no_vote_and_the_background_does_not_learn_from_it(
    classifier: Classifier,
) -> None:
    recorded: list[Sighting] = []
    loop = make_loop(classifier, recorded, gated=True)
    frames = [make_frame(make_pixels(), n, n, usable=False) for n in range(3)]
    assert [step.prediction for step in loop.run(frames)] == [None] * 3
    assert recorded == []
    # The first frame the gate sees always passes, so it has seen none of those before.
    (step,) = loop.run([make_frame(make_pixels(), 3, 3)])
    assert step.prediction is not None


def test_a_visit_ends_when_frames_are_unusable_for_quiet_s(classifier: Classifier) -> None:
    recorded: list[Sighting] = []
    frames = [make_frame(make_pixels(seed=n), n, n, usable=n < 5) for n in range(30)]
    list(make_loop(classifier, recorded).run(frames))
    assert (recorded[0].phase, recorded[-1].phase) == (Phase.START, Phase.END)
    assert recorded[-1].at < frames[-1].taken_at


def test_a_visit_ends_when_the_camera_is_lost_and_another_starts_when_it_is_back(
    classifier: Classifier,
) -> None:
    recorded: list[Sighting] = []
    loop = make_loop(classifier, recorded)
    steps = loop.run(make_frame(make_pixels(seed=n), n, n) for n in range(4))
    next(steps)
    loop.end_sighting()
    next(steps)
    assert [sighting.phase for sighting in recorded] == [Phase.START, Phase.END, Phase.START]
    assert recorded[0].id == recorded[1].id != recorded[2].id


@pytest.mark.parametrize("frames", [2, 3, 20])
def test_frames_too_far_apart_for_enough_votes_are_told(
    classifier: Classifier, frames: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A time-lapse with a picture every two minutes would otherwise look like a hive without hornets."""
    recorded: list[Sighting] = []
    config = Config(decision=DecisionConfig(threshold=0.0, release=0.0, votes=3, out_of=5))
    loop = Loop(config, classifier, recorded.append, Stopwatch())
    list(loop.run(make_frame(make_pixels(seed=n), 1000.0 + 120 * n, n) for n in range(frames)))
    assert recorded == []
    assert caplog.text.count("frames are 120 s apart, so 3 votes cannot fall within decision.window_s") == 1


def test_a_single_gap_between_frames_is_not_told(
    classifier: Classifier, caplog: pytest.LogCaptureFixture
) -> None:
    config = Config(decision=DecisionConfig(votes=3, out_of=5))
    loop = Loop(config, classifier, lambda _: None, Stopwatch())
    list(loop.run(make_frame(make_pixels(seed=n), at_s, n) for n, at_s in enumerate((0, 1, 120, 240))))
    assert "apart" not in caplog.text
