"""The training run, to be read downwards: pictures, crops, network, loop, checkpoint."""

from __future__ import annotations

import json
import logging
import math
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from hivewatch.errors import DataError
from hivewatch.training.data.augment import augment
from hivewatch.training.data.catalogue import read_catalogue
from hivewatch.training.data.crops import Crop
from hivewatch.training.data.dataset import Catalogue, Shot, decode_all
from hivewatch.training.data.duplicates import warn_of_copies
from hivewatch.training.data.negative_clips import negative_clip_shots
from hivewatch.training.data.sampling import HardNegative, Sampler
from hivewatch.training.data.simulated import simulated_shots
from hivewatch.training.export import is_model_file, unfold
from hivewatch.training.model.losses import NO_VOTE, map_loss, map_target, pooled_loss
from hivewatch.training.model.network import HornetNet, best_device, mixed_precision, normalise
from hivewatch.training.recipe import Recipe, parse_recipe
from hivewatch.training.validate import Validation, mine_hard_negatives, validate

LAST, BEST, HISTORY = "last.ckpt", "best.ckpt", "history.json"
CHECKPOINT_SUFFIX = ".ckpt"
PRIOR = 0.02
"""The share of cells the untrained classifier takes for a hornet (Lin et al. 2017, section 3.3)."""

BATCHES_AHEAD = 3
KEPT_ALARMS = 1500
"""How many hard negatives of earlier rounds stay in play."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Epoch:
    """What one pass over the crops came to; ``validation`` is None where it was not measured."""

    number: int
    map_loss: float
    pooled_loss: float
    crop_accuracy: float
    validation: Validation | None


def train(data: Path, recipe: Recipe, out: Path, *, weights: Path | str, resume: bool = False) -> Path:
    """Train by ``recipe`` on the training split of ``data``; return the checkpoint that validated best.

    ``out`` gets ``last.ckpt`` and ``best.ckpt`` (network, averaged network, optimiser, recipe, history) and
    ``history.json``. ``weights``: a ResNet18 state dict, ``imagenet``, or, to train further, the checkpoint
    (``.ckpt``) of an earlier run or a model file. ``resume`` goes on from ``last.ckpt`` with the recipe in
    it. Raises DataError for unusable data and ModelError for unusable weights.
    """
    state = _read_checkpoint(out / LAST) if resume else None
    recipe = parse_recipe(state["recipe"]) if state else recipe
    torch.manual_seed(recipe.seed)
    catalogue = read_catalogue(data)
    if not catalogue.split("val"):
        raise DataError(
            f"{data}: there is no split 'val', so nobody would know what the model is worth. Put whole days"
            " or whole cameras there, never single frames: those of one day are near-copies of each other"
        )
    warn_of_copies(catalogue.pictures)
    shots = _decode(catalogue, "train", recipe.decode_long_side_px)
    shots += _decode_negative_clips(catalogue, recipe.decode_long_side_px)
    checks = _thinned(_decode(catalogue, "val", recipe.frame_long_side_px), recipe)
    sampler = Sampler(shots, simulated_shots(recipe.simulated_frames, recipe.seed), recipe)

    run = Run(recipe, weights) if state is None else Run.restored(state)
    if run.knows_hornets and recipe.mine_every:
        run.hard_negatives = mine_hard_negatives(run.averaged, shots, recipe, len(run.history))
    sampler.hard_negatives = run.hard_negatives
    out.mkdir(parents=True, exist_ok=True)
    for epoch in range(len(run.history), recipe.epochs):
        losses = _one_epoch(run, sampler, epoch)
        due = (epoch + 1) % recipe.validate_every == 0 or epoch + 1 == recipe.epochs
        validation = validate(run.averaged, checks, recipe) if due else None
        run.history.append(Epoch(epoch, *losses, validation))
        log.info("epoch %d: map loss %.4f, pooled %.4f, accuracy %.3f, %s", epoch, *losses, validation)
        if recipe.mine_every and (epoch + 1) % recipe.mine_every == 0 and epoch + 1 < recipe.epochs:
            sampler.hard_negatives = run.hard_negatives = run.hard_negatives[
                -KEPT_ALARMS:
            ] + mine_hard_negatives(run.averaged, shots, recipe, epoch)
        run.save(out / LAST)
        if run.best_epoch == epoch:
            run.save(out / BEST)
        (out / HISTORY).write_text(json.dumps([asdict(e) for e in run.history], indent=1), encoding="utf-8")
        if epoch - run.best_epoch >= recipe.patience:
            log.info("no better since epoch %d: stopped early", run.best_epoch)
            break
    return out / BEST


class Run:
    """What changes while training, and all that a checkpoint must hold to go on."""

    def __init__(self, recipe: Recipe, weights: Path | str | None) -> None:
        """Start a new run; ``weights`` None leaves the network random, to be filled by ``restored``.

        ``knows_hornets``: it goes on from a network that was trained on them.
        """
        self.recipe = recipe
        self.net = HornetNet(recipe.pooling, recipe.layer4_stride, recipe.top_cells)
        self.knows_hornets = weights is not None and _start(self.net, weights, recipe.fresh)
        self.device = best_device()
        self.net.to(self.device).to(memory_format=torch.channels_last)
        for name in recipe.frozen:
            self.net.body.get_submodule(name).requires_grad_(False)
        self.average = AveragedModel(self.net, multi_avg_fn=get_ema_multi_avg_fn(recipe.average_decay))  # type: ignore[no-untyped-call]
        self.optimiser = torch.optim.AdamW(
            [
                {
                    "params": [p for p in self.net.body.parameters() if p.requires_grad],
                    "peak": recipe.learning_rate,
                },
                {"params": list(self.net.classifier.parameters()), "peak": recipe.classifier_rate},
            ],
            weight_decay=recipe.weight_decay,
        )
        self.step = 0
        self.history: list[Epoch] = []
        self.hard_negatives: list[HardNegative] = []

    @classmethod
    def restored(cls, state: dict[str, Any]) -> Run:
        """The run that ``save`` wrote."""
        run = cls(parse_recipe(state["recipe"]), weights=None)
        run.net.load_state_dict(state["net"])
        run.average.load_state_dict(state["average"])
        run.optimiser.load_state_dict(state["optimiser"])
        run.step = state["step"]
        run.history = [
            Epoch(**entry | {"validation": entry["validation"] and Validation(**entry["validation"])})
            for entry in state["history"]
        ]
        run.hard_negatives = [HardNegative(*place) for place in state["hard"]]
        return run

    @property
    def averaged(self) -> HornetNet:
        """The running mean of the weights, which validates better than their last values."""
        net = self.average.module
        assert isinstance(net, HornetNet)  # noqa: S101 - for the type checker
        return net.eval()

    @property
    def best_epoch(self) -> int:
        """The number of the epoch that validated best, the last where none was measured."""
        merits = {e.number: e.validation.merit for e in self.history if e.validation is not None}
        return max(merits, key=merits.__getitem__, default=len(self.history) - 1)

    def rate(self, crops_seen_share: float) -> float:
        """The learning rate's share of its peak: a linear rise, then half a cosine down."""
        if crops_seen_share < self.recipe.warm_up:
            return crops_seen_share / self.recipe.warm_up
        return 0.5 + 0.5 * math.cos(math.pi * min(1.0, crops_seen_share))

    def save(self, path: Path) -> None:
        """Write the checkpoint, whole or not at all."""
        state = {
            "recipe": self.recipe.model_dump(mode="json"),
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "history": [asdict(epoch) for epoch in self.history],
            "hard": [(place.picture, place.x, place.y) for place in self.hard_negatives],
        }
        partial = path.with_suffix(".part")
        torch.save(state, partial)
        partial.replace(path)


