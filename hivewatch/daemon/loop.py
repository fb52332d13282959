"""The loop: a frame arrives, passes the gate, is classified and counted, and sightings are recorded."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from hivewatch.config.sections import Config, DecisionConfig
from hivewatch.domain.frames import Frame, Prediction
from hivewatch.domain.sightings import Sighting
from hivewatch.errors import CameraError
from hivewatch.system.stopwatch import Stopwatch
from hivewatch.vision.classifier import Classifier
from hivewatch.vision.decision import Decider
from hivewatch.vision.motion import MotionGate
from hivewatch.vision.region import Region

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One processed frame; ``prediction`` is None if the gate held the frame back or the loop is paused."""

    frame: Frame
    prediction: Prediction | None


class _Pace:
    """Tells when frames come too slowly for enough votes to fall within ``decision.window_s``."""

    def __init__(self, config: DecisionConfig) -> None:
        self.config = config
        self._last_s: float | None = None
        self._step_s = 0.0
        self._slow = 0  # steps in a row that are too long
        self._was_fast = False
        self._told = False

    def add(self, at_s: float) -> None:
        """Add a frame; warn once if as many steps in a row as it takes votes are too long."""
        if self._last_s is not None:
            self._step_s = at_s - self._last_s
            is_slow = self._step_s * (self.config.votes - 1) > self.config.window_s
            self._slow = self._slow + 1 if is_slow else 0
            self._was_fast = self._was_fast or not is_slow
        self._last_s = at_s
        if self._slow >= self.config.votes:
            self._tell()

    def finish(self) -> None:
        """Warn of a source with few frames, all of them too far apart."""
        if self._slow and not self._was_fast:
            self._tell()

    def _tell(self) -> None:
        if not self._told:
            self._told = True
            log.warning(
                "frames are %.0f s apart, so %d votes cannot fall within decision.window_s (%g s), and no"
                " sighting can start; raise decision.window_s, or set decision.votes to 1",
                *(self._step_s, self.config.votes, self.config.window_s),
            )


class Loop:
    """The stages, in the order of the data flow."""

    def __init__(
        self,
        config: Config,
        classifier: Classifier,
        record: Callable[[Sighting], None],
        stopwatch: Stopwatch,
        *,
        live: bool = False,
    ) -> None:
        """``record`` is called for every sighting event. ``live``: this machine's clock dates the frames."""
        self.classifier = classifier
        self.paused = False
        self._region = Region(config.gate)
        self._gate = MotionGate(config.gate.motion)
        self._decider = Decider(config.decision, live=live)
        self._pace = _Pace(config.decision)
        self._record = record
        self._stopwatch = stopwatch

    def configure(self, config: Config) -> None:
        """Use other regions and thresholds; the learnt background, the votes and an open sighting stay."""
        self._region = Region(config.gate)
        self._gate.configure(config.gate.motion)
        self._decider.configure(config.decision)
        self._pace.config = config.decision

    def run(self, frames: Iterable[Frame]) -> Iterator[Step]:
        """Process ``frames`` and yield each one; end an open sighting when they end or the camera fails.

        An unusable frame has no vote, and the background does not learn from it. While ``paused`` no frame is
        classified, but the background learns. Raises what the stages raise.
        """
        try:
            for frame in self._stopwatch.iterate("capture", frames):
                yield self._process(frame)
        except CameraError:
            self.end_sighting()
            raise
        self._pace.finish()
        self.end_sighting()

    def end_sighting(self) -> None:
        """End the open sighting, if there is one: it is unknown whether the hornet is still there."""
        self._record_all(self._decider.finish())

    def pause(self) -> None:
        """Classify no frame until ``resume``; an open sighting ends."""
        self.paused = True
        self.end_sighting()

    def resume(self) -> None:
        """Classify frames again."""
        self.paused = False

    def _process(self, frame: Frame) -> Step:
        self._pace.add(frame.monotonic_s)
        with self._stopwatch("gate"):
            view = self._region.view(frame)
            moving = self._gate.filter(view) if frame.usable else None
        prediction = None
        if moving is not None and not self.paused:
            prediction = self.classifier.predict(moving)
        with self._stopwatch("decide"):
            if prediction is None:
                sightings = self._decider.no_vote(frame)
            else:
                sightings = self._decider.vote(frame, prediction)
        self._record_all(sightings)
        return Step(frame, prediction)

    def _record_all(self, sightings: list[Sighting]) -> None:
        for sighting in sightings:
            self._record(sighting)
