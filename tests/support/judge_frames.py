"""Print the predictions of model files for frames as JSON: judge_frames.py FRAMES.npz MODEL...

Runs inside the emulated tree and outside it, with only the run-time dependencies of hivewatch. Each frame is
treated as part of one of 1280 pixels, so the network sees it at its usual scale.
"""

from __future__ import annotations

import json
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from hivewatch.domain.frames import WHOLE, Frame, View
from hivewatch.vision.classifier import load_classifier

WATCHED_PX = 1280

torch.manual_seed(0)
with np.load(sys.argv[1]) as archive:
    frames = [archive[name] for name in archive.files]
judged = {}
for path in map(Path, sys.argv[2:]):
    classifier = load_classifier(path, threads=0)
    predictions = []
    for number, pixels in enumerate(frames):
        frame = Frame(pixels, datetime.now(UTC), float(number), number, "test")
        prediction = classifier.predict(View(frame, pixels, WHOLE, WATCHED_PX))
        predictions.append({"score": prediction.score, "cam": prediction.cam.tolist()})
    judged[path.name] = predictions
document = {
    "machine": platform.machine(),
    "torch": torch.__version__,
    "engine": torch.backends.quantized.engine,
    "judged": judged,
}
print(json.dumps(document))
