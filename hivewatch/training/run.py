"""The state of a training run: network, averaged network, optimiser and history, saved as a checkpoint."""

from __future__ import annotations

import json
import logging
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from hivewatch.errors import DataError
from hivewatch.training.data.sampling import HardNegative
from hivewatch.training.evaluation.metrics import Floats
from hivewatch.training.export import is_model_file, load_model_file
from hivewatch.training.model.network import HornetNet, best_device
from hivewatch.training.recipe import Recipe, parse_recipe
from hivewatch.training.validate import Validation

LAST, BEST, HISTORY = "last.ckpt", "best.ckpt", "history.json"
EARLIER = "earlier"
"""Subfolder of a run folder that keeps the files of the run before."""
CHECKPOINT_SUFFIX = ".ckpt"
PRIOR = 0.02
"""The share of cells that the untrained classifier calls a hornet (Lin et al. 2017, section 3.3)."""

AVERAGED_RUNS = 6
"""The running mean of the weights looks back over a sixth of the run at most, or short runs would lag."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Epoch:
    """The mean losses and accuracy of one pass over the crops; ``validation`` is None if none was due."""

    number: int
    map_loss: float
    pooled_loss: float
    crop_accuracy: float
    validation: Validation | None

    def __str__(self) -> str:
        training = f"training loss {self.pooled_loss:.3f}, accuracy {self.crop_accuracy:.1%}"
        if self.validation is None:
            return f"epoch {self.number + 1}: {training}"
        return f"epoch {self.number + 1}: {training}; {self.validation}"

    def document(self) -> dict[str, Any]:
        """Return the entry of ``history.json``: all fields, and loss and accuracy by plain names.

        The loss is the cross-entropy of the pooled score: of the training crops as they were drawn, and of
        the whole validation pictures (None if validation was not due).
        """
        return asdict(self) | {
            "epoch": self.number + 1,
            "train_loss": self.pooled_loss,
            "train_accuracy": self.crop_accuracy,
            "val_loss": self.validation and self.validation.loss,
            "val_accuracy": self.validation and self.validation.accuracy,
        }


class Run:
    """Everything that changes during training, and that a checkpoint needs to resume it."""

    def __init__(self, recipe: Recipe, weights: Path | str | None) -> None:
        """Start a new run; if ``weights`` is None the network stays random, for ``restored`` to fill.

        ``starts_trained`` is True if the weights come from a network already trained on hornets.
        """
        self.recipe = recipe
        self.net = HornetNet(recipe.pooling, recipe.layer4_stride, recipe.top_cells)
        self.starts_trained = weights is not None and _load_start_weights(self.net, weights, recipe.fresh)
        self.device = best_device()
        self.net.to(self.device).to(memory_format=torch.channels_last)
        for name in recipe.frozen:
            self.net.body.get_submodule(name).requires_grad_(False)
        self.net.eval()  # batch norms keep their statistics: the batches are too small and too alike
        decay = min(recipe.average_decay, max(0.0, 1 - AVERAGED_RUNS / max(1, self.steps)))
        self.average = AveragedModel(self.net, multi_avg_fn=get_ema_multi_avg_fn(decay))  # type: ignore[no-untyped-call]
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
        self.batches_done, self.totals = 0, np.zeros(4)
        self.history: list[Epoch] = []
        self.hard_negatives: list[HardNegative] = []

    @classmethod
    def restored(cls, state: dict[str, Any]) -> Run:
        """Return the run that ``save`` wrote."""
        run = cls(parse_recipe(state["recipe"]), weights=None)
        run.net.load_state_dict(state["net"])
        run.average.load_state_dict(state["average"])
        run.optimiser.load_state_dict(state["optimiser"])
        run.step = state["step"]
        run.batches_done = state.get("batches_done", 0)
        run.totals = np.array(state.get("totals", run.totals))
        run.starts_trained = state.get("starts_trained", False)
        run.history = [
            Epoch(**entry | {"validation": entry["validation"] and Validation(**entry["validation"])})
            for entry in state["history"]
        ]
        run.hard_negatives = [HardNegative(*fields) for fields in state["hard"]]
        return run

    @property
    def steps_per_epoch(self) -> int:
        """How many batches an epoch has."""
        return math.ceil(self.recipe.crops_per_epoch / self.recipe.batch)

    @property
    def steps(self) -> int:
        """How many batches the whole run has."""
        return self.recipe.epochs * self.steps_per_epoch

    @property
    def averaged(self) -> HornetNet:
        """The running mean of the weights, which validates better than their latest values."""
        net = self.average.module
        assert isinstance(net, HornetNet)  # noqa: S101 - for the type checker
        return net.eval()

    @property
    def best_epoch(self) -> int:
        """The number of the epoch that validated best, or of the last epoch if none was validated."""
        merits = {e.number: e.validation.merit for e in self.history if e.validation is not None}
        return max(merits, key=merits.__getitem__, default=len(self.history) - 1)

    def learning_rate_factor(self, progress: float) -> float:
        """Return the learning rate as a share of its peak: a linear warm-up, then half a cosine down to 0.

        ``progress`` is the share of all steps already taken, 0..1.
        """
        if progress < self.recipe.warm_up:
            return progress / self.recipe.warm_up
        return 0.5 + 0.5 * math.cos(math.pi * min(1.0, progress))

    def finish_batch(self, measured: Floats) -> None:
        """Count a batch whose step was taken, and add what ``forward_backward`` measured to the totals."""
        self.step += 1
        self.batches_done += 1
        self.totals += measured

    def finish_epoch(self, epoch: Epoch) -> None:
        """Append ``epoch`` to the history and start to count the next one's batches."""
        self.history.append(epoch)
        self.batches_done, self.totals = 0, np.zeros(4)

    def write_history(self, path: Path) -> None:
        """Write an entry per epoch as JSON."""
        text = json.dumps([epoch.document() for epoch in self.history], indent=1)
        path.write_text(text, encoding="utf-8")

    def save(self, path: Path) -> None:
        """Write the checkpoint atomically."""
        state = {
            "recipe": self.recipe.model_dump(mode="json"),
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "batches_done": self.batches_done,
            "totals": self.totals.tolist(),
            "starts_trained": self.starts_trained,
            "history": [asdict(epoch) for epoch in self.history],
            "hard": [(negative.picture, negative.x, negative.y) for negative in self.hard_negatives],
        }
        partial = path.with_suffix(".part")
        torch.save(state, partial)
        partial.replace(path)


