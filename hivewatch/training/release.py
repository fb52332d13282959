"""Make a model file from a checkpoint: calibrate its score, fit the second look, choose the box level."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from hivewatch.config.sections import DecisionConfig
from hivewatch.domain.frames import Pixels
from hivewatch.errors import DataError
from hivewatch.training.average import average_networks
from hivewatch.training.data.catalogue import read_catalogue
from hivewatch.training.data.dataset import Catalogue, Shot, decode_all
from hivewatch.training.evaluation.evaluate import predict_all, whole_view
from hivewatch.training.evaluation.figures import draw_figures
from hivewatch.training.evaluation.localization import best_iou, box_accuracy
from hivewatch.training.evaluation.metrics import logistic, platt
from hivewatch.training.export import Description, export_int8, export_model
from hivewatch.training.model.network import HornetNet
from hivewatch.training.recipe import Recipe
from hivewatch.training.run import load_network
from hivewatch.training.validate import frame_maps
from hivewatch.training.whole_files import check_targets, whole_files
from hivewatch.vision.classifier import Classifier, fit_to_input, load_classifier
from hivewatch.vision.localize import locate
from hivewatch.vision.second_look import SecondLook, logit

BOX_LEVELS = tuple(round(0.05 * i, 2) for i in range(2, 17))
BOX_LEVEL_FRAMES = 150
DEFAULT_BOX_LEVEL = 0.5
"""The box level if no hornet is boxed to choose it on."""
FIGURE_FRAMES = 64
SKIPPED_HORNET_SHARE, HIGHEST_SKIPPED_SCORE = 0.005, 0.1
"""Share of hornet frames that may skip the second look, and the score from which no frame skips it."""
SECOND_LOOK = SecondLook(places=2, zoom=1.6, window_px=256, from_score=0.0, first=0.5, second=0.5, offset=0.0)
"""What did best on the validation frames (see the model card); the weights are fitted for each model."""
INT8_CALIBRATION_FRAMES = 64
FULL_SIZE_PX = 10_000
"""Larger than any picture, so that pictures are decoded at full size."""

log = logging.getLogger(__name__)


def release(
    checkpoint: Path,
    data: Path,
    path: Path,
    description: Description,
    int8: Path | None = None,
    others: Sequence[Path] = (),
) -> Description:
    """Write the checkpoint's averaged network to ``path`` as a model file; return the final description.

    The score, of the first look alone and of both looks together, is calibrated on the hive frames of the
    validation splits, or on all their pictures if those show one class only; labels are enough. The box level
    is chosen on boxed training frames, and is DEFAULT_BOX_LEVEL without. What was found and used replaces
    ``box_level``, ``second_look`` and ``recipe`` in ``description``. Figures are written beside the
    checkpoint.

    ``int8`` names a second file for the quantised network, calibrated on training frames. ``others`` are
    checkpoints or model files to average the weights with, see ``average_networks``. Both files are written
    whole; if any step fails, neither is, see ``whole_files``. Raises DataError if there is nothing to
    calibrate on.
    """
    targets = [path] if int8 is None else [path, int8]
    check_targets(*targets)  # before the work, which takes minutes
    net, recipe, history = load_network(checkpoint)
    net = average_networks(net, others)
    catalogue = read_catalogue(data)
    hive = [p for p in catalogue.validation if p.domain == "hive"]
    if len({picture.hornet for picture in hive}) < 2:
        hive = list(catalogue.validation)
    shots, _ = decode_all(hive, long_side_px=FULL_SIZE_PX)
    if len({picture.hornet for picture, _ in shots}) < 2:
        raise DataError(f"{data}: calibration needs validation pictures with and without hornets")
    calibrate(net, shots, recipe)

    description = replace(description, recipe=recipe.model_dump(mode="json"), second_look=SECOND_LOOK)
    with whole_files(*targets) as (model, *model_int8):
        description = _export_in_steps(net, model, replace(description, finished=False), shots, data)
        for file in model_int8:
            export_int8(net, file, description, _int8_calibration_frames(catalogue, description))
        some = hive[:: max(1, len(hive) // FIGURE_FRAMES)]
        results, _ = predict_all(some, load_classifier(model, threads=0, allow_writable=True))
        draw_figures(history, results, checkpoint.parent, DecisionConfig().threshold)
    return description


def _export_in_steps(
    net: HornetNet, path: Path, description: Description, shots: Sequence[Shot], data: Path
) -> Description:
    """Write the model file; return its description.

    The second look and the box level are found with the classifier that the daemon runs, so each step exports
    the network again.
    """
    export_model(net, path, description)
    second_look = fit_second_look(_load_step(path), shots)
    description = replace(description, second_look=second_look)
    export_model(net, path, description)
    description = replace(description, box_level=best_box_level(path, data), finished=True)
    difference = export_model(net, path, description)
    log.info("parity %.1g; %s", difference, description.second_look)
    return description


def calibrate(net: HornetNet, shots: Sequence[Shot], recipe: Recipe) -> None:
    """Set the scale and offset that make the network's score a probability on ``shots``."""
    logits = np.array([logit for _, logit, _ in frame_maps(net, shots, recipe, "calibrate")])
    scale, offset = platt(logits, np.array([picture.hornet for picture, _ in shots]))
    if not scale > 0:
        raise DataError(
            "the network ranks validation pictures without hornets above those with one, so there is no score"
            " to calibrate: train it longer, or check the labels"
        )
    net.scale.copy_(torch.tensor(scale))
    net.offset.copy_(torch.tensor(offset))
    log.info("calibrated: scale %.3f, offset %.3f", scale, offset)


