"""Pictures without boxes: their label alone is known, so they are drawn whole."""

from dataclasses import replace

import numpy as np
import pytest
from support.training_pictures import draw_shots, unboxed

from hivewatch.training.data.crops import Crop, whole
from hivewatch.training.data.dataset import DOUBTFUL, Insect, Shot
from hivewatch.training.data.sampling import Sampler
from hivewatch.training.recipe import Recipe

RECIPE = Recipe(crop_px=96, frame_long_side_px=160, hornet_px=28, simulated_frames=0)


def draw(shots: list[Shot], count: int = 60, recipe: Recipe = RECIPE) -> list[tuple[str, Crop]]:
    sampler = Sampler(shots, [], recipe)
    return [sampler.draw_kind(np.random.default_rng(i)) for i in range(count)]


def shows_hornet(crop: Crop) -> bool:
    """Return whether the drawn hornet's orange band is in view: no bee and no ground has its colour."""
    red, _, blue = crop.pixels.astype(int).transpose(2, 0, 1)
    return int(((red > 170) & (blue < 80)).sum()) > 20


def test_unboxed_hornets_are_drawn_and_every_such_crop_shows_its_hornet() -> None:
    hornets = [crop for _, crop in draw(unboxed(draw_shots(12))) if crop.hornet]
    assert len(hornets) > 15
    assert all(shows_hornet(crop) for crop in hornets)


def test_whole_pictures_with_and_without_hornets_are_drawn_equally_often() -> None:
    crops = [crop for kind, crop in draw(unboxed(draw_shots(12)), 200) if kind == "whole"]
    assert 0.4 < np.mean([bool(crop.hornet) for crop in crops]) < 0.6
    assert not any(shows_hornet(crop) for crop in crops if not crop.hornet)


def test_a_label_alone_gives_no_cell_a_target() -> None:
    assert not any(crop.boxed for kind, crop in draw(unboxed(draw_shots(12))) if kind == "whole")


def test_whole_pictures_keep_their_shape_and_differ_in_scale() -> None:
    """The drawn frames are 160x96; sides are multiples of 32, padded by less than that."""
    shapes = {crop.pixels.shape[:2] for kind, crop in draw(unboxed(draw_shots(12))) if kind == "whole"}
    assert len(shapes) > 1
    for height, width in shapes:
        assert height % 32 == width % 32 == 0
        assert 0.75 * 160 <= width < 1.15 * 160 + 32
        assert 0.75 * 96 <= height < 1.15 * 96 + 32


def test_a_whole_picture_is_moved_and_mirrored() -> None:
    picture, pixels = draw_shots(1)[0]
    crops = [whole(picture, pixels, 100, 32, np.random.default_rng(i)) for i in range(20)]
    columns = {int(np.argmin(crop.pixels.sum(2).min(0))) for crop in crops}
    assert len(columns) > 5


def test_boxes_and_labels_can_be_mixed_picture_by_picture() -> None:
    boxed, plain = draw_shots(12), unboxed(draw_shots(4, seed=5))
    sampler = Sampler(boxed + plain, [], RECIPE)
    kinds = {kind for kind, _ in draw(boxed + plain, 100)}
    assert {"hornet", "whole"} <= kinds
    rest = sum(share for kind, share in sampler.shares.items() if kind != "whole")
    shares = RECIPE.shares
    others = shares.hornet + shares.bee + shares.background + shares.pasted
    of_hornets = 2 / 8  # that have no box
    assert sampler.shares["whole"] / rest == pytest.approx(of_hornets * shares.whole / others)


def test_boxed_pictures_alone_are_never_drawn_whole() -> None:
    assert "whole" not in {kind for kind, _ in draw(draw_shots(12), 100)}


def test_the_label_is_unknown_if_a_picture_without_hornets_shows_something_doubtful() -> None:
    picture, pixels = draw_shots(2)[1]
    doubtful = replace(picture, insects=(Insect(DOUBTFUL, picture.insects[0].box),))
    assert whole(doubtful, pixels, 160, 32, np.random.default_rng(0)).hornet is None
