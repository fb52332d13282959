"""The commands train, evaluate and export. Each imports what it needs when it runs."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hivewatch.cli.extras import needs_extra

if TYPE_CHECKING:
    from hivewatch.training.evaluation.evaluate import Result
    from hivewatch.training.evaluation.figures import Figures
    from hivewatch.training.evaluation.history import Epochs

AddConfig = Callable[[argparse.ArgumentParser], None]
"""Adds the option --config to a command."""

OVERRIDES = ("epochs", "batch", "learning_rate", "seed", "frozen")
"""Options of ``train`` that replace those of the recipe."""


def add_commands(commands: Any, add_config: AddConfig) -> None:
    """Add the commands to ``commands``, the result of argparse's ``add_subparsers``."""
    _add_train(commands.add_parser("train", help="fine-tune the network on labelled pictures"))
    _add_evaluate(
        commands.add_parser("evaluate", help="measure a model on labelled pictures and on clips"),
        add_config,
    )
    _add_export(commands.add_parser("export", help="make a model file from a training checkpoint"))


def _add_train(train: argparse.ArgumentParser) -> None:
    train.add_argument("data", type=Path, metavar="DATA", help="folder with train and val, or an index.csv")
    train.add_argument("--recipe", type=Path, metavar="FILE", help="training recipe (default: built in)")
    train.add_argument(
        "--weights",
        help="'imagenet', or a file to start from: ResNet18 weights, a checkpoint or a model (default:"
        " imagenet if it can be downloaded, else the released model)",
    )
    options = train.add_argument_group("in place of the recipe's")
    options.add_argument("--epochs", type=int, metavar="N", help="how often to go through the pictures")
    options.add_argument("--batch", type=int, metavar="N", help="crops per training step")
    options.add_argument("--learning-rate", type=float, metavar="RATE", help="peak learning rate of the body")
    options.add_argument("--seed", type=int, metavar="N", help="start of the random numbers")
    options.add_argument(
        "--frozen",
        type=_layers,
        metavar="LAYERS",
        help="layers that keep their weights, such as conv1,bn1; none",
    )
    train.add_argument("--out", type=Path, default=Path("runs/latest"), metavar="DIR", help="run folder")
    train.add_argument("--resume", action="store_true", help="resume the interrupted run in --out")
    train.set_defaults(command=_train, usage_error=train.error)


def _add_evaluate(evaluate: argparse.ArgumentParser, add_config: AddConfig) -> None:
    evaluate.add_argument("data", nargs="?", type=Path, metavar="DATA", help="pictures, as for train")
    evaluate.add_argument("--split", help="split to measure (default: val, or test if there is no val)")
    evaluate.add_argument(
        "--uncorrected", action="store_true", help="do not apply the label corrections in corrections.csv"
    )
    evaluate.add_argument("--figures", type=Path, metavar="DIR", help="draw figures into this folder")
    evaluate.add_argument(
        "--history", type=Path, metavar="FILE", help="history.json of a training run, to draw its curves, too"
    )
    evaluate.add_argument(
        "--clips",
        nargs="+",
        type=Path,
        default=[],
        metavar="CLIP",
        help="run clips through the daemon's loop",
    )
    evaluate.add_argument(
        "--truth", type=Path, metavar="FILE", help="CSV table file,start_s,end_s: when a hornet is in view"
    )
    evaluate.add_argument("--model", type=Path, metavar="FILE", help="model file (default: the configured)")
    add_config(evaluate)
    evaluate.add_argument("--json", action="store_true", help="print one JSON document")
    evaluate.set_defaults(command=_evaluate, usage_error=evaluate.error)


def _add_export(export: argparse.ArgumentParser) -> None:
    export.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="best.ckpt of a training run")
    export.add_argument(
        "data", type=Path, metavar="DATA", help="the training data; its split val calibrates the score"
    )
    export.add_argument("model", type=Path, metavar="MODEL", help="file to write")
    export.add_argument(
        "--average-with",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="average the weights with those of another checkpoint or model with the same start weights",
    )
    export.add_argument(
        "--name", default="hivewatch-resnet18", help="name of the model (default: %(default)s)"
    )
    export.add_argument("--version", default="0", help="version of the model")
    export.add_argument("--training-data", default="not stated", help="description of the training data")
    export.add_argument("--licence", default="not stated", help="licence of the weights")
    export.add_argument(
        "--int8",
        action="store_true",
        help="also write MODEL-int8.pt, the quantised network",
    )
    export.set_defaults(command=_export)


