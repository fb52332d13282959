"""From the best checkpoint to a model file: calibrate its score, choose its box level, export it."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from hivewatch.config.sections import DecisionConfig
from hivewatch.domain.frames import Pixels
from hivewatch.errors import DataError
from hivewatch.training.data.catalogue import read_catalogue
from hivewatch.training.data.dataset import Catalogue, Shot, decode_all
from hivewatch.training.evaluation.evaluate import predict_all, whole_view
from hivewatch.training.evaluation.figures import draw_figures
from hivewatch.training.evaluation.localization import best_iou, box_accuracy
from hivewatch.training.evaluation.metrics import logistic, platt
from hivewatch.training.export import (
    Description,
    export_int8,
    export_model,
    fill_folded,
    fold,
    is_model_file,
    unfold,
)
from hivewatch.training.model.network import HornetNet
from hivewatch.training.train import load_network
from hivewatch.training.validate import frame_maps
from hivewatch.vision.classifier import Classifier, fit_to_input, load_classifier
from hivewatch.vision.localize import locate
from hivewatch.vision.second_look import Closer, logit

BOX_LEVELS = tuple(round(0.05 * i, 2) for i in range(2, 17))
LEVEL_FRAMES = 150
FIGURE_FRAMES = 64
MISSED_UNSEEN, MOST_UNSUSPICIOUS = 0.005, 0.1
"""Share of hornet frames that may go without a closer look, and the score above which none goes without."""
CLOSER = Closer(places=2, zoom=1.6, window_px=256, from_score=0.0, first=0.5, second=0.5, offset=0.0)
"""What was best on the validation frames (see the model card); the weights are found anew for each model."""
OBSERVED_FRAMES = 64
"""How many frames the ranges of the int8 network are observed on."""

log = logging.getLogger(__name__)


def release(
    checkpoint: Path,
    data: Path,
    path: Path,
    description: Description,
    int8: Path | None = None,
    others: Sequence[Path] = (),
) -> Description:
    """Write the checkpoint's averaged network as a model file; return what the file says of itself.

    ``others``: checkpoints or model files whose weights are averaged with it, see ``mean_network``.

    The score is calibrated on the hive frames of the validation splits, of the first look and of both looks
    together; the box level is chosen on boxed training frames. ``box_level``, ``closer`` and ``recipe`` of
    the description are replaced by what was found and used. Figures to look at are written beside the
    checkpoint. ``int8`` names a second file, of the same network in integers, observed on training frames.
    Raises DataError where there is nothing to calibrate on.
    """
    net, recipe, history = load_network(checkpoint)
    net = mean_network(net, others)
    catalogue = read_catalogue(data)
    hive = [p for p in catalogue.split("val") if p.domain == "hive"]
    shots, _ = decode_all(hive, long_side_px=10_000)
    logits = np.array([logit for _, logit, _ in frame_maps(net, shots, recipe, "calibrate")])
    hornet = np.array([picture.hornet for picture, _ in shots])
    if not hornet.any() or hornet.all():
        raise DataError(f"{data}: calibration needs validation frames with and without hornets")
    scale, offset = platt(logits, hornet)
    net.scale.copy_(torch.tensor(scale))
    net.offset.copy_(torch.tensor(offset))
    description = replace(description, recipe=recipe.model_dump(mode="json"))
    description = replace(description, closer=CLOSER)
    export_model(net, path, description)
    description = replace(description, closer=weigh_looks(load_classifier(path, threads=0), shots))
    export_model(net, path, description)
    description = replace(description, box_level=best_box_level(path, data))
    difference = export_model(net, path, description)
    log.info("scale %.3f, offset %.3f, parity %.1g; %s", scale, offset, difference, description.closer)
    if int8 is not None:
        export_int8(net, int8, description, _observed_frames(catalogue, description))
    some = hive[:: max(1, len(hive) // FIGURE_FRAMES)]
    results, _ = predict_all(some, load_classifier(path, threads=0))
    draw_figures(history, results, checkpoint.parent, DecisionConfig().threshold)
    return description


def mean_network(net: HornetNet, others: Sequence[Path]) -> HornetNet:
    """The network whose weights are the mean of those of ``net`` and of ``others``.

    Runs that went on from the same weights lie in one basin: their mean costs what one network does and
    holds better elsewhere (Wortsman et al. 2022, "Model soups", section 2). Raises ModelError or DataError
    for files that hold no network.
    """
    networks = [net]
    for other in others:
        further = copy.deepcopy(net)
        if is_model_file(other):
            unfold(further, other)
        else:
            further, _, _ = load_network(other)
        networks.append(further)
    # Folded first: batch norms of different statistics cannot be averaged one part at a time.
    states = [fold(network).state_dict() for network in networks]
    mean = {name: torch.stack([state[name] for state in states]).mean(0) for name in states[0]}
    result = copy.deepcopy(net)
    fill_folded(result, mean)
    return result.eval()


def weigh_looks(classifier: Classifier, shots: Sequence[Shot]) -> Closer:
    """How much the first and the closer looks count, by logistic regression on frames not trained on.

    A closer look is worth its time from a first score on that nearly no hornet falls below.
    """
    firsts, closest = [], []
    for number, (picture, pixels) in enumerate(shots):
        first, closer = classifier.look(whole_view(pixels, number, picture.name))
        firsts.append(first.score)
        closest.append(max(look.score for look in closer))
    hornet = np.array([picture.hornet for picture, _ in shots])
    logits = np.array([[logit(a), logit(b)] for a, b in zip(firsts, closest, strict=True)])
    first_weight, second_weight, offset = (round(float(w), 4) for w in logistic(logits, hornet))
    from_score = min(float(np.quantile(np.array(firsts)[hornet], MISSED_UNSEEN)), MOST_UNSUSPICIOUS)
    return replace(
        CLOSER, from_score=round(from_score, 4), first=first_weight, second=second_weight, offset=offset
    )


def _observed_frames(catalogue: Catalogue, description: Description) -> list[Pixels]:
    """Training frames of hives, evenly spread over all, as the network takes them."""
    hive = [p for p in catalogue.split("train") if p.domain == "hive"]
    shots, _ = decode_all(hive[:: max(1, len(hive) // OBSERVED_FRAMES)], long_side_px=10_000)
    size = description.input_long_side_px, description.input_multiple_px
    return [fit_to_input(pixels, *size) for _, pixels in shots]


def best_box_level(model: Path, data: Path) -> float:
    """The share of the map's peak to cut it at, for boxes that meet those of training hive frames best."""
    boxed = [p for p in read_catalogue(data).split("train") if p.domain == "hive" and p.hornet_boxes]
    if not boxed:
        raise DataError(f"{data}: no boxed hornet in the training split to choose the box level by")
    some = boxed[:: max(1, len(boxed) // LEVEL_FRAMES)]
    results, _ = predict_all(some, load_classifier(model, threads=0))
    truth = [result.picture.hornet_boxes for result in results]

    def accuracy(level: float) -> float:
        boxes = [locate(v.prediction.cam, v.prediction.extent, level).box for v in results]
        return box_accuracy(
            np.array([best_iou([box] if box else [], t) for box, t in zip(boxes, truth, strict=True)])
        )

    return max(BOX_LEVELS, key=accuracy)
