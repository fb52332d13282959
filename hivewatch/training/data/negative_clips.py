"""Read frames of negative clips (hives without hornets), from which false alarms are mined."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from hivewatch.camera.sources.clip import ClipCamera
from hivewatch.domain.frames import Frame
from hivewatch.errors import CameraError
from hivewatch.training.data.dataset import Picture, Shot, shrink

STEP_S = 1.0
"""Time between two frames used; in less time the bees hardly change."""
MOST_FRAMES = 300
FALLBACK_RATE_HZ = 25.0


def negative_clip_shots(clips: Sequence[Path], long_side_px: int) -> tuple[list[Shot], list[str]]:
    """Return a frame per second of each clip, ``MOST_FRAMES`` at most, and a sentence per unreadable clip."""
    shots: list[Shot] = []
    problems = []
    for clip in clips:
        try:
            shots += [_shot(clip, frame, long_side_px) for frame in _sampled_frames(clip)]
        except CameraError as error:
            problems.append(str(error))
    return shots, problems


def _sampled_frames(clip: Path) -> Iterator[Frame]:
    next_s, taken = 0.0, 0
    frames = ClipCamera(clip, fallback_rate_hz=FALLBACK_RATE_HZ, paced=False).frames(threading.Event())
    try:
        for frame in frames:
            if frame.monotonic_s >= next_s:
                yield frame
                next_s, taken = frame.monotonic_s + STEP_S, taken + 1
            if taken == MOST_FRAMES:
                break
    finally:
        frames.close()


def _shot(clip: Path, frame: Frame, long_side_px: int) -> Shot:
    path = clip.with_name(f"{clip.name}, {frame.monotonic_s:.1f} s")
    return Picture(path, False, "none", "hive", clip.stem, "train"), shrink(frame.pixels, long_side_px)
