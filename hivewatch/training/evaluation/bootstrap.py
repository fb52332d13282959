"""Confidence intervals by the cluster bootstrap (Field and Welsh 2007).

Frames of one camera and day are near-copies. Resampling single frames would make a measure look more certain
than it is, so whole scenes are resampled, each with all its frames.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]
ROUNDS = 500
FEWEST_CLUSTERS = 2


@dataclass(frozen=True, slots=True)
class Measure:
    """A measure and its 95 % bootstrap interval; NaN if it cannot be measured."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "not measured"
        interval = "" if math.isnan(self.low) else f" ({self.low:.3f} to {self.high:.3f})"
        return f"{self.value:.3f}{interval}"


class Bootstrap:
    """Resamples of pictures by scene; a picture without a scene ("") is a cluster of its own.

    All measures of one instance use the same resamples. ``clusters`` is the number of clusters; with fewer
    than two, intervals are NaN.
    """

    def __init__(self, scenes: Sequence[str], seed: int = 0, rounds: int = ROUNDS) -> None:
        self.pictures = len(scenes)
        groups: dict[str, list[int]] = defaultdict(list)
        for index, scene in enumerate(scenes):
            groups[scene or f"/{index}"].append(index)
        members = [np.array(group, np.int64) for group in groups.values()]
        self.clusters = len(members)
        rng = np.random.default_rng(seed)
        self._draws: list[Indices] = []
        if self.clusters >= FEWEST_CLUSTERS:
            for _ in range(rounds):
                drawn = rng.integers(0, self.clusters, self.clusters)
                self._draws.append(np.concatenate([members[cluster] for cluster in drawn]))

    def measure(self, function: Callable[[Indices], float]) -> Measure:
        """Return ``function`` of the indices of all pictures, with its interval over the resamples.

        Resamples on which it is NaN (if a class is missing, for example) do not count.
        """
        value = function(np.arange(self.pictures))
        values = np.array([function(draw) for draw in self._draws])
        values = values[np.isfinite(values)]
        if not len(values):
            return Measure(value, float("nan"), float("nan"))
        low, high = np.percentile(values, [2.5, 97.5])
        return Measure(value, float(low), float(high))
