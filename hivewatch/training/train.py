"""The training loop: decode the pictures, draw crops, train, validate, save a checkpoint."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from hivewatch.errors import DataError
from hivewatch.training import plan
from hivewatch.training.batches import batches
from hivewatch.training.data.catalogue import read_catalogue
from hivewatch.training.data.dataset import Catalogue, Picture, Shot, decode_all
from hivewatch.training.data.duplicates import warn_of_copies
from hivewatch.training.data.negative_clips import negative_clip_shots
from hivewatch.training.data.sampling import Sampler
from hivewatch.training.data.simulated import simulated_shots
from hivewatch.training.interrupt import uninterrupted
from hivewatch.training.mining import mine_hard_negatives
from hivewatch.training.recipe import Recipe, parse_recipe
from hivewatch.training.run import BEST, HISTORY, LAST, Epoch, Run, keep_earlier, read_checkpoint
from hivewatch.training.start import start_weights
from hivewatch.training.step import forward_backward
from hivewatch.training.validate import validate

KEPT_HARD_NEGATIVES = 1500
"""How many hard negatives of earlier rounds are kept."""
CROPS_PER_PICTURE, FEWEST_CROPS, MOST_CROPS = 2, 512, 4096
"""How many crops an epoch draws if the recipe leaves that open: by the number of training pictures."""

log = logging.getLogger(__name__)


def train(
    data: Path,
    recipe: Recipe,
    out: Path,
    *,
    weights: Path | str | None = None,
    resume: bool = False,
    report: Callable[[str], None] = log.info,
) -> Path:
    """Train by ``recipe`` on the training split of ``data``; return the checkpoint that validated best.

    Writes ``last.ckpt`` and ``best.ckpt`` (network, averaged network, optimiser, recipe, history) and
    ``history.json`` to ``out``. ``weights``: a ResNet18 state dict, ``imagenet``, or, to train further, the
    checkpoint (``.ckpt``) of an earlier run or a model file; None: see ``start_weights``. ``resume``
    continues from ``last.ckpt`` with the recipe stored in it. ``report`` is called with texts for people:
    what was found, what will be drawn, how long it takes, and how each epoch went.

    A KeyboardInterrupt at any moment leaves a ``last.ckpt`` that can be resumed. Raises DataError for
    unusable data, and if the trained network is no better than chance on its own training pictures;
    ModelError for unusable weights.
    """
    state = read_checkpoint(out / LAST) if resume else None
    recipe = parse_recipe(state["recipe"]) if state else recipe
    torch.manual_seed(recipe.seed)
    catalogue = read_catalogue(data)
    if not catalogue.validation:
        raise DataError(
            f"{data}: there is no split 'val' (or 'test') to validate on. Put whole days or whole cameras"
            " there, never single frames: frames of one camera and day are near-copies of each other"
        )
    report(plan.found(catalogue, data))
    recipe = _with_crops_per_epoch(recipe, len(catalogue.split("train")))
    if state is None:
        run = Run(recipe, start_weights(weights, report))
        out.mkdir(parents=True, exist_ok=True)
        keep_earlier(out)
    else:
        run = Run.restored(state)
    try:
        _train(run, catalogue, data, out, report)
    except KeyboardInterrupt:
        with uninterrupted():
            run.save(out / LAST)
        report(f"Interrupted in epoch {len(run.history) + 1}: the same command with --resume continues it.")
        raise
    return out / BEST


def _with_crops_per_epoch(recipe: Recipe, pictures: int) -> Recipe:
    if recipe.crops_per_epoch:
        return recipe
    crops = min(MOST_CROPS, max(FEWEST_CROPS, CROPS_PER_PICTURE * pictures))
    return recipe.model_copy(update={"crops_per_epoch": crops})


def _train(run: Run, catalogue: Catalogue, data: Path, out: Path, report: Callable[[str], None]) -> None:
    recipe = run.recipe
    warn_of_copies(catalogue.pictures)
    shots = _decode(catalogue.split("train"), "train", recipe.decode_long_side_px)
    shots += _decode_negative_clips(catalogue, recipe.decode_long_side_px)
    validation_shots = _validation_subset(
        _decode(catalogue.validation, "val", recipe.frame_long_side_px), recipe
    )
    sampler = Sampler(shots, simulated_shots(recipe.simulated_frames, recipe.seed), recipe)
    report(plan.drawn(sampler, data))
    if run.starts_trained and recipe.mine_every and not run.step:
        run.hard_negatives = mine_hard_negatives(run.averaged, shots, recipe, len(run.history))
    sampler.hard_negatives = run.hard_negatives
    if len(run.history) < recipe.epochs:
        report(plan.pace(run, sampler, validation_shots))
    every_s = 0.5 if sys.stderr.isatty() else 30
    with (
        logging_redirect_tqdm([logging.getLogger()]),
        tqdm(total=run.steps, initial=run.step, unit="batch", smoothing=0, mininterval=every_s) as bar,
    ):
        while len(run.history) < recipe.epochs:
            epoch = _epoch(run, sampler, shots, validation_shots, bar)
            with uninterrupted():
                run.save(out / LAST)
                if run.best_epoch == epoch.number:
                    run.save(out / BEST)
                run.write_history(out / HISTORY)
            report(str(epoch))
            if epoch.number - run.best_epoch >= recipe.patience:
                report(f"Stopped early: no improvement since epoch {run.best_epoch + 1}.")
                break
    plan.check_learnt(run, shots, data)


def _epoch(
    run: Run, sampler: Sampler, shots: Sequence[Shot], validation_shots: Sequence[Shot], bar: tqdm[Any]
) -> Epoch:
    """Finish the current epoch: train, validate, mine; return its entry in the run's history."""
    recipe, number = run.recipe, len(run.history)
    losses = _one_epoch(run, sampler, number, bar)
    due = (number + 1) % recipe.validate_every == 0 or number + 1 == recipe.epochs
    validation = validate(run.averaged, validation_shots, recipe) if due else None
    mined = run.hard_negatives
    if recipe.mine_every and (number + 1) % recipe.mine_every == 0 and number + 1 < recipe.epochs:
        mined = mined[-KEPT_HARD_NEGATIVES:] + mine_hard_negatives(run.averaged, shots, recipe, number)
    epoch = Epoch(number, *losses, validation)
    with uninterrupted():
        run.finish_epoch(epoch)
        sampler.hard_negatives = run.hard_negatives = mined
    return epoch


