"""Training crops: their content matches their boxes and labels."""

from dataclasses import replace

import numpy as np
import pytest
from support.training_pictures import draw_frame, draw_shots

from hivewatch.domain.frames import Box
from hivewatch.errors import DataError
from hivewatch.training.data.augment import augment, paste
from hivewatch.training.data.crops import Crop
from hivewatch.training.data.cutouts import Cutout, cut_out
from hivewatch.training.data.dataset import DOUBTFUL, HORNET, Insect
from hivewatch.training.data.sampling import HardNegative, Sampler, _shadow
from hivewatch.training.recipe import Recipe, Shares

NOTHING = dict.fromkeys(Shares.model_fields, 0.0)


def recipe(**shares: float) -> Recipe:
    return Recipe(
        crop_px=96,
        frame_long_side_px=160,
        hornet_px=28,
        shares=Shares(**NOTHING | shares),
        simulated_frames=0,
    )


def crops(count: int = 60, simulated: int = 0, domain: str = "hive", **shares: float) -> list[Crop]:
    sampler = Sampler(draw_shots(12, domain=domain), draw_shots(simulated, seed=9), recipe(**shares))
    return [sampler.draw(np.random.default_rng(i)) for i in range(count)]


def darkest(crop: Crop) -> tuple[float, float]:
    row, column = np.unravel_index(np.argmin(crop.pixels.sum(2).astype(int)), crop.pixels.shape[:2])
    return float(column), float(row)


def holds_darkest(crop: Crop) -> bool:
    x, y = darkest(crop)
    return any(
        b[0] - 2 <= x <= b[2] + 2 and b[1] - 2 <= y <= b[3] + 2 for b in (*crop.hornets, *crop.doubtful)
    )


def test_a_hornet_crop_shows_a_hornet_where_its_box_is() -> None:
    """Also after scaling, clamping to the picture's border, mirroring and transposing."""
    drawn = [crop for crop in crops(hornet=1) if crop.pixels.min() < 40]
    assert len(drawn) > 40
    on_hornet = [holds_darkest(crop) for crop in drawn if crop.pixels[..., 0].min() > 10]
    assert np.mean(on_hornet) > 0.95


def test_a_bee_crop_shows_a_bee_and_is_not_labelled_hornet() -> None:
    for crop in crops(20, bee=1):
        brown = np.abs(crop.pixels.astype(int) - (150, 100, 40)).max(2) < 25
        assert brown.sum() > 20
        assert crop.hornet is False


def test_the_label_is_whether_a_hornet_is_in_view() -> None:
    for crop in crops(background=1):
        assert crop.hornet is (True if crop.hornets else None if crop.doubtful else False)


def test_crops_differ_in_the_size_of_the_hornet() -> None:
    sides = [max(b[2] - b[0], b[3] - b[1]) for crop in crops(hornet=1) for b in crop.hornets]
    assert np.percentile(sides, 90) > 1.5 * np.percentile(sides, 10)


def test_the_same_generator_gives_the_same_crop() -> None:
    first, second = (crops(4, pasted=1), crops(4, pasted=1))
    assert all(
        np.array_equal(a.pixels, b.pixels) and a.hornets == b.hornets
        for a, b in zip(first, second, strict=True)
    )


def test_pasted_hornets_are_boxed_where_they_are_pasted() -> None:
    pasted = [crop for crop in crops(pasted=1) if crop.hornets]
    assert len(pasted) > 20
    assert np.mean([holds_darkest(crop) for crop in pasted]) > 0.9


def test_hard_negatives_are_drawn_once_there_are_any() -> None:
    sampler = Sampler(draw_shots(12), [], recipe(hard=1, background=1e-9))
    sampler.hard_negatives = [HardNegative(1, 0.5, 0.5)]
    crop = sampler.draw(np.random.default_rng(0))
    assert crop.hornets == ()  # picture 1 shows a bee


def test_a_kind_without_pictures_is_left_out() -> None:
    assert len(crops(3, photo=1, hornet=1)) == 3


def test_an_unboxed_hornet_photograph_has_no_cell_labels() -> None:
    shots = [
        (picture.__class__(picture.path, True, HORNET, "photo", "s", "train"), pixels)
        for picture, pixels in draw_shots(2)
    ]
    crop = Sampler(shots, [], recipe(photo=1)).draw(np.random.default_rng(0))
    assert crop.hornet is True
    assert not crop.boxed


