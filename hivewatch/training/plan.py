"""What a run will do, said before it does it: the pictures found, the crops drawn, the time it takes."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from hivewatch.errors import DataError
from hivewatch.training.batches import batches
from hivewatch.training.data.dataset import Catalogue, Picture, Shot
from hivewatch.training.data.sampling import Sampler
from hivewatch.training.evaluation.metrics import auroc
from hivewatch.training.run import Run
from hivewatch.training.step import forward_backward
from hivewatch.training.validate import frame_maps

TRIAL_CROPS = 300
"""How many crops are drawn to see what a run will be shown."""
TRIAL_SEED = 2**31
TIMED_BATCHES, TIMED_PICTURES = 3, 4
CHECKED_PICTURES = 100
"""Of how many training pictures of each class a trained network must be better than chance."""


def found(catalogue: Catalogue, data: Path) -> str:
    """Return a table of the pictures: how many of each split and class, how many boxed, their size."""
    groups: dict[tuple[str, str], list[Picture]] = {}
    for picture in catalogue.pictures:
        groups.setdefault((picture.split, "presence" if picture.hornet else "absence"), []).append(picture)
    lines = [f"Found in {data}:", f"  {'split':12} {'class':9} {'pictures':>8} {'boxed':>6}  longer side"]
    for (split, label), pictures in sorted(groups.items(), key=lambda item: (item[0][0] != "train", item[0])):
        boxed = sum(bool(p.hornet_boxes if p.hornet else p.insects) for p in pictures)
        lines.append(f"  {split:12} {label:9} {len(pictures):8} {boxed:6}  {_sizes(pictures)}")
    if catalogue.negative_clips:
        lines.append(f"  and {len(catalogue.negative_clips)} clips without hornets to train on")
    unboxed = sum(p.hornet and not p.hornet_boxes for p in catalogue.split("train"))
    if unboxed:
        lines.append(
            f"  {unboxed} training pictures with a hornet have no box: their label alone trains the score,"
            " and the map has to find the hornet"
        )
    if not catalogue.split("val"):
        lines.append(
            "  There is no split 'val', so 'test' validates and chooses the best epoch: measure the model on"
            " other pictures"
        )
    return "\n".join(lines)


def _sizes(pictures: Sequence[Picture]) -> str:
    """Return the range of the pictures' longer sides, read from their headers."""
    sides = []
    for picture in pictures:
        with suppress(OSError, ValueError, Image.DecompressionBombError), Image.open(picture.path) as image:
            sides.append(max(image.size))
    if not sides:
        return "unknown"
    low, middle, high = min(sides), int(np.median(sides)), max(sides)
    return f"{low} px" if low == high else f"{low} to {high} px, median {middle} px"


def drawn(sampler: Sampler, data: Path) -> str:
    """Return what an epoch draws, tried on ``TRIAL_CROPS`` crops.

    Raises DataError if real pictures of one class are never drawn.
    """
    recipe, shows = sampler.recipe, Counter[bool | None]()
    for index in range(TRIAL_CROPS):
        kind, crop = sampler.draw_kind(np.random.default_rng((recipe.seed, TRIAL_SEED, index)))
        if kind != "simulated":
            shows[crop.hornet] += 1
    for hornet, text in ((True, "shows a hornet"), (False, "is without one")):
        if not shows[hornet]:
            raise DataError(f"{data}: {_never_drawn(sampler, text)}")
    shares = "; ".join(f"{share:.0%} {KINDS[kind]}" for kind, share in sampler.shares.items())
    hornets = shows[True] / shows.total()
    return (
        f"An epoch draws {recipe.crops_per_epoch} crops in batches of {recipe.batch}: {shares}.\n"
        f"  {hornets:.0%} of them show a hornet (tried on {shows.total()} of real pictures)"
    )


KINDS = {
    "hornet": "around a boxed hornet",
    "bee": "around a boxed bee",
    "background": "anywhere in a frame whose hornets are boxed, or that has none",
    "hard": "at false alarms",
    "pasted": "with insects pasted in",
    "photo": "of close-ups",
    "simulated": "of simulator frames",
    "whole": "whole pictures, known by their label alone",
}
"""What the kinds of crop are, by their names in the recipe's shares."""


def _never_drawn(sampler: Sampler, text: str) -> str:
    hornets = [picture for picture, _ in sampler.shots if picture.hornet]
    boxed = sum(bool(picture.hornet_boxes) for picture in hornets)
    return (
        f"of {TRIAL_CROPS} crops drawn by the recipe none {text}, so the network cannot learn the difference."
        f" There are {len(hornets)} readable training pictures with a hornet ({boxed} boxed) and"
        f" {len(sampler.shots) - len(hornets)} without. Raise those of the recipe's shares that draw the"
        " missing class: 'whole' (hornets without a box, and frames without hornets), 'hornet' (boxed ones),"
        " 'background' (frames without hornets) or 'photo' (close-ups)"
    )


def pace(run: Run, sampler: Sampler, validation_shots: Sequence[Shot]) -> str:
    """Return how long an epoch and what is left of the run will take here, measured on a few batches."""
    recipe = run.recipe
    trial = islice(batches(sampler, run.net.cam_stride_px, len(run.history)), TIMED_BATCHES + 1)
    forward_backward(run, next(trial))  # the first one is slow: the libraries prepare themselves
    started, timed = time.perf_counter(), 0
    for batch in trial:
        forward_backward(run, batch)
        timed += 1
    batch_s = (time.perf_counter() - started) / max(1, timed)
    run.optimiser.zero_grad(set_to_none=True)
    some, started = validation_shots[:TIMED_PICTURES], time.perf_counter()
    for _ in frame_maps(run.averaged, some, recipe, "time"):
        pass
    picture_s = (time.perf_counter() - started) / len(some)
    mined = min(len(sampler.shots), 1.5 * recipe.mined_frames) / recipe.mine_every if recipe.mine_every else 0
    epoch_s = (
        run.steps_per_epoch * batch_s + (len(validation_shots) / recipe.validate_every + mined) * picture_s
    )
    left = recipe.epochs - len(run.history)
    return f"An epoch will take about {_for(epoch_s)} here, {left} epochs about {_for(left * epoch_s)}."


def _for(seconds: float) -> str:
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def check_learnt(run: Run, shots: Sequence[Shot], data: Path) -> None:
    """Raise DataError if the network is no better than chance on its own training pictures."""
    chosen: list[Shot] = []
    for hornet in (True, False):
        of_class = [shot for shot in shots if shot[0].hornet is hornet and shot[0].domain != "crop"]
        chosen += of_class[:: max(1, math.ceil(len(of_class) / CHECKED_PICTURES))]
    maps = frame_maps(run.averaged, chosen, run.recipe, "check")
    rows = [(logit, picture.hornet) for (picture, _), logit, _ in maps]
    area = auroc(np.array([row[0] for row in rows]), np.array([row[1] for row in rows]))
    if area <= run.recipe.least_auroc:
        raise DataError(
            f"{data}: the trained network cannot tell pictures with a hornet from pictures without: on"
            f" {len(rows)} of its own training pictures the AUROC is {area:.2f} (0.5 is chance; it must"
            f" exceed {run.recipe.least_auroc:g}). Do not use it. Check that presence and absence are not"
            " mixed up; then train longer (--epochs), at another rate (--learning-rate), or draw boxes"
            " around hornets"
        )
