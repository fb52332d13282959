"""Results of an evaluation, as values, as JSON and as a table.

The names of fields are the keys of the JSON document.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hivewatch.training.evaluation.bootstrap import Measure


@dataclass(frozen=True, slots=True)
class Ranking:
    """How well scores separate frames with and without a hornet, and the measures at the threshold.

    ``false_alarms`` is the share of frames without a hornet that reach the threshold.
    """

    auroc: Measure
    average_precision: Measure
    recall_at_5_percent: Measure
    recall_at_1_percent: Measure
    calibration_error: Measure
    accuracy: Measure
    precision: Measure
    recall: Measure
    f1: Measure
    false_alarms: Measure


@dataclass(frozen=True, slots=True)
class Localization:
    """Localization on frames with boxed hornets, and the centre of the frame as baseline.

    ``box_accuracy`` is that of the model's own boxes, cut at its fixed level; ``max_box_accuracy`` is
    MaxBoxAccV2 (Choe et al. 2020): the best level for each IoU (0.3, 0.5, 0.7; ``at_iou`` holds the three
    shares and levels), and any region may match. ``centre_max_box_accuracy`` is the same for centre boxes of
    the best size.
    """

    pictures: int
    pointing: Measure
    box_accuracy: Measure
    max_box_accuracy: Measure
    at_iou: dict[str, tuple[float, float]]
    centre_pointing: Measure
    centre_max_box_accuracy: Measure


@dataclass(frozen=True, slots=True)
class Alarms:
    """The number of pictures of one kind of insect that reach the threshold."""

    alarms: int
    pictures: int
    share: Measure

    def __str__(self) -> str:
        return f"{self.alarms} of {self.pictures}: {self.share}"


@dataclass(frozen=True, slots=True)
class Report:
    """All measures of one group of pictures; ``drawn`` is the number of clusters of the bootstrap."""

    group: str
    pictures: int
    hornets: int
    drawn: int
    ranking: Ranking
    places: Localization | None
    called_hornet: dict[str, Alarms]

    def table(self) -> str:
        """Return the report as a table."""
        ranking = self.ranking
        rows = {
            "AUROC": ranking.auroc,
            "average precision": ranking.average_precision,
            "recall at 5 % false alarms": ranking.recall_at_5_percent,
            "recall at 1 % false alarms": ranking.recall_at_1_percent,
            "calibration error": ranking.calibration_error,
            "at the threshold: accuracy": ranking.accuracy,
            "  precision": ranking.precision,
            "  recall": ranking.recall,
            "  F1": ranking.f1,
            "  false alarms": ranking.false_alarms,
        }
        lines = [
            f"{self.group}: {self.pictures} pictures, {self.hornets} with a hornet; intervals over"
            f" {self.drawn} {'scenes' if self.drawn < self.pictures else 'pictures'}"
        ]
        lines += [f"  {name:30} {measure}" for name, measure in rows.items()]
        if self.places is not None:
            lines += _localization_lines(self.places)
        lines.append("  classified as hornet")
        lines += [f"    {name:28} {alarms}" for name, alarms in self.called_hornet.items()]
        return "\n".join(lines)

    def row(self) -> str:
        """Return the report as one row of the table under ``HEADING``."""
        ranking = self.ranking
        values = (ranking.auroc, ranking.recall, ranking.false_alarms, ranking.calibration_error)
        shown = "".join(f"{'-' if math.isnan(m.value) else f'{m.value:.3f}':>9}" for m in values)
        pointing = "-" if self.places is None else f"{self.places.pointing.value:.3f}"
        return f"  {self.group:70}{self.pictures:6}{self.hornets:8}{shown}{pointing:>9}"


HEADING = (
    f"  {'':70}{'all':>6}{'hornet':>8}{'AUROC':>9}{'recall':>9}{'false':>9}{'cal. err':>9}{'pointing':>9}"
)


@dataclass(frozen=True, slots=True)
class Summary:
    """The groups of one evaluation: parts of the ``split`` by kind of picture, by source and by scene."""

    threshold: float
    parts: Sequence[Report]
    sources: Sequence[Report]
    scenes: Sequence[Report]
    warnings: Sequence[str]
    split: str = ""

    def document(self) -> dict[str, Any]:
        """Return everything as plain values for JSON; None for what could not be measured."""
        document: dict[str, Any] = without_nan(asdict(self))
        return document

    def table(self) -> str:
        """Return a table: the parts in full, sources and scenes a line each."""
        blocks = [report.table() for report in self.parts]
        for title, reports in (("By source", self.sources), ("By scene", self.scenes)):
            if reports:
                blocks.append("\n".join([title, HEADING, *(report.row() for report in reports)]))
        if self.warnings:
            blocks.append("\n".join(["Warnings:", *(f"  {warning}" for warning in self.warnings)]))
        return "\n\n".join(blocks)


def without_nan(value: Any) -> Any:
    """Return plain values with None in place of NaN, which JSON lacks."""
    if isinstance(value, dict):
        return {name: without_nan(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _localization_lines(measured: Localization) -> list[str]:
    at = ", ".join(
        f"{share:.2f} at IoU {iou} (cut at {cut:.2f})" for iou, (share, cut) in measured.at_iou.items()
    )
    return [
        f"  of {measured.pictures} boxed: peak on a hornet   {measured.pointing}",
        f"    centre of the frame          {measured.centre_pointing}",
        f"  box accuracy, the model's own  {measured.box_accuracy}",
        f"  MaxBoxAccV2                    {measured.max_box_accuracy}",
        f"    box in the centre            {measured.centre_max_box_accuracy}",
        f"    {at}",
    ]
