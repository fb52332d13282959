"""Releasing a checkpoint as a model file, and evaluating the file with the daemon's classifier."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.training_pictures import RECIPE, write_clip, write_data, write_weights

from hivewatch.cli.main import main
from hivewatch.domain.frames import WHOLE, Box, Prediction
from hivewatch.errors import DataError, ModelError
from hivewatch.training.average import average_networks
from hivewatch.training.data.catalogue import read_catalogue
from hivewatch.training.data.dataset import HORNET, Insect, Picture, decode
from hivewatch.training.evaluation.evaluate import Result, evaluate, predict_all, summarise
from hivewatch.training.evaluation.report import Summary
from hivewatch.training.export import Description, export_model
from hivewatch.training.model.network import normalise
from hivewatch.training.release import release
from hivewatch.training.run import BEST, HISTORY, load_network
from hivewatch.training.train import train
from hivewatch.vision.classifier import load_classifier
from hivewatch.vision.localize import locate
from hivewatch.vision.model_file import read_model_info
from hivewatch.vision.trust import read_model_file

pytestmark = pytest.mark.slow


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
    release(out / BEST, data, out / "model.pt", description, out / "model-int8.pt")
    return out


def test_the_model_file_carries_recipe_and_box_level(run: Path) -> None:
    model = read_model_info(read_model_file(run / "model.pt"))
    assert model.recipe["epochs"] == 3
    assert 0.1 <= model.box_level <= 0.8


def test_releasing_also_writes_the_same_model_as_int8(run: Path, data: Path) -> None:
    floats, integers = (load_classifier(run / name, threads=1) for name in ("model.pt", "model-int8.pt"))
    assert integers.model.box_level == floats.model.box_level
    pictures = read_catalogue(data).split("val")
    scores = [[v.prediction.score for v in predict_all(pictures, model)[0]] for model in (floats, integers)]
    assert np.abs(np.subtract(*scores)).max() < 0.1


def test_the_weights_of_several_runs_are_averaged(run: Path, tmp_path: Path) -> None:
    """Of checkpoints and model files; batch norms differ between them, so their maps are compared."""
    net, _, _ = load_network(run / BEST)
    other = copy.deepcopy(net)
    with torch.no_grad():
        other.classifier.bias += torch.tensor([0.0, 3.0])
    export_model(other, tmp_path / "other.pt", Description("test", "0", 0.5, "drawn pictures", "none"))
    frames = normalise(torch.randint(0, 256, (1, 3, 64, 96), dtype=torch.uint8))
    with torch.inference_mode():
        before = net.forward_map(frames)
        same = average_networks(net, [run / BEST]).forward_map(frames)
        mixed = average_networks(net, [run / BEST, tmp_path / "other.pt"]).forward_map(frames)
    torch.testing.assert_close(same, before, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(mixed, before + 1.0, rtol=0.02, atol=0.02)  # a third of 3; rounded to float16


def test_scores_are_calibrated_on_the_validation_frames(run: Path, data: Path) -> None:
    """Platt scaling makes the mean score equal the share of hornets, here one half."""
    results, _ = predict_all(read_catalogue(data).split("val"), load_classifier(run / "model.pt", threads=1))
    assert sum(v.prediction.score for v in results) / len(results) == pytest.approx(0.5, abs=0.1)


@pytest.fixture(scope="module")
def evaluated(run: Path, data: Path) -> tuple[Summary, list[Result]]:
    return evaluate(data, load_classifier(run / "model.pt", threads=1), threshold=0.5)


def result(score: float, cam: np.ndarray | None = None, **about: object) -> Result:
    """Return a made-up result, on a picture without a hornet unless ``about`` overrides it."""
    picture = Picture(Path("a.jpg"), False, "none", "hive", "", "val", ())
    cam = np.full((4, 6), -1.0, np.float32) if cam is None else cam
    prediction = Prediction(score, cam, WHOLE, locate(cam, WHOLE, 0.5))
    return Result(replace(picture, **about), prediction)


def test_the_report_has_counts_and_measures(evaluated: tuple[Summary, list[Result]]) -> None:
    (report,) = evaluated[0].parts
    assert report.group == "val hive"
    assert (report.pictures, report.hornets) == (12, 6)
    assert report.ranking.auroc.low <= report.ranking.auroc.value <= report.ranking.auroc.high
    assert report.places is not None
    assert report.places.pictures == 6
    assert {kind: alarms.pictures for kind, alarms in report.called_hornet.items()} == {
        "V. velutina (is one)": 6,
        "no insect named": 6,
    }


def test_the_report_is_printed_as_a_table_and_as_json(evaluated: tuple[Summary, list[Result]]) -> None:
    summary, _ = evaluated
    assert "val hive: 12 pictures, 6 with a hornet; intervals over 12 pictures" in summary.table()
    document = json.loads(json.dumps(summary.document(), allow_nan=False))
    assert document["parts"][0]["hornets"] == 6


def test_measures_without_a_value_are_null() -> None:
    """JSON has no NaN."""
    summary = summarise([result(0.2), result(0.9)], 0.5)
    document = json.loads(json.dumps(summary.document(), allow_nan=False))
    assert document["parts"][0]["ranking"]["recall"]["value"] is None
    assert document["parts"][0]["places"] is None


def test_measures_at_the_threshold_follow_from_the_counts() -> None:
    """At 0.5: two hornets found, one missed, one false alarm in two frames."""
    scores = [(0.9, True), (0.5, True), (0.1, True), (0.7, False), (0.2, False)]
    (report,) = summarise([result(score, hornet=hornet) for score, hornet in scores], 0.5).parts
    ranking = report.ranking
    assert ranking.recall.value == pytest.approx(2 / 3)
    assert ranking.precision.value == pytest.approx(2 / 3)
    assert ranking.f1.value == pytest.approx(2 / 3)
    assert ranking.accuracy.value == pytest.approx(3 / 5)
    assert ranking.false_alarms.value == pytest.approx(1 / 2)


def test_parts_sources_and_scenes_are_measured_separately() -> None:
    results = [
        result(0.9, split="val_day", scene="left_1", source="a"),
        result(0.1, split="val_day", scene="left_2", source="a"),
        result(0.1, split="val", domain="photo", source="b"),
        result(0.9, split="val", domain="photo", source="c"),
    ]
    summary = summarise(results, 0.5)
    assert [report.group for report in summary.parts] == ["val photo", "val_day hive"]
    assert [report.group for report in summary.sources] == ["val photo b", "val photo c", "val_day hive a"]
    assert [report.ranking.false_alarms.value for report in summary.scenes] == [1.0, 0.0]
    assert "val_day hive left_1" in summary.table()


def test_look_alikes_are_counted_by_kind() -> None:
    results = [
        *(result(score, species="crabro") for score in (0.9, 0.1, 0.2)),
        *(result(0.9, species=species) for species in ("wasp", "vespula")),
        result(0.1, species="dragonfly"),
    ]
    (report,) = summarise(results, 0.5).parts
    assert {kind: (a.alarms, a.pictures) for kind, a in report.called_hornet.items()} == {
        "V. crabro": (1, 3),
        "wasps": (2, 2),
        "other insects": (0, 1),
    }


def test_the_map_is_compared_with_all_boxes_of_a_picture() -> None:
    cam = np.full((6, 8), -5.0, np.float32)
    cam[4, 6] = 5.0
    boxes = (Insect(HORNET, Box(0, 0, 0.1, 0.1)), Insect(HORNET, Box(6 / 8, 4 / 6, 7 / 8, 5 / 6)))
    (report,) = summarise([result(0.9, cam, hornet=True, insects=boxes)], 0.5).parts
    places = report.places
    assert places is not None
    assert places.pointing.value == 1.0
    assert places.centre_pointing.value == 0.0
    assert places.max_box_accuracy.value >= places.box_accuracy.value > 0.6
    assert places.centre_max_box_accuracy.value == 0.0


def test_an_empty_split_is_a_clear_error(run: Path, data: Path) -> None:
    with pytest.raises(DataError, match="'test'"):
        evaluate(data, load_classifier(run / "model.pt", threads=1), split="test")


def test_unreadable_files_and_leaks_are_in_the_summary(run: Path, tmp_path: Path) -> None:
    data = write_data(tmp_path, per_class=2)
    (data / "val/absence/bad.png").write_bytes(b"no picture")
    (data / "val/presence/leak.png").write_bytes((data / "train/presence/0.png").read_bytes())
    summary, results = evaluate(data, load_classifier(run / "model.pt", threads=1))
    assert len(results) == 5
    warnings = "\n".join(summary.warnings)
    assert "bad.png is not a JPEG, PNG, WebP, BMP or TIFF picture" in warnings
    assert "leak.png (val): the same file" in warnings
    assert warnings.splitlines()[0] in summary.table()


def test_releasing_draws_figures_beside_the_checkpoint(run: Path) -> None:
    assert (run / "curves.png").is_file()
    predictions, maps = (decode(run / name) for name in ("predictions.png", "maps.png"))
    for grid in (predictions, maps):
        assert (grid < 250).any(2).mean() > 0.2  # there are pictures, not only white background
    assert not np.array_equal(predictions, maps)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
@pytest.mark.parametrize("step", ["fit_second_look", "best_box_level", "export_int8", "draw_figures"])
def test_a_release_that_fails_at_any_step_leaves_no_file(
    step: str,
    error: type[BaseException],
    run: Path,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_arguments: object) -> None:
        raise error

    path, int8 = tmp_path / "model.pt", tmp_path / "model-int8.pt"
    path.write_bytes(b"the model in use")
    monkeypatch.setattr(f"hivewatch.training.release.{step}", fail)
    with pytest.raises(error):
        release(run / BEST, data, path, Description("test", "0", 1.0, "drawn pictures", "none"), int8)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"model.pt": b"the model in use"}


def test_a_release_into_a_missing_folder_fails_before_the_work(run: Path, data: Path, tmp_path: Path) -> None:
    nowhere, description = tmp_path / "no" / "model.pt", Description("test", "0", 1.0, "none", "none")
    with pytest.raises(ModelError, match="name a file in a folder that exists"):
        release(tmp_path / "no.ckpt", data, nowhere, description)


def test_without_a_validation_split_the_test_split_is_measured_and_the_summary_says_so(
    run: Path, tmp_path: Path
) -> None:
    """That is the layout of many notebooks."""
    data = write_data(tmp_path, per_class=2, splits=("train", "test"))
    summary, results = evaluate(data, load_classifier(run / "model.pt", threads=1))
    assert (summary.split, len(results)) == ("test", 4)
    assert "there is no split 'val', so 'test' is measured" in summary.table()


def test_one_command_measures_pictures_and_clips_and_draws_figures(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip, truth = write_clip(tmp_path / "bees.avi", seconds=1.0), tmp_path / "truth.csv"
    truth.write_text("file,start_s,end_s\nbees.avi,,\n")
    command = ["evaluate", str(data), "--json", "--model", str(run / "model.pt"), "--uncorrected"]
    command += ["--figures", str(tmp_path / "figures"), "--history", str(run / HISTORY)]
    assert main([*command, "--clips", str(clip), "--truth", str(truth)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["model"]["name"] == "test"
    assert document["corrected"] is False
    assert document["parts"][0]["pictures"] == 12
    assert document["clips"]["clips"][0]["frames"] == 5
    assert document["split"] == "val"
    assert str(tmp_path / "figures" / "reliability.png") in document["figures"]["drawn"]
    assert (tmp_path / "figures" / "reliability.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "DATA"),
        (["--clips", "a.mp4", "--figures", "out"], "DATA"),
        (["pictures", "--history", "history.json"], "--figures DIR"),
    ],
)
def test_evaluate_reports_missing_arguments(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["evaluate", *arguments])
    assert message in capsys.readouterr().err


def test_a_folder_for_figures_that_cannot_be_made_fails_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["evaluate", "no-pictures", "--figures", str(tmp_path / "file")]) == 8
    assert "no folder for figures" in capsys.readouterr().err
