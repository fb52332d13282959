"""Plain folders without boxes, trained and exported.

The runs start from the released model: drawn hornets and a few steps would teach random weights nothing.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from support.training_pictures import RECIPE, draw_shots, remove_boxes, write_data

from hivewatch.errors import DataError
from hivewatch.training.evaluation.localization import points_at
from hivewatch.training.export import Description
from hivewatch.training.model.network import HornetNet
from hivewatch.training.release import DEFAULT_BOX_LEVEL, best_box_level, calibrate, release
from hivewatch.training.run import BEST, HISTORY, load_network
from hivewatch.training.train import train
from hivewatch.training.validate import frame_maps, peak
from hivewatch.vision.classifier import load_classifier
from hivewatch.vision.trust import RELEASED_MODEL

pytestmark = pytest.mark.slow

DESCRIPTION = Description("test", "1", 1.0, "drawn pictures", "none")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return remove_boxes(write_data(tmp_path_factory.mktemp("data"), per_class=12))


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    recipe = RECIPE.model_copy(
        update={"epochs": 6, "crops_per_epoch": 32, "mine_every": 0, "least_auroc": 0.6, "top_cells": 1}
    )
    train(data, recipe, out, weights=RELEASED_MODEL)
    return out


def test_labels_alone_teach_what_a_hornet_is(run: Path) -> None:
    history = json.loads((run / HISTORY).read_text())
    assert history[-1]["val_accuracy"] > 0.9


def test_the_map_finds_the_hornet_by_itself(run: Path) -> None:
    net, recipe, _ = load_network(run / BEST)
    shots = [shot for shot in draw_shots(16, seed=3) if shot[0].hornet]
    maps = frame_maps(net, shots, recipe, "test")
    on_hornet = np.mean([points_at(peak(cam), picture.hornet_boxes) for (picture, _), _, cam in maps])
    assert on_hornet > 0.3  # boxes cover 4 % of the frame


def test_a_model_without_boxes_is_calibrated_and_exported(run: Path, data: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    released = release(run / BEST, data, path, DESCRIPTION)
    assert released.box_level == DEFAULT_BOX_LEVEL
    info = load_classifier(path, threads=1).model
    assert info.box_level == DEFAULT_BOX_LEVEL
    assert info.second_look is not None


def test_without_boxed_hornets_the_box_level_is_the_default(data: Path) -> None:
    assert best_box_level(RELEASED_MODEL, data) == DEFAULT_BOX_LEVEL


def test_a_network_that_ranks_the_wrong_way_round_is_not_calibrated(run: Path) -> None:
    net, recipe, _ = load_network(run / BEST)
    assert isinstance(net, HornetNet)
    net.classifier.weight.data.neg_()
    net.classifier.bias.data.neg_()
    with pytest.raises(DataError, match="ranks validation pictures without hornets above"):
        calibrate(net, draw_shots(12, seed=3), recipe)