def fit_second_look(classifier: Classifier, shots: Sequence[Shot]) -> SecondLook:
    """Return how to weigh the first and second look, by logistic regression on frames not trained on.

    A frame takes the second look from the first score that nearly all hornet frames reach.
    """
    firsts, seconds = [], []
    for number, (picture, pixels) in enumerate(shots):
        first, windows = classifier.inspect(whole_view(pixels, number, picture.name))
        firsts.append(first.score)
        seconds.append(max(window.score for window in windows))
    hornet = np.array([picture.hornet for picture, _ in shots])
    logits = np.array([[logit(a), logit(b)] for a, b in zip(firsts, seconds, strict=True)])
    first_weight, second_weight, offset = (round(float(w), 4) for w in logistic(logits, hornet))
    reached = float(np.quantile(np.array(firsts)[hornet], SKIPPED_HORNET_SHARE))
    return replace(
        SECOND_LOOK,
        from_score=round(min(reached, HIGHEST_SKIPPED_SCORE), 4),
        first=first_weight,
        second=second_weight,
        offset=offset,
    )


def _load_step(path: Path) -> Classifier:
    """Return what an export has just written, which need not be finished."""
    return load_classifier(path, threads=0, unfinished=True, allow_writable=True)


def best_box_level(model: Path, data: Path) -> float:
    """Return the share of the map's peak to cut the map at, for the best boxes on training hive frames.

    Returns DEFAULT_BOX_LEVEL if no hornet is boxed.
    """
    boxed = [p for p in read_catalogue(data).split("train") if p.domain == "hive" and p.hornet_boxes]
    if not boxed:
        log.info("no hornet is boxed in the split 'train': the box level stays at %g", DEFAULT_BOX_LEVEL)
        return DEFAULT_BOX_LEVEL
    some = boxed[:: max(1, len(boxed) // BOX_LEVEL_FRAMES)]
    results, _ = predict_all(some, _load_step(model))
    truth = [result.picture.hornet_boxes for result in results]

    def accuracy(level: float) -> float:
        boxes = [locate(r.prediction.cam, r.prediction.extent, level).box for r in results]
        return box_accuracy(
            np.array([best_iou([box] if box else [], t) for box, t in zip(boxes, truth, strict=True)])
        )

    return max(BOX_LEVELS, key=accuracy)


def _int8_calibration_frames(catalogue: Catalogue, description: Description) -> list[Pixels]:
    """Return evenly spread training frames of hives, scaled to the network's input."""
    hive = [p for p in catalogue.split("train") if p.domain == "hive"]
    some = hive[:: max(1, len(hive) // INT8_CALIBRATION_FRAMES)]
    shots, _ = decode_all(some, long_side_px=FULL_SIZE_PX)
    size = description.input_long_side_px, description.input_multiple_px
    return [fit_to_input(pixels, *size) for _, pixels in shots]
