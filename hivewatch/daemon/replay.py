"""Runs files through the daemon's own loop, as fast as it can process them.

A clip is taken at ``camera.rate_hz`` of its own time, as the daemon takes it, so its votes and visits are the
daemon's. Pictures carry no time, so no vote may join two of them: each is judged by itself.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from hivewatch.camera.base import Camera
from hivewatch.camera.sources.clip import CLIP_SUFFIXES, ClipCamera, stated_length
from hivewatch.camera.sources.folder import PICTURE_SUFFIXES, FolderCamera, natural_order
from hivewatch.config.sections import Config, MotionConfig, MqttConfig
from hivewatch.daemon.loop import Loop, Step
from hivewatch.daemon.recorder import Recorder
from hivewatch.errors import CameraError, PublishError
from hivewatch.vision.classifier import Classifier

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Source:
    """One clip, or the pictures of one folder. ``name`` is the path of the clip, folder or only picture.

    ``length`` is the number of frames to process, 0 if a clip does not state it.
    """

    camera: Camera
    length: int
    is_clip: bool
    name: str


OnEnd = Callable[[Source, CameraError | None], None]
"""Called once a source has been replayed, with the error that ended it early, if any."""


@dataclass(frozen=True, slots=True, eq=False)
class Replayed:
    """A processed frame of ``source``; ``number`` is its index in ``file``, from 0."""

    source: Source
    file: str
    number: int
    step: Step

    def document(self) -> dict[str, Any]:
        """Return this frame's line of JSON; coordinates are normalised to the full frame."""
        prediction = self.step.prediction
        location = prediction.location if prediction else None
        return {
            "file": self.file,
            "frame": self.number,
            "score": prediction.score if prediction else None,
            "peak": location.peak if location else None,
            "box": location.box if location else None,
            "gated": prediction is None,
        }


def find_sources(paths: Sequence[Path], rate_hz: float) -> list[Source]:
    """Return the sources to replay, in order; folders are searched recursively, hidden files skipped.

    ``rate_hz``: frames per second of its own time that are taken from a clip. Raises CameraError for a path
    that does not exist, is neither picture nor clip, or contains none.
    """
    files = [file for path in paths for file in _files(path)]
    sources = []
    for (is_clip, folder), group in groupby(files, key=lambda file: (_is_clip(file), file.parent)):
        members = list(group)
        if is_clip:
            sources += [_clip(file, rate_hz) for file in members]
        else:
            pictures = FolderCamera(members, rate_hz=rate_hz, paced=False)
            name = str(members[0] if len(members) == 1 else folder)
            sources.append(Source(pictures, len(members), False, name))
    return sources


def adapted(config: Config, directory: Path | None, *, ungated: bool) -> Config:
    """Return ``config`` with another store ``directory`` and, if ``ungated``, without the motion gate."""
    if directory is not None:
        config = config.model_copy(update={"store": config.store.model_copy(update={"directory": directory})})
    return _without_motion_gate(config) if ungated else config


def replay(
    sources: Sequence[Source],
    config: Config,
    classifier: Classifier,
    recorder: Recorder,
    on_end: OnEnd = lambda _source, _error: None,
) -> Iterator[Replayed]:
    """Yield every frame of ``sources``; no sighting spans two clips or two pictures.

    A source that cannot be read is logged and skipped; CameraError is raised once the others are replayed.
    """
    failed = []
    for source in sources:
        ended_by = None
        try:
            for step in _steps(source, config, classifier, recorder):
                number = step.frame.sequence if source.is_clip else 0
                yield Replayed(source, step.frame.source, number, step)
        except CameraError as error:
            log.error("%s", error)  # noqa: TRY400  the sentence says it all
            failed.append(source.name)
            ended_by = error
        on_end(source, ended_by)
    if failed:
        raise CameraError(
            f"{len(failed)} of {len(sources)} sources could not be replayed: {', '.join(failed)}"
        )


def _steps(source: Source, config: Config, classifier: Classifier, recorder: Recorder) -> Iterator[Step]:
    frames = source.camera.frames(threading.Event())
    if source.is_clip:
        yield from Loop(config, classifier, recorder.record, recorder.stopwatch).run(frames)
        return
    config = _alone(config)
    for frame in frames:
        yield from Loop(config, classifier, recorder.record, recorder.stopwatch).run([frame])


def _alone(config: Config) -> Config:
    """Return ``config`` for pictures of which each is judged by itself: no motion gate, one vote of one."""
    decision = config.decision.model_copy(update={"votes": 1, "out_of": 1})
    return _without_motion_gate(config).model_copy(update={"decision": decision})


def _without_motion_gate(config: Config) -> Config:
    gate = config.gate.model_copy(update={"motion": MotionConfig(enabled=False)})
    return config.model_copy(update={"gate": gate})


def deliver(recorder: Recorder, mqtt: MqttConfig) -> None:
    """Wait until the broker has acknowledged everything; raises PublishError if it stops doing so."""
    publisher, store = recorder.publisher, recorder.store
    waiting = store.outbox_depth()
    while not publisher.drain(mqtt.acknowledge_timeout_s):
        publisher.check()
        before, waiting = waiting, store.outbox_depth()
        if waiting >= before:
            raise PublishError(
                f"the broker {mqtt.host}:{mqtt.port} has acknowledged nothing for"
                f" {mqtt.acknowledge_timeout_s:g} s: {waiting} messages wait in {store.directory}"
            )


def _files(path: Path) -> list[Path]:
    if not path.exists():
        raise CameraError(f"{path} does not exist: name pictures, clips or folders that contain them")
    if path.is_file():
        if not (_is_clip(path) or _is_picture(path)):
            raise CameraError(f"{path} is neither a picture nor a clip that hivewatch knows")
        return [path]
    inside = (file for file in path.rglob("*") if not _is_hidden(file.relative_to(path)))
    found = [file for file in inside if (_is_clip(file) or _is_picture(file)) and file.is_file()]
    if not found:
        raise CameraError(f"{path} contains no picture and no clip")
    return sorted(found, key=natural_order)


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _is_clip(path: Path) -> bool:
    return path.suffix.lower() in CLIP_SUFFIXES


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURE_SUFFIXES


def _clip(path: Path, rate_hz: float) -> Source:
    camera = ClipCamera(path, fallback_rate_hz=rate_hz, paced=False, rate_hz=rate_hz)
    frames, length_s = stated_length(path, rate_hz)
    return Source(camera, min(frames, math.ceil(length_s * rate_hz)), True, str(path))
