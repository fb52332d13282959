"""Factories of domain values for tests: every argument has a plausible default."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import cv2
import numpy as np

from hivewatch.domain.frames import WHOLE, Box, Frame, Location, Map, Pixels, Point, Prediction
from hivewatch.domain.sightings import ModelIdentity, Phase, Sighting

NOON = datetime(2026, 9, 14, 12, 0, 0, tzinfo=UTC)
BOX = Box(0.4, 0.3, 0.6, 0.5)
MODEL = ModelIdentity("test", "1.0", "ab" * 32)


def make_pixels(width_px: int = 64, height_px: int = 48, seed: int = 0) -> Pixels:
    """Return a picture of smooth noise, which compresses about as well as a photograph."""
    grain = np.random.default_rng(seed).normal(128, 60, (height_px // 4 + 1, width_px // 4 + 1, 3))
    soft = cv2.resize(grain.astype(np.float32), (width_px, height_px), interpolation=cv2.INTER_CUBIC)
    return soft.clip(0, 255).astype(np.uint8)


def make_frame(
    pixels: Pixels | None = None,
    at_s: float = 0.0,
    sequence: int = 0,
    source: str = "test camera",
    truth: tuple[Box, ...] | None = None,
    usable: bool = True,
) -> Frame:
    """Return a frame taken ``at_s`` seconds after noon."""
    taken_at = NOON + timedelta(seconds=at_s)
    return Frame(make_pixels() if pixels is None else pixels, taken_at, at_s, sequence, source, truth, usable)


def make_cam(box: Box | None = BOX, rows: int = 12, columns: int = 20) -> Map:
    """Return a map of logits with a peak in ``box``, or all below 0 without a box."""
    cam = np.full((rows, columns), -2.0, np.float32)
    if box is None:
        return cam
    x, y = np.meshgrid((np.arange(columns) + 0.5) / columns, (np.arange(rows) + 0.5) / rows)
    across, down = (
        (x - (box.x0 + box.x1) / 2) / (box.x1 - box.x0),
        (y - (box.y0 + box.y1) / 2) / (box.y1 - box.y0),
    )
    return (cam + 8.0 * np.exp(-4 * (across**2 + down**2))).astype(np.float32)


def make_prediction(
    score: float = 0.9, box: Box | None = BOX, cam: Map | None = None, extent: Box = WHOLE
) -> Prediction:
    """Return a prediction whose evidence is in ``box``."""
    peak = Point(0.5, 0.5) if box is None else Point((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2)
    return Prediction(score, make_cam(box) if cam is None else cam, extent, Location(peak, box))


def make_sighting(
    id: str = "visit1",  # noqa: A002  named as the field is
    phase: Phase = Phase.START,
    frame: Frame | None = None,
    prediction: Prediction | None = None,
    at_s: float = 2.0,
) -> Sighting:
    """Return an event of the sighting ``id``, ``at_s`` seconds after it started at noon."""
    return Sighting(
        id=id,
        phase=phase,
        at=NOON + timedelta(seconds=at_s),
        started_at=NOON,
        last_seen_at=NOON + timedelta(seconds=at_s),
        duration_s=at_s,
        score=0.8,
        best=make_prediction() if prediction is None else prediction,
        best_frame=make_frame() if frame is None else frame,
        votes_for=3,
        votes=4,
    )
