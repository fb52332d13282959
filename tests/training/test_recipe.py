"""The recipe of a training run, read from YAML."""

from pathlib import Path

import pytest
import yaml
from support.paths import PROJECT

from hivewatch.cli.main import main
from hivewatch.errors import DataError
from hivewatch.training.recipe import Recipe, override, read_recipe


def write_recipe(folder: Path, text: str) -> Path:
    path = folder / "train.yaml"
    path.write_text(text)
    return path


def test_all_faults_are_reported_at_once_each_with_its_line(tmp_path: Path) -> None:
    path = write_recipe(tmp_path, "seed: 7\nepochs: 0\nshares:\n  bee: lots\n\ncrop_pixels: 224\n")
    with pytest.raises(DataError) as raised:
        read_recipe(path)
    first, second, third = str(raised.value).splitlines()
    assert first == f"{path}:2: epochs: must be at least 1, not 0"
    assert second == f"{path}:4: shares.bee: should be a number"
    assert third == f"{path}:6: ...: unknown option; did you mean crop_px?"


def test_a_file_that_is_not_yaml_is_rejected_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train\.yaml:2: a comma or \] is missing"):
        read_recipe(write_recipe(tmp_path, "seed: 7\nepochs: [3}\n"))


def test_a_missing_recipe_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.yaml"):
        read_recipe(tmp_path / "nowhere.yaml")


def test_options_left_out_keep_their_defaults(tmp_path: Path) -> None:
    assert read_recipe(write_recipe(tmp_path, "epochs: 3\nshares:\n")) == Recipe(epochs=3)


def test_train_exits_with_the_code_for_unusable_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_recipe(tmp_path, "epochs: 0\n")
    assert main(["train", str(tmp_path), "--recipe", str(path)]) == DataError.exit_code == 8
    assert f"{path}:1: epochs" in capsys.readouterr().err


def test_the_released_recipe_names_every_option_with_its_default() -> None:
    path = PROJECT / "config/train.yaml"
    assert read_recipe(path) == Recipe()
    assert set(yaml.safe_load(path.read_text())) == set(Recipe.model_fields)


def test_options_on_the_command_line_replace_those_of_the_recipe() -> None:
    options = {"epochs": 3, "batch": 8, "learning_rate": 1e-4, "seed": 5, "frozen": ()}
    assert override(Recipe(), options) == Recipe(epochs=3, batch=8, learning_rate=1e-4, seed=5, frozen=())


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("--epochs", "0", "should be greater than or equal to 1, not 0"),
        ("--batch", "-1", "should be greater than or equal to 1, not -1"),
        ("--learning-rate", "0", "should be greater than 0, not 0.0"),
        ("--seed", "-1", "should be greater than or equal to 0, not -1"),
        ("--frozen", "layer9", "must be a layer: one of conv1, bn1, layer1"),
    ],
)
def test_options_on_the_command_line_are_checked_like_the_recipe(
    option: str, value: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", str(tmp_path), option, value]) == 8
    assert f"{option}: {reason}" in capsys.readouterr().err


def test_a_resumed_run_takes_no_options_in_place_of_its_recipe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exited:
        main(["train", str(tmp_path), "--resume", "--epochs", "3"])
    assert exited.value.code == 2
    assert "leave out --epochs" in capsys.readouterr().err


@pytest.mark.parametrize("line", ["frozen: [layer9]", "fresh: [conv7]", "pooling: median"])
def test_unknown_layers_and_poolings_are_rejected(line: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train\.yaml:1: "):
        read_recipe(write_recipe(tmp_path, f"{line}\n"))
