"""The training loop: decode the pictures, draw crops, train, validate, save a checkpoint."""

from __future__ import annotations

import json
import logging
import math
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from hivewatch.errors import DataError
from hivewatch.training.data.augment import augment
from hivewatch.training.data.catalogue import read_catalogue
from hivewatch.training.data.crops import Crop
from hivewatch.training.data.dataset import Catalogue, Shot, decode_all
from hivewatch.training.data.duplicates import warn_of_copies
from hivewatch.training.data.negative_clips import negative_clip_shots
from hivewatch.training.data.sampling import Sampler
from hivewatch.training.data.simulated import simulated_shots
from hivewatch.training.mining import mine_hard_negatives
from hivewatch.training.model.losses import NO_VOTE, map_loss, map_target, pooled_loss
from hivewatch.training.model.network import HornetNet, mixed_precision, normalise
from hivewatch.training.recipe import Recipe, parse_recipe
from hivewatch.training.run import BEST, HISTORY, LAST, Epoch, Run, read_checkpoint
from hivewatch.training.validate import validate

BATCHES_AHEAD = 3
KEPT_HARD_NEGATIVES = 1500
"""How many hard negatives of earlier rounds are kept."""

log = logging.getLogger(__name__)


def train(data: Path, recipe: Recipe, out: Path, *, weights: Path | str, resume: bool = False) -> Path:
    """Train by ``recipe`` on the training split of ``data``; return the checkpoint that validated best.

    Writes ``last.ckpt`` and ``best.ckpt`` (network, averaged network, optimiser, recipe, history) and
    ``history.json`` to ``out``. ``weights``: a ResNet18 state dict, ``imagenet``, or, to train further, the
    checkpoint (``.ckpt``) of an earlier run or a model file. ``resume`` continues from ``last.ckpt`` with the
    recipe stored in it. Raises DataError for unusable data and ModelError for unusable weights.
    """
    state = read_checkpoint(out / LAST) if resume else None
    recipe = parse_recipe(state["recipe"]) if state else recipe
    torch.manual_seed(recipe.seed)
    catalogue = read_catalogue(data)
    if not catalogue.split("val"):
        raise DataError(
            f"{data}: there is no split 'val' to validate on. Put whole days or whole cameras there,"
            " never single frames: frames of one camera and day are near-copies of each other"
        )
    warn_of_copies(catalogue.pictures)
    shots = _decode(catalogue, "train", recipe.decode_long_side_px)
    shots += _decode_negative_clips(catalogue, recipe.decode_long_side_px)
    validation_shots = _validation_subset(_decode(catalogue, "val", recipe.frame_long_side_px), recipe)
    sampler = Sampler(shots, simulated_shots(recipe.simulated_frames, recipe.seed), recipe)

    run = Run(recipe, weights) if state is None else Run.restored(state)
    if run.starts_trained and recipe.mine_every:
        run.hard_negatives = mine_hard_negatives(run.averaged, shots, recipe, len(run.history))
    sampler.hard_negatives = run.hard_negatives
    out.mkdir(parents=True, exist_ok=True)
    for epoch in range(len(run.history), recipe.epochs):
        losses = _one_epoch(run, sampler, epoch)
        due = (epoch + 1) % recipe.validate_every == 0 or epoch + 1 == recipe.epochs
        validation = validate(run.averaged, validation_shots, recipe) if due else None
        run.history.append(Epoch(epoch, *losses, validation))
        log.info("epoch %d: map loss %.4f, pooled loss %.4f, accuracy %.3f, %s", epoch, *losses, validation)
        if recipe.mine_every and (epoch + 1) % recipe.mine_every == 0 and epoch + 1 < recipe.epochs:
            mined = mine_hard_negatives(run.averaged, shots, recipe, epoch)
            sampler.hard_negatives = run.hard_negatives = run.hard_negatives[-KEPT_HARD_NEGATIVES:] + mined
        run.save(out / LAST)
        if run.best_epoch == epoch:
            run.save(out / BEST)
        (out / HISTORY).write_text(json.dumps([asdict(e) for e in run.history], indent=1), encoding="utf-8")
        if epoch - run.best_epoch >= recipe.patience:
            log.info("stopped early: no improvement since epoch %d", run.best_epoch)
            break
    return out / BEST


def _one_epoch(run: Run, sampler: Sampler, epoch: int) -> tuple[float, float, float]:
    """Train on the epoch's crops once; return their mean map loss, pooled loss and accuracy."""
    recipe, totals, known = run.recipe, np.zeros(3), 0
    steps = math.ceil(recipe.crops_per_epoch / recipe.batch)
    run.net.eval()  # batch norms keep their statistics: the batches are too small and too alike
    for batch in tqdm(_batches(sampler, run.net, epoch), total=steps, desc=f"epoch {epoch}"):
        pixels, target, label = (tensor.to(run.device) for tensor in batch)
        for group in run.optimiser.param_groups:
            group["lr"] = group["peak"] * run.learning_rate_factor(run.step / (steps * recipe.epochs))
        with mixed_precision(run.device, wanted=recipe.mixed_precision):
            cam = run.net.forward_map(normalise(pixels).contiguous(memory_format=torch.channels_last)).float()
        pooled = run.net.pool(cam)
        on_map = map_loss(cam, target, recipe.focal_gamma)
        on_pooled = pooled_loss(pooled, label)
        run.optimiser.zero_grad(set_to_none=True)
        (on_map + recipe.pooled_weight * on_pooled).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(run.net.parameters(), 5.0)
        run.optimiser.step()
        run.average.update_parameters(run.net)
        run.step += 1
        right = int(((pooled > 0) == (label > 0.5))[label >= 0].sum())
        known += int((label >= 0).sum())
        totals += float(on_map.detach()), float(on_pooled.detach()), right
    return float(totals[0] / steps), float(totals[1] / steps), float(totals[2] / max(known, 1))


def _batches(sampler: Sampler, net: HornetNet, epoch: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield the epoch's batches (pixels, map targets, labels), prepared on other threads."""
    recipe = sampler.recipe
    cells = recipe.crop_px // net.cam_stride_px
    starts = range(0, recipe.crops_per_epoch, recipe.batch)
    with ThreadPoolExecutor(recipe.workers) as pool:
        ahead = deque[Future[tuple[Tensor, Tensor, Tensor]]]()
        for start in starts:
            ahead.append(pool.submit(_batch, sampler, cells, epoch, start))
            if len(ahead) > BATCHES_AHEAD:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def _batch(sampler: Sampler, cells: int, epoch: int, start: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return one batch. Each crop has its own generator, so threads and batch size do not change it."""
    recipe = sampler.recipe
    pixels, targets, labels = [], [], []
    for index in range(start, min(start + recipe.batch, recipe.crops_per_epoch)):
        rng = np.random.default_rng((recipe.seed, epoch, index))
        crop = sampler.draw(rng)
        pixels.append(augment(crop.pixels, rng))
        targets.append(map_target(crop, cells))
        labels.append(_label(crop))
    stacked = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)
    return stacked, torch.from_numpy(np.stack(targets)), torch.tensor(labels)


def _label(crop: Crop) -> float:
    return NO_VOTE if crop.hornet is None else float(crop.hornet)


def _decode(catalogue: Catalogue, split: str, long_side_px: int) -> list[Shot]:
    shots, problems = decode_all(catalogue.split(split), long_side_px=long_side_px)
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
    return hive + photos[step - 1 :: step]
