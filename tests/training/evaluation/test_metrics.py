"""Measures of scores, on cases with known values."""

import numpy as np
import pytest

from hivewatch.training.evaluation import metrics

SCORES = np.array([0.9, 0.8, 0.7, 0.6, 0.2, 0.1])
HORNET = np.array([True, True, False, True, False, False])


def test_auroc_is_the_share_of_correctly_ordered_pairs() -> None:
    assert metrics.auroc(SCORES, HORNET) == pytest.approx(8 / 9)


def test_auroc_of_equal_scores_is_one_half() -> None:
    assert metrics.auroc(np.ones(4), np.array([True, False, True, False])) == 0.5


def test_auroc_needs_both_classes() -> None:
    assert np.isnan(metrics.auroc(SCORES, np.ones(6, bool)))


def test_the_confusion_matrix_counts_alarms_by_truth() -> None:
    """Rows without and with a hornet, columns without and with an alarm."""
    alarm, hornet = np.array([1, 1, 1, 0, 0, 0], bool), np.array([1, 0, 0, 1, 0, 0], bool)
    assert metrics.confusion(alarm, hornet).tolist() == [[2, 2], [1, 1]]


def test_average_precision_is_the_mean_over_the_hornets() -> None:
    assert metrics.average_precision(SCORES, HORNET) == pytest.approx((1 + 1 + 3 / 4) / 3)


def test_recall_without_false_alarms_counts_hornets_above_every_negative() -> None:
    assert metrics.recall_at_fpr(SCORES, HORNET, 0.0) == pytest.approx(2 / 3)
    assert metrics.recall_at_fpr(SCORES, HORNET, 0.34) == 1


def test_the_threshold_keeps_the_false_positive_rate() -> None:
    rng = np.random.default_rng(0)
    scores, hornet = rng.random(1000), rng.random(1000) < 0.3
    threshold = metrics.threshold_at_fpr(scores, hornet, 0.05)
    assert (scores[~hornet] > threshold).mean() <= 0.05


def test_f1_is_the_harmonic_mean_of_precision_and_recall() -> None:
    alarm = np.array([True, True, True, False, False])
    hornet = np.array([True, False, False, True, False])
    precision, recall = 1 / 3, 1 / 2
    assert metrics.f1(alarm, hornet) == pytest.approx(2 * precision * recall / (precision + recall))
    assert np.isnan(metrics.f1(np.zeros(2, bool), np.zeros(2, bool)))


def test_the_share_of_no_flags_is_nan() -> None:
    assert np.isnan(metrics.share(np.zeros(0, bool)))
    assert metrics.share(np.array([True, False])) == 0.5


def test_calibration_error_is_small_for_calibrated_scores_and_large_for_overconfident_ones() -> None:
    rng = np.random.default_rng(0)
    calibrated = rng.random(5000)
    hornet = rng.random(5000) < calibrated
    assert metrics.expected_calibration_error(calibrated, hornet) < 0.03
    assert metrics.expected_calibration_error(np.ones(5000), hornet) > 0.4


def test_every_picture_is_in_one_bin_and_empty_bins_are_left_out() -> None:
    bins = metrics.calibration_bins(np.array([0.05, 0.07, 0.95, 1.0]), np.array([False, True, True, True]))
    assert [(b.pictures, b.hornets) for b in bins] == [(2, 0.5), (2, 1.0)]
    assert bins[1].score == pytest.approx(0.975)


def test_platt_recovers_the_scale_and_offset_of_logits() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, 20_000)
    hornet = rng.random(20_000) < 1 / (1 + np.exp(-(0.5 * logits + 1)))
    scale, offset = metrics.platt(logits, hornet)
    assert scale == pytest.approx(0.5, abs=0.05)
    assert offset == pytest.approx(1, abs=0.08)


def test_platt_stays_finite_if_the_classes_are_separable() -> None:
    scale, offset = metrics.platt(np.array([-9.0, -8, 8, 9]), np.array([False, False, True, True]))
    assert np.isfinite([scale, offset]).all()
    assert scale > 0