def _one_epoch(run: Run, sampler: Sampler, epoch: int, bar: tqdm[Any]) -> tuple[float, float, float]:
    """Train on the rest of the epoch's crops; return mean map loss, pooled loss and accuracy of all."""
    recipe = run.recipe
    bar.set_description(f"epoch {epoch + 1} of {recipe.epochs}")
    for batch in batches(sampler, run.net.cam_stride_px, epoch, run.batches_done):
        for group in run.optimiser.param_groups:
            group["lr"] = group["peak"] * run.learning_rate_factor(run.step / run.steps)
        measured = forward_backward(run, batch)
        with uninterrupted():
            nn.utils.clip_grad_norm_(run.net.parameters(), 5.0)
            run.optimiser.step()
            run.average.update_parameters(run.net)
            run.finish_batch(measured)
        bar.update()
    on_map, on_pooled, right, known = run.totals
    steps = run.steps_per_epoch
    return float(on_map / steps), float(on_pooled / steps), float(right / max(known, 1))


def _decode(pictures: Sequence[Picture], split: str, long_side_px: int) -> list[Shot]:
    shots, problems = decode_all(pictures, long_side_px=long_side_px)
    for problem in problems:
        log.warning("%s", problem)
    log.info("split %s: %d pictures, %d unreadable", split, len(shots), len(problems))
    return shots


def _decode_negative_clips(catalogue: Catalogue, long_side_px: int) -> list[Shot]:
    shots, problems = negative_clip_shots(catalogue.negative_clips, long_side_px)
    for problem in problems:
        log.warning("%s", problem)
    if catalogue.negative_clips:
        log.info("%d frames of %d negative clips", len(shots), len(catalogue.negative_clips))
    return shots


def _validation_subset(shots: Sequence[Shot], recipe: Recipe) -> list[Shot]:
    """Return the pictures to validate on during training: all hive frames, and some of the photographs."""
    hive = [shot for shot in shots if shot[0].domain == "hive"]
    photos = [shot for shot in shots if shot[0].domain != "hive"]
    step = round(1 / recipe.validated_photos) if recipe.validated_photos else len(photos) + 1
    chosen = hive + photos[step - 1 :: step]
    if not chosen:
        raise DataError("no picture to validate on can be read; replace those named in the warnings above")
    return chosen
