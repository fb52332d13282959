"""The sections of the stages from frame to decision: gate, classifier, decision."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from hivewatch.config.base import (
    Contradiction,
    OptionalFile,
    Polygon,
    Seconds,
    Section,
    Share,
    TimeLimit,
)


class MotionConfig(Section):
    """Which frames are worth classifying."""

    enabled: bool = Field(default=True, description="Classify only frames in which something moves.")
    narrow: bool = Field(
        default=True,
        description="Classify only the part of the watched area that moves, with a margin around it.",
    )
    difference: int = Field(
        default=18,
        ge=1,
        le=255,
        description="A pixel has changed if it differs from the background by this much, grey levels.",
    )
    changed_share: float = Field(
        default=0.0005,
        gt=0,
        le=1,
        description="Share of the watched area that must have changed to count as motion.",
    )
    hold_s: Seconds = Field(
        default=3.0, description="Keep classifying for this long after the last motion, seconds."
    )
    look_anyway_s: TimeLimit = Field(
        default=30.0, description="Classify a frame at least this often without any motion, seconds."
    )


class GateConfig(Section):
    """Which part of the picture is watched, and when."""

    watch: tuple[Polygon, ...] = Field(
        default=(), description="Polygons to watch, points [x, y] from 0 to 1; empty means the whole picture."
    )
    ignore: tuple[Polygon, ...] = Field(
        default=(), description="Polygons to ignore: moving grass, a path, a neighbour's hive."
    )
    motion: MotionConfig = MotionConfig()


class ClassifierConfig(Section):
    """The model that recognises a hornet."""

    model: OptionalFile = Field(
        default=None, description="TorchScript model file; if left out, the released model is used."
    )
    allow_writable_model: bool = Field(
        default=False, description="Run the model file even if other users of this machine can change it."
    )
    precision: Literal["float", "int8"] = Field(
        default="float", description="Which released model to use: float or int8."
    )
    threads: int = Field(
        default=0, ge=0, le=64, description="Processor threads for the network; 0 lets PyTorch choose."
    )

    def contradictions(self) -> Iterator[Contradiction]:
        """Yield every contradiction between these options."""
        if self.model is not None and self.precision != "float":
            sentence = "precision chooses between the released models; leave it out beside a model"
            yield Contradiction(("precision", "model"), sentence)


class DecisionConfig(Section):
    """When predictions amount to a sighting."""

    threshold: Share = Field(
        default=0.8, description="A frame votes for a hornet at or above this score, 0 to 1."
    )
    release: Share = Field(
        default=0.65,
        description="During a sighting a frame votes for a hornet at or above this score, 0 to threshold.",
    )
    votes: int = Field(
        default=3, ge=1, le=20, description="A sighting starts with this many votes for a hornet."
    )
    out_of: int = Field(
        default=5, ge=1, le=20, description="Votes are counted over this many classified frames."
    )
    window_s: TimeLimit = Field(default=10.0, description="Votes older than this do not count, seconds.")
    quiet_s: TimeLimit = Field(
        default=15.0, description="A sighting ends after this long without enough votes, seconds."
    )
    cool_down_s: Seconds = Field(
        default=30.0, description="No sighting starts for this long after one has ended, seconds."
    )
    update_gain: Share = Field(
        default=0.05, description="A better picture is sent once the score has risen by this much."
    )
    update_every_s: Seconds = Field(
        default=5.0, description="Shortest time between two pictures of a sighting, seconds."
    )

    def contradictions(self) -> Iterator[Contradiction]:
        """Yield every contradiction between these options."""
        if self.release > self.threshold:
            yield Contradiction(("release", "threshold"), "release must not be above threshold")
        if self.votes > self.out_of:
            yield Contradiction(("votes", "out_of"), "votes must not be more than out_of")
