"""The loop: a frame comes in, is gated, classified, judged, and what it amounts to is recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from hivewatch.domain.frames import Frame, Prediction
from hivewatch.domain.sightings import Sighting
from hivewatch.errors import CameraError
from hivewatch.system.stopwatch import Stopwatch
from hivewatch.vision.classifier import Classifier
from hivewatch.vision.decision import Decider
from hivewatch.vision.motion import MotionGate
from hivewatch.vision.region import Region


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One finished frame; ``prediction`` is None where the gate held it back."""

    frame: Frame
    prediction: Prediction | None


@dataclass(slots=True)
class Watch:
    """The stages, in the order of the data. Each may be exchanged between two steps."""

    region: Region
    gate: MotionGate
    classifier: Classifier
    decider: Decider
    record: Callable[[Sighting], None]
    stopwatch: Stopwatch
    paused: bool = False

    def steps(self, frames: Iterable[Frame]) -> Iterator[Step]:
        """Work through ``frames``; an open sighting is ended when they end or the camera fails.

        A frame that is not usable is no vote, and the background does not learn from it. While ``paused`` no
        frame is classified, but the background learns.
        """
        try:
            for frame in self.stopwatch.iterate("capture", frames):
                yield self._step(frame)
        except CameraError:
            self.finish()
            raise
        self.finish()

    def finish(self) -> None:
        """End the open sighting, if any: nobody knows any more whether the hornet is there."""
        self._record(self.decider.finish())

    def pause(self) -> None:
        """Judge no frame from now on, until ``paused`` is false again."""
        self.paused = True
        self.finish()

    def _step(self, frame: Frame) -> Step:
        with self.stopwatch("gate"):
            view = self.region.view(frame)
            narrowed = self.gate.look(view) if frame.usable else None
        prediction = None
        if narrowed is not None and not self.paused:
            prediction = self.classifier.predict(narrowed)
        with self.stopwatch("decide"):
            if prediction is None:
                sightings = self.decider.no_vote(frame)
            else:
                sightings = self.decider.vote(frame, prediction)
        self._record(sightings)
        return Step(frame, prediction)

    def _record(self, sightings: list[Sighting]) -> None:
        for sighting in sightings:
            self.record(sighting)
