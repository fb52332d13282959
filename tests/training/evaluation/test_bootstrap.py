"""Confidence intervals by the bootstrap over scenes."""

import numpy as np

from hivewatch.training.evaluation.bootstrap import Bootstrap, Indices, Measure


def mean_of(values: np.ndarray):
    return lambda indices: float(values[indices].mean())


def test_the_interval_contains_the_value_and_narrows_with_more_pictures() -> None:
    values = np.random.default_rng(0).random(400)
    many = Bootstrap([""] * 400).measure(mean_of(values))
    few = Bootstrap([""] * 40).measure(mean_of(values[:40]))
    assert many.low < many.value < many.high
    assert many.high - many.low < few.high - few.low


def test_about_95_percent_of_the_intervals_cover_the_true_value() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        measure = Bootstrap([""] * 60, rounds=200).measure(mean_of(rng.normal(3.0, 1.0, 60)))
        covered += measure.low <= 3.0 <= measure.high
    assert 0.87 <= covered / 200 <= 0.99


def test_the_frames_of_a_burst_count_as_one() -> None:
    """Ten scenes of twenty equal frames carry as much information as ten frames."""
    of_scenes = np.random.default_rng(2).random(10)
    bursts = Bootstrap([f"day {i}" for i in range(10) for _ in range(20)])
    assert bursts.clusters == 10
    wide = bursts.measure(mean_of(np.repeat(of_scenes, 20)))
    narrow = Bootstrap([""] * 200).measure(mean_of(np.repeat(of_scenes, 20)))
    assert wide.high - wide.low > 2.5 * (narrow.high - narrow.low)


def test_a_scene_is_resampled_whole_or_not_at_all() -> None:
    drawn: list[Indices] = []

    def collect(indices: Indices) -> float:
        drawn.append(indices)
        return 0.0

    Bootstrap(["a", "b", "a", "b", ""], rounds=50).measure(collect)
    for indices in drawn:
        counts = np.bincount(indices, minlength=5)
        assert counts[0] == counts[2]
        assert counts[1] == counts[3]


def test_one_scene_has_a_value_but_no_interval() -> None:
    measure = Bootstrap(["a"] * 30).measure(mean_of(np.arange(30.0)))
    assert measure.value == 14.5
    assert np.isnan([measure.low, measure.high]).all()
    assert str(measure) == "14.500"


def test_resamples_that_cannot_be_measured_do_not_count() -> None:
    """With one hornet among three pictures, some resamples have none."""
    hornet = np.array([True, False, False])
    measure = Bootstrap(["", "", ""]).measure(lambda i: 1.0 if hornet[i].any() else float("nan"))
    assert (measure.low, measure.high) == (1.0, 1.0)


def test_a_measure_without_a_value_is_printed_as_not_measured() -> None:
    assert str(Measure(float("nan"), float("nan"), float("nan"))) == "not measured"
