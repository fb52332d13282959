"""Training runs on drawn pictures: repeatable, resumable, and with falling loss."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from support.training_pictures import RECIPE, remove_boxes, write_data, write_weights

from hivewatch.errors import DataError, ModelError
from hivewatch.training import train as training
from hivewatch.training.export import load_model_file
from hivewatch.training.model.network import HornetNet
from hivewatch.training.recipe import Recipe
from hivewatch.training.run import BEST, HISTORY, LAST, Run, load_network
from hivewatch.training.train import train

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tmp_path_factory.mktemp("weights") / "resnet18.pt")


@pytest.fixture(scope="module")
def finished(data: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    train(data, RECIPE, out, weights=weights)
    return out


def weights_of(checkpoint: Path) -> torch.Tensor:
    return torch.load(checkpoint, weights_only=True)["net"]["classifier.weight"]


def test_a_run_writes_its_checkpoints_and_history(finished: Path) -> None:
    assert {path.name for path in finished.iterdir()} == {BEST, LAST, HISTORY}
    history = json.loads((finished / HISTORY).read_text())
    assert [entry["number"] for entry in history] == [0, 1]
    assert "auroc" in history[1]["validation"]["splits"]["val"]


def test_a_checkpoint_carries_its_recipe(finished: Path) -> None:
    _, recipe, history = load_network(finished / LAST)
    assert recipe == RECIPE
    assert len(history) == 2


def test_the_same_seed_gives_the_same_result(
    data: Path, weights: Path, finished: Path, tmp_path: Path
) -> None:
    train(data, RECIPE, tmp_path, weights=weights)
    assert (tmp_path / HISTORY).read_text() == (finished / HISTORY).read_text()
    assert torch.equal(weights_of(tmp_path / LAST), weights_of(finished / LAST))


def test_a_resumed_run_ends_like_an_uninterrupted_one(
    data: Path, weights: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = training._one_epoch

    def interrupted(run: Run, *args: object) -> object:
        if run.history:
            raise KeyboardInterrupt
        return whole(run, *args)  # type: ignore[arg-type]

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training, "_one_epoch", interrupted)
        train(data, RECIPE, tmp_path, weights=weights)
    train(data, Recipe(), tmp_path, weights=weights, resume=True)
    assert torch.equal(weights_of(tmp_path / LAST), weights_of(finished / LAST))


def test_frozen_layers_keep_their_weights(finished: Path, weights: Path) -> None:
    trained = torch.load(finished / LAST, weights_only=True)["net"]
    start = torch.load(weights, weights_only=True)
    assert torch.equal(trained["body.layer1.0.conv1.weight"], start["layer1.0.conv1.weight"])
    assert not torch.equal(trained["body.layer4.0.conv1.weight"], start["layer4.0.conv1.weight"])


def test_batch_norms_keep_their_statistics(finished: Path, weights: Path) -> None:
    trained = torch.load(finished / LAST, weights_only=True)["net"]
    start = torch.load(weights, weights_only=True)
    assert torch.equal(trained["body.layer4.1.bn2.running_var"], start["layer4.1.bn2.running_var"])


def test_a_run_can_start_from_the_checkpoint_of_an_earlier_run(finished: Path) -> None:
    earlier, _, _ = load_network(finished / LAST)
    run = Run(RECIPE, finished / LAST)
    assert torch.equal(run.net.classifier.weight, earlier.classifier.weight)
    assert run.step == 0


def test_a_run_that_starts_from_another_mines_its_false_alarms_first(
    data: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hivewatch.training.mining.ALARM_LOGIT", -100.0)  # every peak is an alarm
    recipe = RECIPE.model_copy(update={"epochs": 1})
    train(data, recipe, tmp_path / "further", weights=finished / BEST)
    state = torch.load(tmp_path / "further" / LAST, weights_only=True)
    assert state["hard"]


def test_a_run_can_start_from_a_model_file(data: Path, tiny_model_path: Path, tmp_path: Path) -> None:
    train(data, RECIPE.model_copy(update={"epochs": 1}), tmp_path, weights=tiny_model_path)
    started = HornetNet()
    load_model_file(started, tiny_model_path)
    trained, _, _ = load_network(tmp_path / LAST)
    torch.testing.assert_close(trained.body.layer1[0].conv1.weight, started.body.layer1[0].conv1.weight)


def test_training_lowers_the_loss(data: Path, weights: Path, tmp_path: Path) -> None:
    longer = RECIPE.model_copy(
        update={"epochs": 4, "crops_per_epoch": 48, "validate_every": 4, "mine_every": 0}
    )
    train(data, longer, tmp_path, weights=weights)
    history = json.loads((tmp_path / HISTORY).read_text())
    assert history[-1]["map_loss"] < 0.8 * history[0]["map_loss"]


def test_training_without_pictures_is_a_clear_error(tmp_path: Path, weights: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        train(tmp_path / "none", RECIPE, tmp_path, weights=weights)


def test_each_epoch_has_loss_and_accuracy_of_training_and_validation(finished: Path) -> None:
    history = json.loads((finished / HISTORY).read_text())
    assert [entry["epoch"] for entry in history] == [1, 2]
    for entry in history:
        assert entry["train_loss"] == entry["pooled_loss"] > 0
        assert 0 <= entry["train_accuracy"] <= 1
        assert entry["val_loss"] > 0
        assert 0 <= entry["val_accuracy"] <= 1


def test_without_val_the_test_split_validates_and_the_report_says_so(weights: Path, tmp_path: Path) -> None:
    data = write_data(tmp_path / "data", per_class=3)
    (data / "val").rename(data / "test")
    said: list[str] = []
    recipe = RECIPE.model_copy(update={"epochs": 1})
    train(data, recipe, tmp_path / "out", weights=weights, report=said.append)
    assert "'test' validates" in said[0]
    history = json.loads((tmp_path / "out" / HISTORY).read_text())
    assert set(history[0]["validation"]["splits"]) == {"test"}


def test_the_report_goes_from_what_was_found_to_how_each_epoch_went(
    data: Path, weights: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    train(data, RECIPE, tmp_path, weights=weights, report=said.append)
    for text, start in zip(
        said,
        ("Found in", "An epoch draws 16 crops", "An epoch will take", "epoch 1: ", "epoch 2: "),
        strict=True,
    ):
        assert text.startswith(start)
    assert "training loss" in said[3]
    assert "validation loss" in said[3]


def test_a_new_run_keeps_the_files_of_the_run_before(data: Path, weights: Path, tmp_path: Path) -> None:
    (tmp_path / BEST).write_bytes(b"earlier")
    train(data, RECIPE.model_copy(update={"epochs": 1}), tmp_path, weights=weights)
    assert (tmp_path / "earlier" / BEST).read_bytes() == b"earlier"


def test_an_epoch_draws_by_the_number_of_pictures_unless_the_recipe_says() -> None:
    def crops(pictures: int, crops_per_epoch: int = 0) -> int:
        recipe = Recipe(crops_per_epoch=crops_per_epoch)
        return training._with_crops_per_epoch(recipe, pictures).crops_per_epoch

    assert [crops(20), crops(400), crops(9000), crops(400, 77)] == [512, 800, 4096, 77]


def test_a_run_that_learnt_nothing_ends_with_an_error_and_keeps_its_checkpoint(
    weights: Path, tmp_path: Path
) -> None:
    data = write_data(tmp_path / "data", per_class=3)
    shutil.rmtree(data / "train/absence")
    shutil.copytree(data / "train/presence", data / "train/absence")  # the same pictures in both classes
    recipe = RECIPE.model_copy(update={"epochs": 1, "least_auroc": 0.6})
    with pytest.raises(DataError, match="cannot tell pictures with a hornet from pictures without"):
        train(remove_boxes(data), recipe, tmp_path / "out", weights=weights)
    assert (tmp_path / "out" / LAST).exists()


def start_training(data: Path, weights: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    recipe = out.with_suffix(".yaml")
    recipe.write_text(yaml.safe_dump(RECIPE.model_dump(mode="json") | {"epochs": 4}))
    command = [sys.executable, "-m", "hivewatch", "train", str(data), "--recipe", str(recipe)]
    return subprocess.Popen(
        [*command, "--weights", str(weights), "--out", str(out), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def test_ctrl_c_leaves_a_checkpoint_that_continues_as_if_nothing_had_happened(
    data: Path, weights: Path, tmp_path: Path
) -> None:
    whole = start_training(data, weights, tmp_path / "whole")
    assert whole.wait() == 0
    process = start_training(data, weights, tmp_path / "run")
    assert process.stdout is not None
    for line in process.stdout:
        if "epoch 1: " in line:
            break
    process.send_signal(signal.SIGINT)
    rest = process.stdout.read()
    assert process.wait() == 130
    assert "--resume continues it" in rest
    resumed = start_training(data, weights, tmp_path / "run", "--resume")
    assert resumed.wait() == 0
    assert torch.equal(weights_of(tmp_path / "run" / LAST), weights_of(tmp_path / "whole" / LAST))
    assert (tmp_path / "run" / HISTORY).read_text() == (tmp_path / "whole" / HISTORY).read_text()


def test_an_interrupt_between_two_batches_loses_no_batch(
    data: Path, weights: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = training.forward_backward

    def interrupted(run: Run, batch: object) -> object:
        if run.step == 1:
            raise KeyboardInterrupt
        return usual(run, batch)  # type: ignore[arg-type]

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training, "forward_backward", interrupted)
        train(data, RECIPE, tmp_path, weights=weights)
    assert torch.load(tmp_path / LAST, weights_only=True)["batches_done"] == 1
    train(data, Recipe(), tmp_path, weights=weights, resume=True)
    assert (tmp_path / HISTORY).read_text() == (finished / HISTORY).read_text()
    assert torch.equal(weights_of(tmp_path / LAST), weights_of(finished / LAST))


def test_training_without_a_validation_split_is_a_clear_error(weights: Path, tmp_path: Path) -> None:
    data = write_data(tmp_path / "data", per_class=1)
    shutil.rmtree(data / "val")
    with pytest.raises(DataError, match=r"no split 'val'.*whole days or whole cameras"):
        train(data, RECIPE, tmp_path / "out", weights=weights)


def test_a_file_without_weights_is_rejected(data: Path, tmp_path: Path) -> None:
    bad = tmp_path / "weights.pt"
    bad.write_bytes(b"not weights")
    with pytest.raises(ModelError, match=r"weights\.pt"):
        train(data, RECIPE, tmp_path / "out", weights=bad)


def test_resuming_without_a_checkpoint_is_a_clear_error(data: Path, weights: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="checkpoint"):
        train(data, RECIPE, tmp_path, weights=weights, resume=True)
