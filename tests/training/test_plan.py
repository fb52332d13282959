"""What a run says before it starts, and the runs that are refused or end with an error."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.training_pictures import RECIPE, draw_shots, remove_boxes, unboxed, write_data, write_weights

from hivewatch.errors import DataError
from hivewatch.training import plan
from hivewatch.training.data.catalogue import read_catalogue
from hivewatch.training.data.sampling import Sampler
from hivewatch.training.recipe import Recipe, Shares
from hivewatch.training.run import Run
from hivewatch.training.validate import frame_maps


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tmp_path_factory.mktemp("weights") / "resnet18.pt")


def found(data: Path) -> list[list[str]]:
    return [line.split() for line in plan.found(read_catalogue(data), data).splitlines()]


def test_the_pictures_are_counted_by_split_class_and_boxes_with_their_size(tmp_path: Path) -> None:
    data = write_data(tmp_path, per_class=3)
    (data / "train/presence/0.txt").unlink()
    assert ["train", "presence", "3", "2", "160", "px"] in found(data)
    assert ["val", "absence", "3", "3", "160", "px"] in found(data)


def test_hornets_without_a_box_are_counted(tmp_path: Path) -> None:
    data = remove_boxes(write_data(tmp_path, per_class=3))
    assert "3 training pictures with a hornet have no box" in plan.found(read_catalogue(data), data)


def test_without_val_the_report_says_that_test_validates(tmp_path: Path) -> None:
    data = write_data(tmp_path, per_class=1)
    (data / "val").rename(data / "test")
    catalogue = read_catalogue(data)
    assert "no split 'val', so 'test' validates" in plan.found(catalogue, data)
    assert {picture.split for picture in catalogue.validation} == {"test"}


def test_with_val_the_test_split_plays_no_part(tmp_path: Path) -> None:
    data = write_data(tmp_path, per_class=1)
    shutil.copytree(data / "val", data / "test")
    assert {picture.split for picture in read_catalogue(data).validation} == {"val"}


def test_the_shares_of_the_crops_are_stated_and_how_many_show_a_hornet(tmp_path: Path) -> None:
    text = plan.drawn(Sampler(unboxed(draw_shots(12)), [], RECIPE), tmp_path)
    assert "16 crops in batches of 8" in text
    assert "79% whole pictures, known by their label alone" in text
    assert "17% with insects pasted in" in text
    assert any(f"{share}% of them show a hornet" in text for share in range(40, 56))


def test_a_run_that_would_never_draw_a_hornet_is_refused(tmp_path: Path) -> None:
    recipe = RECIPE.model_copy(update={"shares": Shares(whole=0, pasted=0, simulated=1)})
    sampler = Sampler(unboxed(draw_shots(12)), draw_shots(4, seed=9), recipe)
    with pytest.raises(DataError, match=r"none shows a hornet.* 6 .*with a hornet \(0 boxed\).*'whole'"):
        plan.drawn(sampler, tmp_path)


def test_a_run_that_would_never_draw_a_picture_without_hornets_is_refused(tmp_path: Path) -> None:
    nothing = dict.fromkeys(Shares.model_fields, 0.0)
    recipe = RECIPE.model_copy(update={"shares": Shares(**nothing | {"hornet": 1.0})})
    with pytest.raises(DataError, match=r"none is without one.*'background'"):
        plan.drawn(Sampler(draw_shots(12), [], recipe), tmp_path)


def test_the_time_of_an_epoch_and_of_the_run_is_measured_and_changes_nothing(weights: Path) -> None:
    run, untouched = Run(RECIPE, weights), Run(RECIPE, weights)
    shots = draw_shots(12)
    text = plan.pace(run, Sampler(shots, [], RECIPE), shots)
    assert "An epoch will take about " in text
    assert "2 epochs about " in text
    for (name, value), before in zip(
        run.net.state_dict().items(), untouched.net.state_dict().values(), strict=True
    ):
        assert bool((value == before).all()) or "classifier" in name  # the classifier starts at random


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (99, "99 s"), (150, "2 min"), (5990, "1 h 40 min"), (7260, "2 h 1 min")],
)
def test_times_are_written_for_people(seconds: float, text: str) -> None:
    assert plan._for(seconds) == text


def test_a_network_no_better_than_chance_on_its_own_pictures_is_an_error(
    weights: Path, tmp_path: Path
) -> None:
    """Every picture twice, once in each class: there is nothing to learn."""
    shots = [(replace(p, hornet=hornet), pixels) for p, pixels in draw_shots(6) for hornet in (True, False)]
    run = Run(Recipe(crops_per_epoch=16, frame_long_side_px=160), weights)
    with pytest.raises(DataError, match=r"AUROC is 0\.50 .*must exceed 0\.6.*presence and absence.*--epochs"):
        plan.check_learnt(run, shots, tmp_path)


def test_a_network_that_learnt_passes(weights: Path, tmp_path: Path) -> None:
    shots = [(p, np.full_like(pixels, 255 if p.hornet else 0)) for p, pixels in draw_shots(6)]
    run = Run(Recipe(crops_per_epoch=16, frame_long_side_px=160), weights)
    (_, first, _), (_, second, _) = frame_maps(run.averaged, shots[:2], run.recipe, "test")
    right = [(replace(p, hornet=p.hornet is (first > second)), pixels) for p, pixels in shots]
    plan.check_learnt(run, right, tmp_path)
