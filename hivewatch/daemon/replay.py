"""Runs files through the daemon's own loop, as fast as it can process them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import cv2

from hivewatch.camera.base import Camera
from hivewatch.camera.sources.clip import CLIP_SUFFIXES, ClipCamera
from hivewatch.camera.sources.folder import PICTURE_SUFFIXES, FolderCamera, natural_order
from hivewatch.camera.sources.opencv import prepare_opencv
from hivewatch.config.sections import Config, MotionConfig, MqttConfig
from hivewatch.daemon.loop import Loop, Step
from hivewatch.daemon.recorder import Recorder
from hivewatch.errors import CameraError, PublishError
from hivewatch.vision.classifier import Classifier

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Source:
    """Files that follow each other in time: one clip, or the pictures of one folder; ``length`` in frames."""

    camera: Camera
    length: int
    is_clip: bool


@dataclass(frozen=True, slots=True, eq=False)
class Replayed:
    """A processed frame and its position: ``number`` counts the frames of ``file`` from 0."""

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

    ``rate_hz``: pictures per second, since pictures carry no rate. Raises CameraError for a path that does
    not exist, is neither picture nor clip, or contains none.
    """
    files = [file for path in paths for file in _files(path)]
    sources = []
    for (is_clip, _), group in groupby(files, key=lambda file: (_is_clip(file), file.parent)):
        members = list(group)
        if is_clip:
            sources += [Source(_clip(file, rate_hz), _stated_frames(file), True) for file in members]
        else:
            pictures = FolderCamera(members, rate_hz=rate_hz, paced=False)
            sources.append(Source(pictures, len(members), False))
    return sources


def adapted(config: Config, directory: Path | None, *, ungated: bool) -> Config:
    """Return ``config`` with another store ``directory`` and, if ``ungated``, without the motion gate."""
    if directory is not None:
        config = config.model_copy(update={"store": config.store.model_copy(update={"directory": directory})})
    if ungated:
        gate = config.gate.model_copy(update={"motion": MotionConfig(enabled=False)})
        config = config.model_copy(update={"gate": gate})
    return config


def replay(
    sources: Sequence[Source], config: Config, classifier: Classifier, recorder: Recorder
) -> Iterator[Replayed]:
    """Yield every frame of ``sources``, each source through a loop of its own: no sighting spans two.

    A source that cannot be read is logged and skipped; CameraError is raised once the others are replayed.
    """
    failed = []
    never = threading.Event()
    for source in sources:
        loop = Loop(config, classifier, recorder.record, recorder.stopwatch)
        try:
            for step in loop.run(source.camera.frames(never)):
                yield Replayed(step.frame.source, step.frame.sequence if source.is_clip else 0, step)
        except CameraError as error:
            log.error("%s", error)  # noqa: TRY400  the sentence says it all
            failed.append(source.camera.name)
    if failed:
        raise CameraError(
            f"{len(failed)} of {len(sources)} sources could not be replayed: {', '.join(failed)}"
        )


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


def _clip(path: Path, rate_hz: float) -> ClipCamera:
    return ClipCamera(path, fallback_rate_hz=rate_hz, paced=False)


def _stated_frames(path: Path) -> int:
    """Return the number of frames stated by the file, 0 if it states none; enough for a progress bar."""
    prepare_opencv()
    capture = cv2.VideoCapture(str(path))
    count = max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
    capture.release()
    return count
