"""What a replay has found: for each clip the visits in it, for each folder the pictures with a hornet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from hivewatch.daemon.replay import Replayed, Source
from hivewatch.domain.frames import Location
from hivewatch.domain.sightings import Sighting
from hivewatch.errors import CameraError


class Span(NamedTuple):
    """A visit in seconds of its clip: its first and its last vote, and its best picture."""

    start_s: float
    end_s: float
    best_s: float


@dataclass(frozen=True, slots=True)
class Hornet:
    """A hornet in a picture, or a visit of one in a clip; ``span`` is None in a picture.

    ``id`` is that of the sighting. ``score`` and ``location`` belong to the picture itself, or to the best
    one of the visit.
    """

    id: str
    file: str
    score: float
    location: Location
    span: Span | None


@dataclass(slots=True)
class Answer:
    """What was found in the source ``name``: a clip, the pictures of a folder, or one picture.

    ``frames`` of the ``length`` in the source were processed, ``gated`` of them held back for want of motion;
    ``unreadable`` ones were skipped. ``highest`` is the highest score. ``rejected`` holds the score of each
    picture without a hornet. ``error`` says why the source could not be replayed to its end.
    """

    name: str
    is_clip: bool
    length: int
    threshold: float
    hornets: list[Hornet] = field(default_factory=list)
    frames: int = 0
    gated: int = 0
    unreadable: int = 0
    duration_s: float = 0.0
    highest: float | None = None
    rejected: dict[str, float] = field(default_factory=dict)
    error: str | None = None

    @property
    def is_one_picture(self) -> bool:
        """Whether the source is a single picture."""
        return self.length == 1 and not self.is_clip

    def add(self, replayed: Replayed) -> None:
        """Count a frame."""
        frame, prediction = replayed.step.frame, replayed.step.prediction
        self.frames += 1
        self.duration_s = frame.monotonic_s * self.frames / max(1, self.frames - 1)
        if prediction is None:
            self.gated += 1
            return
        self.highest = max(self.highest or 0.0, prediction.score)
        if not self.is_clip and prediction.score < self.threshold:
            self.rejected[replayed.file] = prediction.score


class Findings:
    """Collects the answers while sources are replayed, in their order; ``ended`` counts the finished ones."""

    def __init__(self, sources: Sequence[Source], threshold: float) -> None:
        """``threshold``: the score from which a picture shows a hornet."""
        self.answers: list[Answer] = []
        self.ended = 0
        self._clips = {source.name for source in sources if source.is_clip}
        self._threshold = threshold
        self._open: Answer | None = None

    def add(self, replayed: Replayed) -> None:
        """Count a frame."""
        self._answer(replayed.source).add(replayed)

    @property
    def in_one_picture(self) -> bool:
        """Whether the source that is being replayed is a single picture."""
        return self._open is not None and self._open.is_one_picture

    def add_sighting(self, sighting: Sighting) -> Hornet:
        """Add the last event of a sighting; return what it found."""
        frame = sighting.best_frame
        span = _span(sighting) if frame.source in self._clips else None
        hornet = Hornet(sighting.id, frame.source, sighting.best.score, sighting.best.location, span)
        self.answers[-1].hornets.append(hornet)  # its frames have been counted already
        return hornet

    def end(self, source: Source, error: CameraError | None) -> Answer:
        """Return the answer for ``source``, which has been replayed or could not be."""
        answer = self._answer(source)
        self.ended += 1
        answer.error = None if error is None else str(error)
        if not source.is_clip:
            answer.unreadable = source.length - answer.frames
        self._open = None
        return answer

    def _answer(self, source: Source) -> Answer:
        if self._open is None:
            self._open = Answer(source.name, source.is_clip, source.length, self._threshold)
            self.answers.append(self._open)
        return self._open


def _span(sighting: Sighting) -> Span:
    frame = sighting.best_frame
    start_s, end_s = (
        frame.monotonic_s + (moment - frame.taken_at).total_seconds()
        for moment in (sighting.started_at, sighting.last_seen_at)
    )
    return Span(start_s, end_s, frame.monotonic_s)