@needs_extra("train", "torchvision", "matplotlib")
def _train(arguments: argparse.Namespace) -> int:
    from hivewatch.training.recipe import Recipe, override, read_recipe
    from hivewatch.training.train import train

    given = {name: value for name in OVERRIDES if (value := getattr(arguments, name)) is not None}
    if arguments.resume and given:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        arguments.usage_error(
            f"--resume continues with the recipe of the interrupted run; leave out {options}"
        )
    recipe = override(read_recipe(arguments.recipe) if arguments.recipe else Recipe(), given)
    weights = arguments.weights if arguments.weights in (None, "imagenet") else Path(arguments.weights)
    report = partial(print, flush=True)
    checkpoint = train(
        arguments.data, recipe, arguments.out, weights=weights, resume=arguments.resume, report=report
    )
    print(f"best checkpoint: {checkpoint}")
    print(_draw_curves(checkpoint.parent))
    return 0


def _layers(text: str) -> tuple[str, ...]:
    return () if text == "none" else tuple(name.strip() for name in text.split(","))


@needs_extra("train")
def _evaluate(arguments: argparse.Namespace) -> int:
    from hivewatch.config.reader import load
    from hivewatch.config.sections import Config
    from hivewatch.training.evaluation.clip_truth import read_truth
    from hivewatch.training.evaluation.clips import measure_clips
    from hivewatch.training.evaluation.evaluate import evaluate
    from hivewatch.training.evaluation.history import read_history
    from hivewatch.vision.classifier import load_configured

    if arguments.history and not arguments.figures:
        arguments.usage_error("--history is drawn as a figure: it needs --figures DIR")
    if arguments.data is None and not arguments.clips:
        arguments.usage_error("evaluate needs DATA, --clips, or both")
    if arguments.data is None and (arguments.figures or arguments.history):
        arguments.usage_error("figures are drawn from pictures: --figures and --history need DATA")
    config = load(arguments.config, needs_camera=False) if arguments.config else Config()
    truth = read_truth(arguments.truth) if arguments.truth else None
    history = read_history(arguments.history) if arguments.history else []
    draw = _figures(history, arguments.figures) if arguments.figures else None
    file = arguments.model or config.classifier.model
    classifier = load_configured(config.classifier.model_copy(update={"model": file}))
    model = classifier.model
    document: dict[str, Any] = {
        "model": {"name": model.name, "version": model.version, "sha256": model.sha256}
    }
    tables = []
    if arguments.data is not None:
        corrected, threshold = not arguments.uncorrected, config.decision.threshold
        summary, results = evaluate(
            arguments.data, classifier, split=arguments.split, threshold=threshold, corrected=corrected
        )
        tables.append(summary.table())
        document |= {"corrected": corrected} | summary.document()
        if draw is not None:
            figures = draw(results, threshold)
            tables.append(str(figures))
            document |= {"figures": figures.document()}
    if arguments.clips:
        clips = measure_clips(arguments.clips, config, classifier, truth)
        tables.append(clips.table())
        document |= {"clips": clips.document()}
    print(json.dumps(document, indent=2) if arguments.json else "\n\n".join(tables))
    return 0


def _figures(history: Epochs, folder: Path) -> Callable[[Sequence[Result], float], Figures]:
    """Return what draws the figures of an evaluation; a missing library or folder is an error at once."""
    from hivewatch.training.evaluation.figures import draw_figures, open_folder

    open_folder(folder)
    return lambda results, threshold: draw_figures(history, results, folder, threshold)


def _draw_curves(run: Path) -> str:
    """Draw the curves of a run into its folder; return the line to print."""
    from hivewatch.training.evaluation.curves import draw_curves
    from hivewatch.training.evaluation.history import read_history
    from hivewatch.training.run import HISTORY

    drawn = draw_curves(read_history(run / HISTORY), run / "curves.png")
    return f"figure: {drawn}" if drawn else "curves.png was not drawn: no epoch has ended"


@needs_extra("train", "torchvision", "matplotlib")
def _export(arguments: argparse.Namespace) -> int:
    from hivewatch.training.export import Description
    from hivewatch.training.release import release

    description = Description(
        name=arguments.name,
        version=arguments.version,
        box_level=1.0,
        training_data=arguments.training_data,
        licence=arguments.licence,
    )
    model: Path = arguments.model
    int8 = model.with_stem(f"{model.stem}-int8") if arguments.int8 else None
    released = release(arguments.checkpoint, arguments.data, model, description, int8, arguments.average_with)
    files = f"{model}" if int8 is None else f"{model}, {int8}"
    print(f"{files}: {released.name} {released.version}, box level {released.box_level:.2f}")
    return 0