def keep_earlier(out: Path) -> None:
    """Move the files of an earlier run in ``out`` to ``out/earlier``: a new run is no reason to lose one."""
    files = [path for name in (LAST, BEST, HISTORY) if (path := out / name).is_file()]
    if files:
        (out / EARLIER).mkdir(exist_ok=True)
        for path in files:
            path.replace(out / EARLIER / path.name)
        log.info("%s: moved the files of an earlier run to %s", out, out / EARLIER)


def load_network(checkpoint: Path) -> tuple[HornetNet, Recipe, list[dict[str, Any]]]:
    """Return a checkpoint's averaged network, recipe and history; raises DataError if it is unreadable."""
    state = read_checkpoint(checkpoint)
    run = Run.restored(state)
    return run.averaged, run.recipe, state["history"]


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return what ``Run.save`` wrote; raises DataError if the file is missing or unreadable."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # The unpickler may raise anything on foreign bytes.
        raise DataError(f"{path}: cannot be read as a training checkpoint ({error})") from error
    return state


def _load_start_weights(net: HornetNet, weights: Path | str, fresh: tuple[str, ...]) -> bool:
    """Fill ``net`` from a checkpoint, a model file or a plain ResNet18 state dict.

    Returns whether the network was already trained on hornets, so that its false alarms are worth mining.
    """
    if isinstance(weights, Path) and weights.suffix == CHECKPOINT_SUFFIX:
        earlier, _, _ = load_network(weights)
        net.load_state_dict(earlier.state_dict())
        return True
    if isinstance(weights, Path) and is_model_file(weights):
        load_model_file(net, weights)
        return True
    net.load_backbone(weights, fresh)
    nn.init.normal_(net.classifier.weight, std=0.01)
    odds = math.log(PRIOR / (1 - PRIOR))
    net.classifier.bias = nn.Parameter(torch.tensor([-odds / 2, odds / 2]))
    return False
