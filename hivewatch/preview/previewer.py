"""Inspects a frame as the daemon does, and returns the results as plain values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np

from hivewatch.camera.focus import BRIGHT, DARK, SHARP, light, sharpness
from hivewatch.config.sections import Config
from hivewatch.domain.frames import Frame, Pixels, Prediction, View
from hivewatch.errors import CameraError, StoreError
from hivewatch.messages.jpeg import encode_jpeg
from hivewatch.preview.latest import PreviewFrame
from hivewatch.system.stopwatch import Stopwatch
from hivewatch.vision.classifier import Classifier
from hivewatch.vision.motion import MotionGate
from hivewatch.vision.region import Region

# Enough for a phone, and a Raspberry Pi encodes it in about 5 ms.
_WIDTH_PX = 1280
_QUALITY = 80
_HEAT_LEVELS = 9
# The network was trained on hornets of this size and larger, in pixels of its input.
_SMALLEST_HORNET_PX = 25


class Previewer:
    """Runs the stages of the loop up to the classifier; decides, stores and sends nothing."""

    def __init__(self, config: Config, classifier: Classifier, stopwatch: Stopwatch) -> None:
        """Take what is watched and the thresholds to show from ``config``, times from ``stopwatch``."""
        self._config = config
        self._classifier = classifier
        self._stopwatch = stopwatch
        self._region = Region(config.gate)
        self._gate = MotionGate(config.gate.motion)

    def inspect(self, frame: Frame, number: int) -> PreviewFrame:
        """Return ``frame`` with its results; raises ModelError, or CameraError if JPEG encoding fails."""
        view = self._region.view(frame)
        narrowed = self._gate.filter(view) if frame.usable else None
        with self._stopwatch("predict"):
            prediction = None if narrowed is None else self._classifier.predict(narrowed)
        state = {
            "number": number,
            "hive": self._config.hive.name,
            "source": frame.source,
            "width_px": frame.width_px,
            "height_px": frame.height_px,
            "region": self._region_state(view),
            "focus": self._focus(frame, view),
            "motion": self._motion(narrowed),
            "hornet": None if prediction is None else self._hornet(prediction),
            "threshold": self._config.decision.threshold,
        }
        return PreviewFrame(number, _jpeg(frame.pixels), state)

    def _region_state(self, view: View) -> dict[str, Any]:
        """Return the watched region, and ``scale``: network input pixels per camera pixel."""
        gate = self._config.gate
        return {
            "watch": [_rounded_points(polygon) for polygon in gate.watch],
            "ignore": [_rounded_points(polygon) for polygon in gate.ignore],
            "scale": min(1.0, self._classifier.model.input_long_side_px / view.watched_px),
            "smallest_hornet_px": _SMALLEST_HORNET_PX,
        }

    def _focus(self, frame: Frame, view: View) -> dict[str, Any]:
        """Measure the watched region in the camera's own pixels: masked polygons would add sharp edges."""
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
    """Return a string of digits for each row of the map: 9 is its peak, 0 no evidence."""
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
