"""The target map of a crop, and the losses."""

import numpy as np
import pytest
import torch

from hivewatch.training.data.crops import Crop
from hivewatch.training.model.losses import NO_VOTE, map_loss, map_target, pooled_loss

PIXELS = np.zeros((160, 160, 3), np.uint8)


def test_cells_inside_a_hornet_are_positive_and_far_ones_negative() -> None:
    target = map_target(Crop(PIXELS, hornets=((40, 40, 88, 72),), hornet=True), cells=10)
    assert target[3, 3] == 1
    assert target[0, 0] == target[9, 9] == 0


def test_cells_at_a_hornets_border_have_no_vote() -> None:
    target = map_target(Crop(PIXELS, hornets=((32, 32, 96, 96),), hornet=True), cells=10)
    assert (target == NO_VOTE).any()
    assert target[3, 3] == 1


def test_a_hornet_smaller_than_a_cell_gets_the_cell_at_its_centre() -> None:
    target = map_target(Crop(PIXELS, hornets=((50, 66, 54, 70),), hornet=True), cells=10)
    assert target[4, 3] == 1
    assert (target == 1).sum() == 1


def test_a_doubtful_box_has_no_vote() -> None:
    target = map_target(Crop(PIXELS, doubtful=((32, 32, 64, 64),), hornet=None), cells=10)
    assert target[2, 2] == NO_VOTE
    assert (target == 1).sum() == 0


def test_an_unboxed_hornet_leaves_every_cell_without_a_vote() -> None:
    assert (map_target(Crop(PIXELS, hornet=True, boxed=False), cells=10) == NO_VOTE).all()


def test_cells_without_a_vote_do_not_add_to_the_loss() -> None:
    target = torch.full((1, 4, 4), NO_VOTE)
    assert float(map_loss(torch.randn(1, 1, 4, 4), target, gamma=2)) == 0


def test_the_loss_of_the_right_map_is_lower_than_that_of_the_wrong_map() -> None:
    target = torch.zeros(1, 4, 4)
    target[0, 1, 1] = 1
    right = (target * 2 - 1)[:, None] * 4
    assert float(map_loss(right, target, gamma=1)) < 0.1 * float(map_loss(-right, target, gamma=1))


def test_gamma_zero_is_plain_cross_entropy() -> None:
    cam, target = torch.randn(1, 1, 3, 3), torch.tensor([[[1.0, 0, 0], [0, 0, 0], [0, 0, 0]]])
    plain = torch.nn.functional.binary_cross_entropy_with_logits(cam[:, 0], target, reduction="sum")
    assert float(map_loss(cam, target, gamma=0)) == pytest.approx(float(plain), rel=1e-5)


def test_crops_without_a_label_do_not_count_in_the_pooled_loss() -> None:
    logits = torch.tensor([0.0, 50.0])
    assert float(pooled_loss(logits, torch.tensor([1.0, NO_VOTE]))) == pytest.approx(np.log(2))
    assert float(pooled_loss(logits, torch.tensor([NO_VOTE, NO_VOTE]))) == 0
