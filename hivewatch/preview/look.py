"""Looks at a frame as the daemon does, and puts what it finds into plain values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np

from hivewatch.camera.focus import BRIGHT, DARK, SHARP, light, sharpness
from hivewatch.config.sections import Config
from hivewatch.domain.frames import Frame, Pixels, Prediction, View
from hivewatch.errors import CameraError, StoreError
from hivewatch.messages.documents import iso
from hivewatch.messages.jpeg import encode_jpeg
from hivewatch.preview.board import Look
from hivewatch.system.stopwatch import Stopwatch
from hivewatch.vision.classifier import Classifier
from hivewatch.vision.motion import MotionGate
from hivewatch.vision.region import Region

# A phone shows no more, and a Raspberry Pi encodes it in some 5 ms.
_WIDTH_PX = 1280
_QUALITY = 80
_HEAT_LEVELS = 9
# The network was taught on hornets this large and larger (in pixels of what it is shown).
_SMALLEST_HORNET_PX = 25


class Looker:
    """The stages of the loop up to the classifier; nothing is decided, kept or sent."""

    def __init__(self, config: Config, classifier: Classifier, stopwatch: Stopwatch) -> None:
        """``config``: what is watched, and the thresholds that are shown; ``stopwatch``: the classifier's."""
        self._config = config
        self._classifier = classifier
        self._stopwatch = stopwatch
        self._region = Region(config.gate)
        self._gate = MotionGate(config.gate.motion)

    def look(self, frame: Frame, number: int) -> Look:
        """Return the look at ``frame``; raises ModelError, or CameraError where it cannot become a JPEG."""
        view = self._region.view(frame)
        narrowed = self._gate.filter(view) if frame.usable else None
        with self._stopwatch("predict"):
            prediction = None if narrowed is None else self._classifier.predict(narrowed)
        state = {
            "number": number,
            "hive": self._config.hive.name,
            "source": frame.source,
            "taken_at": iso(frame.taken_at),
            "width_px": frame.width_px,
            "height_px": frame.height_px,
            "usable": frame.usable,
            "region": self._watched(view),
            "focus": self._focus(frame, view),
            "motion": self._motion(narrowed),
            "hornet": None if prediction is None else self._hornet(prediction),
            "threshold": self._config.decision.threshold,
        }
        return Look(number, _jpeg(frame.pixels), state)

    def _watched(self, view: View) -> dict[str, Any]:
        """Say what is watched, and by how much the network's picture of it is smaller than the camera's."""
        gate = self._config.gate
        return {
            "watch": [_rounded_points(polygon) for polygon in gate.watch],
            "ignore": [_rounded_points(polygon) for polygon in gate.ignore],
            "extent": _rounded(view.extent),
            "scale": min(1.0, self._classifier.model.input_long_side_px / view.watched_px),
            "smallest_hornet_px": _SMALLEST_HORNET_PX,
        }

    def _focus(self, frame: Frame, view: View) -> dict[str, Any]:
        """Judge what is watched, as the camera gave it: painted places have edges of their own."""
        left, top, right, bottom = view.extent.pixels(frame.width_px, frame.height_px)
        pixels = frame.pixels[top:bottom, left:right]
        return {
            "sharpness": round(sharpness(pixels), 3),
            "sharp": SHARP,
            "light": round(light(pixels)),
            "dark": DARK,
            "bright": BRIGHT,
        }

    def _motion(self, narrowed: View | None) -> dict[str, Any]:
        motion = self._config.gate.motion
        return {
            "enabled": motion.enabled,
            "share": round(self._gate.changed_share, 5),
            "threshold": motion.changed_share,
            "window": None if narrowed is None else _rounded(narrowed.extent),
        }

    def _hornet(self, prediction: Prediction) -> dict[str, Any]:
        peak, box = prediction.location.peak, prediction.location.box
        return {
            "score": round(prediction.score, 3),
            "peak": _rounded(peak),
            "box": None if box is None else _rounded(box),
            "heat": _heat(prediction),
            "extent": _rounded(prediction.extent),
            "took_ms": round(self._stopwatch.durations_s["predict"][-1] * 1000),
        }


def _heat(prediction: Prediction) -> list[str]:
    """Return a row of digits for each row of the map: 9 is its peak, 0 is nothing."""
    cam = np.maximum(prediction.cam, 0.0)
    levels = np.rint(cam * (_HEAT_LEVELS / max(float(cam.max()), 1e-6))).astype(int)
    return ["".join(map(str, row)) for row in levels]


def _jpeg(pixels: Pixels) -> bytes:
    height, width = pixels.shape[:2]
    if width > _WIDTH_PX:
        size = (_WIDTH_PX, max(1, round(height * _WIDTH_PX / width)))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    try:
        return encode_jpeg(pixels, _QUALITY)
    except StoreError as error:
        raise CameraError(f"{error}") from error


def _rounded(values: Iterable[float]) -> list[float]:
    return [round(value, 4) for value in values]


def _rounded_points(polygon: Iterable[tuple[float, float]]) -> list[list[float]]:
    return [_rounded(point) for point in polygon]
