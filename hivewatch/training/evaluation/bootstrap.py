"""How sure a figure is: intervals by the bootstrap, drawing whole scenes where frames come in bursts.

Frames of one camera and day are near-copies. Drawn one by one they would make a figure look surer than it is,
so scenes are drawn, each with all its frames (the cluster bootstrap; Field and Welsh 2007).
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
    """A figure and its 95 % bootstrap interval; NaN is what cannot be measured."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "not measured"
        interval = "" if math.isnan(self.low) else f" ({self.low:.3f} to {self.high:.3f})"
        return f"{self.value:.3f}{interval}"


class Bootstrap:
    """The draws for pictures whose ``scenes`` are given; a picture without one ("") is drawn by itself.

    All measures of one instance see the same draws. ``clusters`` is what is drawn among: of fewer than two
    nothing is known, and intervals are NaN.
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
        """The value of ``function`` on all pictures, by their indices, and its interval over the draws.

        Draws on which it is NaN (one class is missing, say) do not count.
        """
        value = function(np.arange(self.pictures))
        values = np.array([function(draw) for draw in self._draws])
        values = values[np.isfinite(values)]
        if not len(values):
            return Measure(value, float("nan"), float("nan"))
        low, high = np.percentile(values, [2.5, 97.5])
        return Measure(value, float(low), float(high))
