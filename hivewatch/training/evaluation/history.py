"""The history of a training run: loss and accuracy of each epoch, from ``history.json`` or a checkpoint."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hivewatch.errors import DataError

Epochs = Sequence[Mapping[str, Any]]
"""An entry for each epoch."""
Series = Sequence[tuple[int, float]]
"""The value of each epoch that has one; epochs are counted from 1."""


def read_history(path: Path) -> list[dict[str, Any]]:
    """Read the ``history.json`` of a training run; raises DataError if the file is not one."""
    try:
        history: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as the history of a training run ({error})") from error
    try:
        known = isinstance(history, list) and any((*losses(history).values(), *accuracies(history).values()))
    except (AttributeError, KeyError, TypeError, ValueError):
        known = False
    if history != [] and not known:
        raise DataError(f"{path}: not the history.json of a training run; name the one in its run folder")
    return list(history)


def losses(history: Epochs) -> dict[str, Series]:
    """Return the cross-entropy of the score on training crops and on validation pictures, by epoch."""
    return {
        "training": _series(history, ("train_loss",), ("pooled_loss",)),
        "validation": _series(history, ("val_loss",), ("validation", "loss")),
    }


def accuracies(history: Epochs) -> dict[str, Series]:
    """Return the accuracy, 0..1, on training crops and on validation pictures, by epoch."""
    return {
        "training": _series(history, ("train_accuracy",), ("crop_accuracy",)),
        "validation": _series(history, ("val_accuracy",), ("validation", "accuracy")),
    }


def measures(history: Epochs) -> dict[str, Series]:
    """Return the other measures of validation by their name, such as ``val auroc``, by epoch."""
    names = {
        (split, name): None
        for entry in history
        for split, values in ((entry.get("validation") or {}).get("splits") or {}).items()
        for name in values
    }
    return {
        f"{split} {name}": _series(history, ("validation", "splits", split, name)) for split, name in names
    }


def _series(history: Epochs, *keys: tuple[str, ...]) -> Series:
    """Return the first value that each entry has under one of ``keys``, each a path into the entry."""
    found = []
    for entry in history:
        values = [value for key in keys if (value := _value(entry, key)) is not None]
        if values and math.isfinite(values[0]):
            found.append((int(entry["epoch"] if "epoch" in entry else entry["number"] + 1), float(values[0])))
    return found


def _value(entry: Mapping[str, Any], key: tuple[str, ...]) -> Any:
    value: Any = entry
    for name in key:
        value = None if value is None else value.get(name)
    return value