def load_network(checkpoint: Path) -> tuple[HornetNet, Recipe, list[dict[str, Any]]]:
    """Read a checkpoint: the averaged network, its recipe and its history. Raises DataError if it is none."""
    state = _read_checkpoint(checkpoint)
    run = Run.restored(state)
    return run.averaged, run.recipe, state["history"]


def _one_epoch(run: Run, sampler: Sampler, epoch: int) -> tuple[float, float, float]:
    """Pass once over the epoch's crops; return the mean map loss, pooled loss and accuracy of the crops."""
    recipe, totals, known = run.recipe, np.zeros(3), 0
    steps = math.ceil(recipe.crops_per_epoch / recipe.batch)
    run.net.eval()  # batch norms keep the statistics they came with: the batches are too small and too alike
    for batch in tqdm(_batches(sampler, run.net, epoch), total=steps, desc=f"epoch {epoch}"):
        pixels, target, label = (tensor.to(run.device) for tensor in batch)
        for group in run.optimiser.param_groups:
            group["lr"] = group["peak"] * run.rate(run.step / (steps * recipe.epochs))
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
    """The epoch's batches, drawn on other threads while the network works: pixels, map target, label."""
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
    """One batch. Each crop has random numbers of its own, so neither threads nor batch size change it."""
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


def _start(net: HornetNet, weights: Path | str, fresh: tuple[str, ...]) -> bool:
    """Fill ``net`` from a checkpoint of an earlier run, a model file, or a ResNet18 that knows no hornets.

    Returns whether it knows hornets already, so that its false alarms are worth a look.
    """
    if isinstance(weights, Path) and weights.suffix == CHECKPOINT_SUFFIX:
        earlier, _, _ = load_network(weights)
        net.load_state_dict(earlier.state_dict())
        return True
    if isinstance(weights, Path) and is_model_file(weights):
        unfold(net, weights)
        return True
    net.load_backbone(weights, fresh)
    nn.init.normal_(net.classifier.weight, std=0.01)
    odds = math.log(PRIOR / (1 - PRIOR))
    net.classifier.bias = nn.Parameter(torch.tensor([-odds / 2, odds / 2]))
    return False


def _decode(catalogue: Catalogue, split: str, long_side_px: int) -> list[Shot]:
    shots, problems = decode_all(catalogue.split(split), long_side_px=long_side_px)
    for problem in problems:
        log.warning("%s", problem)
    log.info("%d pictures to %s on, %d unreadable", len(shots), split, len(problems))
    return shots


def _decode_negative_clips(catalogue: Catalogue, long_side_px: int) -> list[Shot]:
    shots, problems = negative_clip_shots(catalogue.negative_clips, long_side_px)
    for problem in problems:
        log.warning("%s", problem)
    if catalogue.negative_clips:
        log.info("%d frames of %d clips without hornets", len(shots), len(catalogue.negative_clips))
    return shots


def _thinned(shots: Sequence[Shot], recipe: Recipe) -> list[Shot]:
    """The pictures to validate on after an epoch: all hive frames, and an even share of the photographs."""
    hive = [shot for shot in shots if shot[0].domain == "hive"]
    photos = [shot for shot in shots if shot[0].domain != "hive"]
    step = round(1 / recipe.validated_photos) if recipe.validated_photos else len(photos) + 1
    return hive + photos[step - 1 :: step]


def _read_checkpoint(path: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as a checkpoint of a training run ({error})") from error
    return state
