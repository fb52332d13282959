"""The classifier: run the network on the views of a frame."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch

from hivewatch.config.sections import ClassifierConfig
from hivewatch.domain.frames import WHOLE, Box, Frame, Map, Pixels, Prediction, View
from hivewatch.vision.localize import locate
from hivewatch.vision.model_file import (
    Graph,
    ModelInfo,
    check_finished,
    check_graph,
    load_graph,
    read_model_info,
    run_graph,
    use_quantised_engine,
)
from hivewatch.vision.trust import read_model_file, read_released_model

# TorchScript traces types in the first run and compiles in the second.
_WARM_UP_RUNS = 3

StageTimer = Callable[[str], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True, eq=False)
class NetworkOutput:
    """The network's output for one view: a score, 0..1, and a map of logits over ``extent``."""

    score: float
    cam: Map
    extent: Box


def _no_stopwatch(_stage: str) -> AbstractContextManager[None]:
    return nullcontext()


class Classifier:
    """A loaded model. ``stopwatch`` times each stage: preprocess, forward, closer, localize."""

    def __init__(self, graph: Graph, model: ModelInfo, stopwatch: StageTimer = _no_stopwatch) -> None:
        """Use ``load_classifier``, which checks ``graph`` and ``model``."""
        self.model = model
        self._graph = graph
        self._stopwatch = stopwatch

    def predict(self, view: View) -> Prediction:
        """Return score, map and location for ``view``, of any size and shape.

        Raises ModelError if the graph fails, or returns no finite score and map.
        """
        first, second = self.inspect(view)
        best = max(second, key=lambda output: output.score, default=first)
        score = first.score
        if self.model.second_look is not None and second:
            score = self.model.second_look.score(first.score, best.score)
        with self._stopwatch("localize"):
            location = locate(best.cam, best.extent, self.model.box_level)
        return Prediction(score, best.cam, best.extent, location)

    def inspect(self, view: View) -> tuple[NetworkOutput, list[NetworkOutput]]:
        """Return the network's output for ``view``, and those for the windows of the second look.

        There are no windows if the model has no second look or the first score is too low for one. Raises as
        ``predict`` does.
        """
        factor = min(1.0, self.model.input_long_side_px / view.watched_px)
        with self._stopwatch("preprocess"):
            pixels = resize(view.pixels, factor, self.model.input_multiple_px)
        with self._stopwatch("forward"):
            first = NetworkOutput(*self.forward(pixels), view.extent)
        second_look = self.model.second_look
        if second_look is None or first.score < second_look.from_score:
            return first, []
        # "closer" is the stage's name in the published `latencies`, so it stays.
        with self._stopwatch("closer"):
            windows = second_look.windows(view, first.cam, factor)
            return first, [self._inspect_window(window, factor * second_look.zoom) for window in windows]

    def _inspect_window(self, window: View, factor: float) -> NetworkOutput:
        pixels = resize(window.pixels, factor, self.model.input_multiple_px)
        return NetworkOutput(*self.forward(pixels), window.extent)

    @property
    def threads(self) -> int:
        """Return the number of processor threads the graph runs on."""
        return torch.get_num_threads()

    def warm_up(self, width_px: int, height_px: int) -> None:
        """Run on a black view of that size until TorchScript has compiled the graph."""
        pixels = np.zeros((height_px, width_px, 3), np.uint8)
        frame = Frame(pixels, datetime.now(UTC), 0.0, 0, "warm-up")
        for _ in range(_WARM_UP_RUNS):
            self.predict(View(frame, pixels, WHOLE, max(width_px, height_px)))
            if self.model.second_look is not None:
                self.forward(np.zeros((self.model.second_look.window_px,) * 2 + (3,), np.uint8))

    def forward(self, pixels: Pixels) -> tuple[float, Map]:
        """Run the graph on pixels from ``resize``; return score and map. Raises as ``predict`` does."""
        model = self.model
        return run_graph(self._graph, pixels, model.cam_stride_px, f"model {model.name} {model.version}")


def fit_to_input(pixels: Pixels, long_side_px: int, multiple_px: int) -> Pixels:
    """Shrink so that the long side is ``long_side_px`` and both sides are multiples of ``multiple_px``.

    A smaller picture is not enlarged: that would cost time and add no detail. Each side is rounded to the
    nearest multiple, at least one, so the short side of a very narrow picture is stretched.
    Training and evaluation use this function too. Raises ValueError for a picture without pixels.
    """
    return resize(pixels, min(1.0, long_side_px / max(1, *pixels.shape[:2])), multiple_px)


def resize(pixels: Pixels, factor: float, multiple_px: int) -> Pixels:
    """Scale by ``factor``, each side to the nearest multiple of ``multiple_px``, at least one.

    Raises ValueError for a picture without pixels.
    """
    height_px, width_px = pixels.shape[:2]
    if pixels.size == 0:
        raise ValueError(f"a view of {width_px} x {height_px} pixels cannot be classified")
    width, height = (
        max(1, round(side * factor / multiple_px)) * multiple_px for side in (width_px, height_px)
    )
    shrinks = width * height < width_px * height_px
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=interpolation), np.uint8)


def load_classifier(
    path: Path | None,
    threads: int,
    stopwatch: StageTimer = _no_stopwatch,
    precision: Literal["float", "int8"] = "float",
    *,
    unfinished: bool = False,
    allow_writable: bool = False,
) -> Classifier:
    """Load and check a model file, or the released model of ``precision`` if ``path`` is None.

    ``threads``: processor threads, 0 for torch's default. ``unfinished``: accept a step of an export, too.
    ``allow_writable``: run a file even if others can change it, see ``read_model_file``. Raises ModelError
    unless the file is a complete hivewatch model in the format version of this release.
    """
    if threads > 0:
        torch.set_num_threads(threads)
    if path is None:
        file = read_released_model(precision)
    else:
        file = read_model_file(path, allow_writable=allow_writable)
    model = read_model_info(file)
    if not unfinished:
        check_finished(file, model)
    if model.precision == "int8":
        use_quantised_engine()
    graph = load_graph(file)
    check_graph(graph, model, file)
    return Classifier(graph, model, stopwatch)


def load_configured(chosen: ClassifierConfig, stopwatch: StageTimer = _no_stopwatch) -> Classifier:
    """Load and check the model that the configuration names; raises ModelError as ``load_classifier``."""
    return load_classifier(
        *(chosen.model, chosen.threads, stopwatch, chosen.precision),
        allow_writable=chosen.allow_writable_model,
    )
