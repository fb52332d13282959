"""The measures, on cases whose value is known."""

import numpy as np
import pytest

from hivewatch.domain import Box, Point
from hivewatch.training import metrics

SCORES = np.array([0.9, 0.8, 0.7, 0.6, 0.2, 0.1])
HORNET = np.array([True, True, False, True, False, False])


def test_auroc_is_the_share_of_pairs_in_the_right_order() -> None:
    assert metrics.auroc(SCORES, HORNET) == pytest.approx(8 / 9)


def test_auroc_of_equal_scores_is_one_half() -> None:
    assert metrics.auroc(np.ones(4), np.array([True, False, True, False])) == 0.5


def test_auroc_needs_both_classes() -> None:
    assert np.isnan(metrics.auroc(SCORES, np.ones(6, bool)))


def test_average_precision_averages_over_the_hornets() -> None:
    assert metrics.average_precision(SCORES, HORNET) == pytest.approx((1 + 1 + 3 / 4) / 3)


def test_recall_at_no_false_alarms_counts_what_scores_above_every_negative() -> None:
    assert metrics.recall_at_fpr(SCORES, HORNET, 0.0) == pytest.approx(2 / 3)
    assert metrics.recall_at_fpr(SCORES, HORNET, 0.34) == 1


def test_the_threshold_keeps_the_false_positive_rate() -> None:
    rng = np.random.default_rng(0)
    scores, hornet = rng.random(1000), rng.random(1000) < 0.3
    threshold = metrics.threshold_at_fpr(scores, hornet, 0.05)
    assert (scores[~hornet] > threshold).mean() <= 0.05


def test_pointing_counts_a_peak_in_any_true_box() -> None:
    truth = (Box(0.1, 0.1, 0.2, 0.2), Box(0.5, 0.5, 0.6, 0.6))
    assert metrics.points_at(Point(0.55, 0.55), truth)
    assert not metrics.points_at(Point(0.3, 0.3), truth)


def test_iou_of_known_boxes() -> None:
    assert metrics.iou(Box(0, 0, 0.2, 0.2), Box(0.1, 0, 0.3, 0.2)) == pytest.approx(1 / 3)
    assert metrics.iou(Box(0, 0, 0.1, 0.1), Box(0.2, 0.2, 0.3, 0.3)) == 0


def test_box_accuracy_averages_over_three_levels() -> None:
    truth = [(Box(0, 0, 0.2, 0.2),), (Box(0, 0, 0.2, 0.2),)]
    half = Box(0, 0, 0.2, 0.12)  # IoU 0.6: good for two of the three levels
    assert metrics.box_accuracy([half, None], truth) == pytest.approx(1 / 3)


def test_calibration_error_of_honest_scores_is_small_and_of_boasts_large() -> None:
    rng = np.random.default_rng(0)
    honest = rng.random(5000)
    hornet = rng.random(5000) < honest
    assert metrics.expected_calibration_error(honest, hornet) < 0.03
    assert metrics.expected_calibration_error(np.ones(5000), hornet) > 0.4


def test_the_interval_holds_the_value_and_narrows_with_more_frames() -> None:
    rng = np.random.default_rng(0)
    hornet = rng.random(400) < 0.5
    scores = rng.random(400) + 0.3 * hornet
    low, high = metrics.interval(metrics.auroc, scores, hornet)
    few_low, few_high = metrics.interval(metrics.auroc, scores[:40], hornet[:40])
    assert low < metrics.auroc(scores, hornet) < high
    assert high - low < few_high - few_low


def test_platt_recovers_the_scale_and_offset_of_logits() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, 20_000)
    hornet = rng.random(20_000) < 1 / (1 + np.exp(-(0.5 * logits + 1)))
    scale, offset = metrics.platt(logits, hornet)
    assert scale == pytest.approx(0.5, abs=0.05)
    assert offset == pytest.approx(1, abs=0.08)


def test_platt_stays_finite_when_the_classes_are_told_apart() -> None:
    scale, offset = metrics.platt(np.array([-9.0, -8, 8, 9]), np.array([False, False, True, True]))
    assert np.isfinite([scale, offset]).all()
    assert scale > 0
