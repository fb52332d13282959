"""Runs files through the daemon's own loop, as fast as it can process them.

A clip is taken at ``camera.rate_hz`` of its own time, as the daemon takes it, so its votes and visits are the
daemon's. Pictures carry no time, so no vote may join two of them: each is judged by itself.
"""

from __future__ import annotations

import logging
import math
import os
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hivewatch.camera.base import Camera
from hivewatch.camera.sources.clip import ClipCamera, stated_length
from hivewatch.camera.sources.files import CLIP_SUFFIXES, PICTURE_SUFFIXES, list_readable
from hivewatch.camera.sources.folder import FolderCamera
from hivewatch.config.sections import Config, MotionConfig, MqttConfig
from hivewatch.daemon.loop import Loop, Step
from hivewatch.daemon.recorder import Recorder
from hivewatch.domain.names import printable
from hivewatch.errors import CameraError, PublishError
from hivewatch.vision.classifier import Classifier

_READ = PICTURE_SUFFIXES | CLIP_SUFFIXES

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
    """Return the sources to replay, in order; folders are searched recursively, see ``list_readable``.

    The pictures of a folder are one source, also if there are clips among them. A file is replayed once, even
    if it is named twice or linked to. What was passed over is logged.

    ``rate_hz``: frames per second of its own time that are taken from a clip. Raises CameraError for a path
    that does not exist, is neither picture nor clip, contains none, or cannot be listed.
    """
    files = _once([file for path in paths for file in _files(path)])
    folders: dict[Path, list[Path]] = {}
    for file in files:
        if not _is_clip(file):
            folders.setdefault(file.parent, []).append(file)
    sources = []
    for file in files:
        if _is_clip(file):
            sources.append(_clip(file, rate_hz))
        elif members := folders.pop(file.parent, None):  # those of one folder are one source, at its first
            sources.append(_pictures(members, rate_hz))
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


def _files(path: Path) -> Sequence[Path]:
    name = printable(path)
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except FileNotFoundError as error:
        raise CameraError(
            f"{name} does not exist: name pictures, clips or folders that contain them"
        ) from error
    except OSError as error:
        raise CameraError(f"{name} cannot be read: {error.strerror}") from error
    if not is_folder:
        if path.suffix.lower() not in _READ:
            raise CameraError(f"{name} is neither a picture nor a clip that hivewatch knows")
        return [path]
    listing = list_readable(path)
    passed_over = listing.passed_over(_READ)
    if not listing.files:
        raise CameraError(f"{name} contains no picture and no clip{passed_over and f'; {passed_over}'}")
    if passed_over:
        log.warning("%s: %s, which are neither pictures nor clips that hivewatch knows", name, passed_over)
    return listing.files


def _once(files: Sequence[Path]) -> list[Path]:
    """Return the files without those that are there twice, by another path or a link."""
    once: dict[str, Path] = {}
    for file in files:
        once.setdefault(os.path.realpath(file), file)
    if len(once) < len(files):
        log.warning("%d files are named more than once, and replayed once", len(files) - len(once))
    return list(once.values())


def _is_clip(path: Path) -> bool:
    return path.suffix.lower() in CLIP_SUFFIXES


def _clip(path: Path, rate_hz: float) -> Source:
    camera = ClipCamera(path, fallback_rate_hz=rate_hz, paced=False, rate_hz=rate_hz)
    frames, length_s = stated_length(path, rate_hz)
    return Source(camera, min(frames, math.ceil(length_s * rate_hz)), True, camera.name)


def _pictures(files: Sequence[Path], rate_hz: float) -> Source:
    camera = FolderCamera(files, rate_hz=rate_hz, paced=False)
    name = printable(files[0] if len(files) == 1 else files[0].parent)
    return Source(camera, len(files), False, name)
