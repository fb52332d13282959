"""hivewatch with the instruction set of a Raspberry Pi 4: what it computes, and a sighting end to end."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from support.brokers import Broker, Subscriber, wait_until
from support.emulated_pi import OLDEST_TORCH, PYTHON, emulated_pi
from support.paths import PROJECT, SUPPORT

from hivewatch.domain.frames import WHOLE, Pixels
from hivewatch.training.data.cutouts import Shot
from hivewatch.training.data.simulated import simulated_shots
from hivewatch.vision.trust import RELEASED_MODEL

pytestmark = [pytest.mark.integration, pytest.mark.timeout(7200)]

CROP_PX = (320, 192)
EMULATED_LIMIT_S = 1800.0
THRESHOLD = 0.8
INT8 = RELEASED_MODEL.with_stem(f"{RELEASED_MODEL.stem}-int8")
# Under qemu, the threads of torch burn most of their time waiting for each other.
ENVIRONMENT = {"PYTHONPATH": "/opt/hivewatch", "OMP_NUM_THREADS": "1"}


def crop(shot: Shot) -> Pixels:
    """Cut out the surroundings of the hornet, or the middle if there is none: emulation is slow."""
    picture, pixels = shot
    height_px, width_px, _ = pixels.shape
    box = picture.insects[0].box if picture.insects else WHOLE
    left, top = (
        int(np.clip(middle - size / 2, 0, whole - size))
        for middle, size, whole in (
            ((box.x0 + box.x1) / 2 * width_px, CROP_PX[0], width_px),
            ((box.y0 + box.y1) / 2 * height_px, CROP_PX[1], height_px),
        )
    )
    return np.ascontiguousarray(pixels[top : top + CROP_PX[1], left : left + CROP_PX[0]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with simulated frames, with and without a hornet, and the released model files."""
    folder = tmp_path_factory.mktemp("emulated")
    shots = simulated_shots(24, seed=5, scenes=2)
    hornets = [shot for shot in shots if shot[0].insects]
    others = [shot for shot in shots if not shot[0].insects]
    frames = [crop(shot) for shot in (hornets[0], hornets[-1], others[0], others[-1])]
    np.savez(folder / "frames.npz", *frames)
    for file in (RELEASED_MODEL, INT8):
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def models(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.pt"))


@pytest.fixture(scope="module", params=["newest", "oldest"])
def there(folder: Path, request: pytest.FixtureRequest) -> Any:
    """Return the predictions of the emulated Pi, with the newest and the oldest torch it supports."""
    path = "/opt/hivewatch" if request.param == "newest" else f"/opt/hivewatch:{OLDEST_TORCH}"
    tree = emulated_pi()
    tree.ensure()
    done = tree.run(
        [PYTHON, "-B", "/rig/judge_frames.py", "/trial/frames.npz", *(f"/trial/{m}" for m in models(folder))],
        mounts={
            SUPPORT: "/rig",
            folder: "/trial",
            PROJECT / "hivewatch": "/opt/hivewatch/hivewatch",
        },
        environment=ENVIRONMENT | {"PYTHONPATH": path},
        timeout_s=EMULATED_LIMIT_S,
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["torch"].startswith("2.7.") is (request.param == "oldest")
    return document


@pytest.fixture(scope="module")
def here(folder: Path) -> Any:
    """Return the predictions of this machine for the same frames."""
    script = SUPPORT / "judge_frames.py"
    done = subprocess.run(
        [sys.executable, script, folder / "frames.npz", *(folder / name for name in models(folder))],
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_the_wheels_for_the_pi_run_there(there: Any) -> None:
    assert there["machine"] == "aarch64"
    assert (2, 7) <= tuple(int(part) for part in there["torch"].split(".")[:2]) < (2, 10)
    assert there["engine"] == "qnnpack"


def test_the_released_model_computes_the_same_there_as_here(here: Any, there: Any) -> None:
    ours, theirs = here["judged"][RELEASED_MODEL.name], there["judged"][RELEASED_MODEL.name]
    assert len(ours) == len(theirs) == 4
    for a, b in zip(ours, theirs, strict=True):
        assert b["score"] == pytest.approx(a["score"], abs=1e-3)
        np.testing.assert_allclose(b["cam"], a["cam"], atol=1e-2)


def test_the_int8_model_makes_the_same_decisions_there_as_here(here: Any, there: Any) -> None:
    """Engines may differ by a rounding step; decisions clear of the threshold must agree."""
    ours, theirs = (np.array([p["score"] for p in side["judged"][INT8.name]]) for side in (here, there))
    assert np.abs(ours - theirs).max() < 0.1
    clear = np.abs(ours - THRESHOLD) > 0.1
    assert (ours[clear] >= THRESHOLD).any()
    assert (ours[clear] < THRESHOLD).any()
    assert ((ours >= THRESHOLD) == (theirs >= THRESHOLD))[clear].all()


def test_a_sighting_gets_from_the_picture_to_the_broker(
    tiny_model_path: Path, tmp_path: Path, broker: Broker
) -> None:
    """Simulated pictures, loop, store and a real mosquitto; the model classifies everything as a hornet."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number, shot in enumerate(simulated_shots(6, seed=6, scenes=1)):
        cv2.imwrite(str(pictures / f"{number}.jpg"), cv2.cvtColor(crop(shot), cv2.COLOR_RGB2BGR))
    config = {
        "hive": {"id": "emulated"},
        "classifier": {"model": "/trial/model.pt"},
        "decision": {"threshold": 0.0, "release": 0.0},
        "store": {"directory": "/tmp/hivewatch-store"},
        "mqtt": {"host": "127.0.0.1", "port": broker.port},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    (tmp_path / "model.pt").write_bytes(tiny_model_path.read_bytes())
    tree = emulated_pi()
    tree.ensure()
    command = [PYTHON, "-B", "-m", "hivewatch", "replay", "/trial/pictures", "--config", "/trial/config.yaml"]
    with Subscriber(broker.port) as subscriber:
        done = tree.run(
            ["sh", "-c", 'rm -rf /tmp/hivewatch-store; exec "$@"', "sh", *command, "--publish", "--json"],
            mounts={tmp_path: "/trial", PROJECT / "hivewatch": "/opt/hivewatch/hivewatch"},
            environment=ENVIRONMENT,
            timeout_s=EMULATED_LIMIT_S,
        )
        assert done.returncode == 0, done.stderr
        wait_until(lambda: len(subscriber.on("event")) >= 12, f"start and end of each: {done.stdout}")
        wait_until(lambda: bool(subscriber.on("snapshot")), "a snapshot")
    events = [json.loads(payload) for payload in subscriber.on("event")]
    assert (events[0]["event_type"], events[-1]["event_type"]) == ("start", "end")
    assert len({event["sighting_id"] for event in events}) == 6, "each picture is judged by itself"
    digests = {hashlib.sha256(jpeg).hexdigest() for jpeg in subscriber.on("snapshot")}
    assert events[-1]["snapshot"]["sha256"] in digests
