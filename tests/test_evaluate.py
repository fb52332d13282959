"""A trained checkpoint becomes a model file, and the file is measured through the daemon's classifier."""

import json
from pathlib import Path

import numpy as np
import pytest
from test_train import RECIPE
from training_pictures import write_data, write_weights

from hivewatch.classifier import load_classifier, read_model_info
from hivewatch.errors import DataError
from hivewatch.training.dataset import decode, read_catalogue
from hivewatch.training.evaluate import evaluate, judge, measure
from hivewatch.training.export import Description
from hivewatch.training.release import release
from hivewatch.training.train import BEST, train


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    weights = write_weights(out / "resnet18.pt")
    recipe = RECIPE.model_copy(update={"epochs": 3, "crops_per_epoch": 64, "mine_every": 0})
    train(data, recipe, out, weights=weights)
    description = Description("test", "0", 0.5, "drawn pictures", "none", input_long_side_px=160)
    release(out / BEST, data, out / "model.pt", description)
    return out


def test_the_model_file_carries_recipe_and_box_level(run: Path) -> None:
    model = read_model_info(run / "model.pt")
    assert model.recipe["epochs"] == 3
    assert 0.1 <= model.box_level <= 0.8


def test_scores_are_calibrated_on_the_validation_frames(run: Path, data: Path) -> None:
    """Platt scaling makes the mean score the share of hornets, here one half."""
    verdicts = judge(read_catalogue(data).split("val"), load_classifier(run / "model.pt", threads=1))
    assert sum(v.prediction.score for v in verdicts) / len(verdicts) == pytest.approx(0.5, abs=0.1)


def test_the_report_counts_and_measures(run: Path, data: Path) -> None:
    (report,) = evaluate(data, load_classifier(run / "model.pt", threads=1))
    assert report.group == "val hive"
    assert (report.ranking.pictures, report.ranking.hornets) == (12, 6)
    assert report.ranking.auroc.low <= report.ranking.auroc.value <= report.ranking.auroc.high
    assert report.localisation.pictures == 6
    assert set(report.alarms) == {"velutina", "none"}


def test_the_report_can_be_read_by_people_and_by_programs(run: Path, data: Path) -> None:
    """What cannot be measured (here: nothing) would be null; JSON knows no NaN."""
    (report,) = evaluate(data, load_classifier(run / "model.pt", threads=1))
    assert "val hive: 12 pictures, 6 with a hornet" in report.table()
    document = json.loads(json.dumps(report.document(), allow_nan=False))
    assert document["ranking"]["hornets"] == 6


def test_what_cannot_be_measured_is_null(run: Path, data: Path) -> None:
    empty = [p for p in read_catalogue(data).split("val") if not p.hornet]
    report = measure("val hive", judge(empty, load_classifier(run / "model.pt", threads=1)), 0.5)
    document = json.loads(json.dumps(report.document(), allow_nan=False))
    assert document["ranking"]["recall"] is None
    assert document["localisation"]["pointing"] is None


def test_an_empty_split_is_a_clear_error(run: Path, data: Path) -> None:
    with pytest.raises(DataError, match="'test'"):
        evaluate(data, load_classifier(run / "model.pt", threads=1), split="test")


def test_releasing_leaves_figures_beside_the_checkpoint(run: Path) -> None:
    assert (run / "curves.png").is_file()
    predictions, maps = (decode(run / name) for name in ("predictions.png", "maps.png"))
    for grid in (predictions, maps):
        assert (grid < 250).any(2).mean() > 0.2  # pictures stand in it, not only white paper
    assert not np.array_equal(predictions, maps)
