"""The figures of an evaluation: what they show, and that none is empty."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from hivewatch.domain.frames import WHOLE, Box, Prediction
from hivewatch.errors import DataError
from hivewatch.training.data.dataset import HORNET, Insect, Picture, decode
from hivewatch.training.evaluation import figures, grids
from hivewatch.training.evaluation.curves import draw_curves
from hivewatch.training.evaluation.evaluate import Result
from hivewatch.training.evaluation.figures import draw_figures, open_folder
from hivewatch.training.evaluation.grids import draw_maps
from hivewatch.training.evaluation.history import accuracies, losses, measures, read_history
from hivewatch.vision.localize import locate

GREEN = (0, 200, 0)
ALL = {
    *("curves.png", "predictions.png", "maps.png", "confusion.png", "misses.png", "false-alarms.png"),
    *("precision-recall.png", "scores.png", "reliability.png"),
}
HOT = np.array([[-5, -5, -5], [-5, 6, -5], [-5, -5, -5]], np.float32)


@pytest.fixture
def picture(tmp_path: Path) -> Picture:
    """Return a green picture without a hornet."""
    path = tmp_path / "absence" / "green.png"
    path.parent.mkdir()
    cv2.imwrite(str(path), np.full((60, 90, 3), GREEN[::-1], np.uint8))
    return Picture(path, False, "none", "hive", "", "val")


def result(picture: Picture, score: float, *, hornet: bool, cam: npt.NDArray[np.float32] = HOT) -> Result:
    labelled = replace(picture, hornet=hornet, species=HORNET if hornet else "none")
    return Result(labelled, Prediction(score, cam, WHOLE, locate(cam, WHOLE, 0.5)))


def epoch(number: int, **about: Any) -> dict[str, Any]:
    """Return an entry of a history as training writes it."""
    return {
        "number": number,
        "map_loss": 0.1,
        "pooled_loss": 0.9 - 0.1 * number,
        "crop_accuracy": 0.5 + 0.1 * number,
        "validation": None,
        **about,
    }


# --- curves -----------------------------------------------------------------------------------------------


def test_the_curves_have_a_point_for_each_epoch_of_training_and_validation() -> None:
    history = [
        epoch(n, epoch=n + 1, train_loss=0.5, train_accuracy=0.75, val_loss=0.25, val_accuracy=1.0)
        for n in range(3)
    ]
    assert losses(history) == {
        "training": [(1, 0.5), (2, 0.5), (3, 0.5)],
        "validation": [(1, 0.25), (2, 0.25), (3, 0.25)],
    }
    assert accuracies(history)["training"] == [(1, 0.75), (2, 0.75), (3, 0.75)]
    assert accuracies(history)["validation"] == [(1, 1.0), (2, 1.0), (3, 1.0)]


def test_an_epoch_that_was_not_validated_has_no_point() -> None:
    history = [epoch(0, val_loss=None), epoch(1, val_loss=0.5), epoch(2, val_loss=float("nan"))]
    assert losses(history)["validation"] == [(2, 0.5)]


def test_the_history_of_a_checkpoint_is_drawn_too() -> None:
    """It has the losses under other names."""
    validation = {"splits": {"val": {"auroc": 0.75}}, "merit": 0.75, "loss": 0.5, "accuracy": 0.8}
    history = [epoch(0, validation=validation)]
    assert losses(history) == {"training": [(1, 0.9)], "validation": [(1, 0.5)]}
    assert accuracies(history) == {"training": [(1, 0.5)], "validation": [(1, 0.8)]}
    assert measures(history) == {"val auroc": [(1, 0.75)]}


def test_a_history_of_earlier_versions_shows_what_it_has() -> None:
    history = [epoch(0), epoch(1, validation={"splits": {"val": {"auroc": 0.9}}, "merit": 0.9})]
    assert [point[0] for point in losses(history)["training"]] == [1, 2]
    assert losses(history)["validation"] == []
    assert measures(history) == {"val auroc": [(2, 0.9)]}


def test_the_curves_are_drawn_without_an_empty_panel(tmp_path: Path) -> None:
    whole = [epoch(0, val_loss=0.5, validation={"splits": {"val": {"auroc": 0.9}}, "merit": 0.9})]
    three, two = draw_curves(whole, tmp_path / "3.png"), draw_curves([epoch(0)], tmp_path / "2.png")
    assert three is not None
    assert two is not None
    assert decode(three).shape[1] > 1.3 * decode(two).shape[1]


def test_without_an_epoch_there_are_no_curves(tmp_path: Path) -> None:
    assert draw_curves([], tmp_path / "curves.png") is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["no json", "{}", "[1]", '[{"number": 0}]', '[{"train_loss": 1}]', '"a"'])
def test_a_file_that_is_not_a_history_is_rejected(content: str, tmp_path: Path) -> None:
    path = tmp_path / "history.json"
    path.write_text(content)
    with pytest.raises(DataError, match=r"history\.json"):
        read_history(path)


def test_a_history_is_read_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "history.json").write_text(json.dumps([epoch(0)]))
    assert read_history(tmp_path / "history.json") == [epoch(0)]


# --- grids ------------------------------------------------------------------------------------------------


def test_a_wrong_prediction_differs_from_a_right_one_by_words_and_a_frame(picture: Picture) -> None:
    """Colour alone would not do."""
    right, wrong = Figure().subplots(1, 2)
    pixels = decode(picture.path)
    grids._draw_prediction(right, result(picture, 0.9, hornet=True), pixels, 0.8)
    grids._draw_prediction(wrong, result(picture, 0.9, hornet=False), pixels, 0.8)
    assert right.get_title() == "right: hornet 0.90\ntruth: hornet"
    assert wrong.get_title() == "WRONG: hornet 0.90\ntruth: no hornet"
    frames = [[p for p in axes.patches if p.get_linewidth() > 3] for axes in (right, wrong)]
    assert [len(found) for found in frames] == [0, 1]


def test_the_heat_is_drawn_beside_the_clean_picture(picture: Picture, tmp_path: Path) -> None:
    """On the left every pixel of the green picture is green; the heat is on the right."""
    path = draw_maps([result(picture, 0.9, hornet=True)], "maps", tmp_path / "maps.png")
    assert path is not None
    drawn = decode(path).astype(int)
    rows, columns = np.nonzero((drawn == GREEN).all(2))
    assert len(rows) > 10_000
    clean = drawn[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    assert (clean == GREEN).all()
    _, hot = np.nonzero((drawn[..., 0] > 200) & (drawn[..., 2] < 120))
    assert len(hot) > 1000
    assert columns.max() < drawn.shape[1] / 2 < hot.min()


def test_heat_covers_only_what_the_second_look_saw(picture: Picture) -> None:
    seen = Box(0.5, 0.0, 1.0, 1.0)
    prediction = Prediction(0.9, np.full((2, 2), 9, np.float32), seen, locate(HOT, seen, 0.5))
    heat = grids.heat_of(Result(picture, prediction), 90, 60)
    assert heat[:, :45].max() == 0
    assert heat[:, 45:].min() > 0.99


def test_boxes_of_truth_and_prediction_are_on_the_copy_with_heat(picture: Picture) -> None:
    clean, heated = Figure().subplots(1, 2)
    boxed = replace(picture, insects=(Insect(HORNET, Box(0.2, 0.2, 0.4, 0.4)),))
    grids._draw_map([clean, heated], result(boxed, 0.9, hornet=True), decode(picture.path))
    assert [len([p for p in axes.patches if isinstance(p, Rectangle)]) for axes in (clean, heated)] == [0, 2]


@pytest.mark.parametrize("name", ["$a$b^.png", "蜂.png"])
def test_any_file_name_can_be_drawn(name: str, picture: Picture, tmp_path: Path) -> None:
    odd = replace(picture, path=picture.path.rename(picture.path.with_name(name)))
    assert draw_maps([result(odd, 0.9, hornet=True)], "maps", tmp_path / "maps.png") is not None


# --- all figures of an evaluation -------------------------------------------------------------------------


@pytest.fixture
def mixed(picture: Picture) -> list[Result]:
    """Return a found and a missed hornet, a false alarm and a quiet picture, none of them boxed."""
    scores = ((0.9, True), (0.1, True), (0.95, False), (0.2, False))
    return [result(picture, score, hornet=hornet) for score, hornet in scores]


@pytest.mark.slow
def test_all_figures_are_drawn_from_pictures_without_boxes(mixed: list[Result], tmp_path: Path) -> None:
    drawn = draw_figures([epoch(0)], mixed, tmp_path / "figures", 0.8)
    assert {path.name for path in drawn.drawn} == ALL
    assert not drawn.left_out
    for path in drawn.drawn:
        assert (decode(path) < 200).any(2).mean() > 0.005, f"{path.name} is empty"


@pytest.mark.slow
def test_a_figure_without_data_is_not_written_and_a_sentence_says_why(
    mixed: list[Result], tmp_path: Path
) -> None:
    """An outdated one of an earlier evaluation goes, too."""
    (tmp_path / "misses.png").write_bytes(b"of another model")
    quiet = [one for one in mixed if not one.picture.hornet and one.prediction.score < 0.8]
    found = draw_figures([], quiet, tmp_path, 0.8)
    left_out = {"curves.png", "misses.png", "false-alarms.png", "precision-recall.png"}
    assert {path.name for path in tmp_path.glob("*.png")} == ALL - left_out
    assert {sentence.partition(" was not drawn: ")[0] for sentence in found.left_out} == left_out
    text = str(found)
    assert "misses.png was not drawn: at the threshold 0.8 no hornet is missed" in text
    assert "false-alarms.png was not drawn: at the threshold 0.8 no picture without a hornet alarms" in text
    assert "curves.png was not drawn: there is no history of a training run" in text
    assert "precision-recall.png was not drawn: that takes pictures with and without a hornet" in text


def test_no_pictures_give_no_figures(tmp_path: Path) -> None:
    assert not draw_figures([], [], tmp_path, 0.8).drawn
    assert list(tmp_path.iterdir()) == []


def test_the_worst_errors_come_first(picture: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    results = [result(picture, s, hornet=h) for s in (0.1, 0.95, 0.3, 0.85) for h in (True, False)]
    shown: list[list[float]] = []
    monkeypatch.setattr(
        figures, "draw_maps", lambda some, *_: shown.append([r.prediction.score for r in some])
    )
    figures._draw_misses(results, 0.8, Path("misses.png"))
    figures._draw_false_alarms(results, 0.8, Path("false-alarms.png"))
    assert shown == [[0.1, 0.3], [0.95, 0.85]]


def test_a_folder_for_figures_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file: no folder for figures: .*; name another"):
        open_folder(tmp_path / "file")


def test_a_figure_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "curves.png").mkdir()
    with pytest.raises(DataError, match=r"curves\.png: the figure cannot be written"):
        draw_figures([epoch(0)], [], tmp_path, 0.8)
