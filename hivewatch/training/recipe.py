"""The recipe of a training run: all its parameters, read from YAML and stored in each checkpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, ValidationError

from hivewatch.config import reader
from hivewatch.config.sections import Section, Share
from hivewatch.errors import ConfigError, DataError

LAYERS = ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4")


def _check_layer(name: str) -> str:
    if name.split(".")[0] not in LAYERS:
        raise ValueError(f"must be a layer: one of {', '.join(LAYERS)}, or a part such as layer4.0.conv1")
    return name


Layer = Annotated[str, AfterValidator(_check_layer)]
Positive = Annotated[float, Field(gt=0)]


class Shares(Section):
    """How often each kind of crop is drawn: relative weights; a kind without pictures is left out."""

    hornet: float = Field(0.22, ge=0)
    bee: float = Field(0.10, ge=0)
    background: float = Field(0.05, ge=0)
    hard: float = Field(0.20, ge=0)
    pasted: float = Field(0.22, ge=0)
    photo: float = Field(0.18, ge=0)
    simulated: float = Field(0.05, ge=0)
    whole: float = Field(1.0, ge=0)


class Recipe(Section):
    """What to train, on which crops, for how long. Sizes are in pixels of the network's input."""

    manual: ClassVar[str] = "config/train.yaml"

    seed: int = Field(7, ge=0, lt=2**32)
    pooling: Literal["gap", "topk", "lse", "max"] = "topk"
    top_cells: int = Field(2, ge=1)
    layer4_stride: int = Field(2, ge=1, le=2)
    frozen: tuple[Layer, ...] = ("conv1", "bn1", "layer1")
    fresh: tuple[Layer, ...] = ()

    crop_px: int = Field(256, ge=64, multiple_of=32)
    frame_long_side_px: int = Field(640, ge=64)
    decode_long_side_px: int = Field(896, ge=64)
    hornet_px: Positive = 46.0
    hornet_px_spread: Positive = 0.5
    shares: Shares = Shares()
    simulated_frames: int = Field(96, ge=0)

    epochs: int = Field(27, ge=1)
    crops_per_epoch: int = Field(0, ge=0)
    batch: int = Field(32, ge=1)
    learning_rate: Positive = 2e-4
    classifier_rate: Positive = 5e-4
    weight_decay: float = Field(0.01, ge=0)
    warm_up: Share = 0.03
    average_decay: float = Field(0.998, ge=0, lt=1)
    focal_gamma: float = Field(1.5, ge=0)
    pooled_weight: float = Field(0.5, ge=0)
    mixed_precision: bool = True

    mine_every: int = Field(2, ge=0)
    mined_frames: int = Field(140, ge=1)
    mined_per_frame: int = Field(3, ge=1)
    validate_every: int = Field(1, ge=1)
    validated_photos: Share = 0.12
    patience: int = Field(18, ge=1)
    least_auroc: Share = 0.6
    workers: int = Field(1, ge=1)


def parse_recipe(document: dict[str, Any]) -> Recipe:
    """Return the recipe that a checkpoint carries as JSON; raises pydantic's ValidationError."""
    return Recipe.model_validate_json(json.dumps(document))


def read_recipe(path: Path) -> Recipe:
    """Read a recipe; options it leaves out keep their defaults.

    Raises DataError with every problem in the file, each with its line.
    """
    try:
        return reader.read(path, Recipe)
    except ConfigError as error:
        raise DataError(str(error)) from error


def override(recipe: Recipe, options: Mapping[str, Any]) -> Recipe:
    """Return the recipe with ``options`` in place of its own; raises DataError with every invalid one."""
    try:
        return parse_recipe(recipe.model_dump(mode="json") | dict(options))
    except ValidationError as error:
        raise DataError(
            "\n".join(_sentence(e["loc"], e["msg"], e["input"]) for e in error.errors())
        ) from error


def _sentence(key: Sequence[int | str], message: str, given: object) -> str:
    option = f"--{key[0]}".replace("_", "-")
    reason = message.removeprefix("Value error, ").replace("Input should", "should")
    return f"{option}: {reason}, not {json.dumps(given)}"