def test_simulated_frames_are_drawn_from() -> None:
    sampler = Sampler(draw_shots(4), draw_shots(4, seed=9), recipe(simulated=1))
    assert any(sampler.draw(np.random.default_rng(i)).hornets for i in range(10))


def test_augmentation_keeps_size_and_type() -> None:
    pixels, _ = draw_frame(np.random.default_rng(0), hornet=True)
    for seed in range(30):
        changed = augment(pixels, np.random.default_rng(seed))
        assert (changed.shape, changed.dtype) == (pixels.shape, np.uint8)


def test_an_insect_is_cut_out_along_its_outline() -> None:
    """The mask covers mostly the insect's dark body, not the light ground."""
    cutouts = [cutout for cutout in cut_out(draw_shots(16)) if cutout.hornet]
    assert cutouts
    for cutout in cutouts:
        inside = cutout.pixels[cutout.mask > 200]
        assert np.median(inside.max(1)) < 100


def test_a_paste_outside_the_picture_has_no_box() -> None:
    base = np.zeros((64, 64, 3), np.uint8)
    cutout = Cutout(np.full((20, 20, 3), 255, np.uint8), np.full((20, 20), 255, np.uint8), hornet=True)
    pixels, box = paste(base, cutout, (-200.0, 10.0), 20, np.random.default_rng(0))
    assert box is None
    assert pixels.max() == 0


def test_a_paste_is_boxed_tightly() -> None:
    base = np.zeros((64, 64, 3), np.uint8)
    cutout = Cutout(np.full((20, 20, 3), 255, np.uint8), np.full((20, 20), 255, np.uint8), hornet=True)
    for seed in range(20):
        pixels, box = paste(base, cutout, (32.0, 32.0), 24, np.random.default_rng(seed))
        rows, columns = np.where(pixels.max(2) > 0.4 * pixels.max())
        assert box is not None
        assert box[0] == pytest.approx(columns.min(), abs=3)
        assert box[3] == pytest.approx(rows.max() + 1, abs=3)


def test_a_shadow_dims_the_ground_and_leaves_its_texture() -> None:
    base = np.full((64, 64, 3), 200, np.uint8)
    base[::2] = 100
    shadow = _shadow(np.full((20, 20), 255, np.uint8), np.random.default_rng(0))
    pixels, box = paste(base, shadow, (32.0, 32.0), 30, np.random.default_rng(2))
    assert box is not None
    middle, around = pixels[30:34, 30:34], pixels[:4, :4]
    assert not shadow.hornet
    assert middle.mean() < 0.75 * around.mean()
    assert middle.max() > 1.7 * middle.min()


def test_hornets_are_pasted_into_photographs_too() -> None:
    """Photographs show other ground than the few hives do."""
    shots = draw_shots(12) + [
        (
            replace(picture, species="wasp", hornet=False, domain="photo", insects=()),
            np.full_like(pixels, 255),
        )
        for picture, pixels in draw_shots(6)
    ]
    sampler = Sampler(shots, [], recipe(pasted=1))
    drawn = [sampler.draw(np.random.default_rng(i)) for i in range(60)]
    white = [crop for crop in drawn if (crop.pixels == 255).mean() > 0.5]
    assert 5 < len(white) < 40
    assert any(crop.hornets for crop in white)


def test_a_doubtful_insect_has_no_vote() -> None:
    (picture, pixels), *_ = draw_shots(1)
    shot = replace(picture, hornet=False, insects=(Insect(DOUBTFUL, picture.hornet_boxes[0]),)), pixels
    drawn = [Sampler([shot], [], recipe(background=1)).draw(np.random.default_rng(i)) for i in range(20)]
    assert not any(crop.hornets for crop in drawn)
    assert any(crop.doubtful and crop.hornet is None for crop in drawn)


def test_very_small_boxes_are_doubtful() -> None:
    picture, pixels = draw_shots(1)[0]
    tiny = picture.__class__(
        picture.path, True, HORNET, "hive", "cam_1", "train", (Insect(HORNET, Box(0.5, 0.5, 0.51, 0.51)),)
    )
    sampler = Sampler([(tiny, pixels)], [], recipe(background=1))
    seen = [sampler.draw(np.random.default_rng(i)) for i in range(20)]
    assert all(not crop.hornets for crop in seen)
    assert any(crop.doubtful and crop.hornet is None for crop in seen)


def test_a_recipe_without_matching_pictures_is_rejected() -> None:
    with pytest.raises(DataError, match="no kind of crop"):
        Sampler(draw_shots(2), [], recipe(photo=1))
