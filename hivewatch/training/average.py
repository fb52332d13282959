"""Average the weights of several training runs."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import torch

from hivewatch.training.export import is_model_file, load_model_file
from hivewatch.training.model.folding import fold, load_folded
from hivewatch.training.model.network import HornetNet
from hivewatch.training.run import load_network


def average_networks(net: HornetNet, others: Sequence[Path]) -> HornetNet:
    """Return a network whose weights are the mean of those of ``net`` and of ``others``.

    ``others`` are checkpoints or model files. Runs that start from the same weights end in one basin of the
    loss: their mean is as fast as one network and generalises better (Wortsman et al. 2022, "Model soups",
    section 2). Raises ModelError or DataError for files that hold no network.
    """
    networks = [net]
    for other in others:
        loaded = copy.deepcopy(net)
        if is_model_file(other):
            load_model_file(loaded, other)
        else:
            loaded, _, _ = load_network(other)
        networks.append(loaded)
    # Fold first: the parts of batch norms with different statistics cannot be averaged one by one.
    states = [fold(network).state_dict() for network in networks]
    mean = {name: torch.stack([state[name] for state in states]).mean(0) for name in states[0]}
    result = copy.deepcopy(net)
    load_folded(result, mean)
    return result.eval()
