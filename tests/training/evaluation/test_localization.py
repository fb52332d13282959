"""Measures of localization, on maps and boxes with known values."""

import numpy as np
import pytest

from hivewatch.domain.frames import WHOLE, Box, Point
from hivewatch.training.evaluation import localization


def blob(rows: int, columns: int, row: int, column: int, size: int = 1) -> np.ndarray:
    cam = np.full((rows, columns), -4.0, np.float32)
    cam[row : row + size, column : column + size] = 4.0
    return cam


def test_pointing_counts_a_peak_in_any_true_box() -> None:
    truth = (Box(0.1, 0.1, 0.2, 0.2), Box(0.5, 0.5, 0.6, 0.6))
    assert localization.points_at(Point(0.55, 0.55), truth)
    assert not localization.points_at(Point(0.3, 0.3), truth)


def test_iou_of_known_boxes() -> None:
    assert localization.best_iou([Box(0, 0, 0.2, 0.2)], [Box(0.1, 0, 0.3, 0.2)]) == pytest.approx(1 / 3)
    assert localization.best_iou([Box(0, 0, 0.1, 0.1)], [Box(0.2, 0.2, 0.3, 0.3)]) == 0


def test_the_best_pair_of_found_and_true_boxes_counts() -> None:
    found = [Box(0, 0, 0.1, 0.1), Box(0.5, 0.5, 0.7, 0.7)]
    truth = [Box(0.8, 0.8, 0.9, 0.9), Box(0.5, 0.5, 0.7, 0.6)]
    assert localization.best_iou(found, truth) == pytest.approx(0.5)
    assert localization.best_iou([], truth) == 0


def test_box_accuracy_averages_over_three_levels() -> None:
    assert localization.box_accuracy(np.array([0.6, 0.0])) == pytest.approx(1 / 3)  # 0.6 reaches two of three
    assert np.isnan(localization.box_accuracy(np.zeros(0)))


def test_one_cut_serves_all_frames_but_may_differ_between_ious() -> None:
    """Two frames, two cuts: each cut suits one frame, so at a strict IoU only half of them reach it."""
    best = np.array([[0.9, 0.4], [0.4, 0.9]])
    assert localization.best_cuts(best, np.arange(2)) == [(1.0, 0), (0.5, 0), (0.5, 0)]
    assert localization.max_box_accuracy(best, np.arange(2)) == pytest.approx(2 / 3)
    assert localization.max_box_accuracy(best, np.array([1])) == 1.0


def test_a_region_beside_the_peak_may_match() -> None:
    """Two blobs, the true box around the weaker one: MaxBoxAccV2 takes the best region of the map."""
    cam = np.maximum(blob(12, 20, 2, 2, size=3), blob(12, 20, 7, 14, size=3) - 1)
    overlaps = localization.map_overlaps(cam, WHOLE, [Box(14 / 20, 7 / 12, 17 / 20, 10 / 12)])
    assert overlaps.max() > 0.7
    assert overlaps[-1] == 0, "at the highest level only the peak is left"


def test_a_flat_map_has_no_box() -> None:
    assert localization.map_overlaps(np.zeros((4, 4), np.float32), WHOLE, [Box(0, 0, 1, 1)]).max() == 0


def test_maps_of_negative_logits_are_scaled_like_any_other() -> None:
    truth = [Box(0.25, 0.25, 0.75, 0.75)]
    cam = blob(8, 8, 2, 2, size=4)
    assert localization.map_overlaps(cam - 100, WHOLE, truth) == pytest.approx(
        localization.map_overlaps(cam, WHOLE, truth)
    )


def test_the_centre_baseline_finds_a_box_in_the_middle() -> None:
    assert localization.centre_overlaps([Box(0.4, 0.4, 0.6, 0.6)]).max() == pytest.approx(1.0)
    assert localization.centre_overlaps([Box(0.0, 0.0, 0.1, 0.1)]).max() < 0.05
