"""Fuzzing with damaged pictures, clips and configurations.

Each is read or rejected, without a traceback or a hang. A truncated file must never be read as a complete
one.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import yaml

from hivewatch.camera.base import Camera
from hivewatch.camera.sources.clip import ClipCamera
from hivewatch.camera.sources.folder import FolderCamera
from hivewatch.camera.sources.opencv import prepare_opencv
from hivewatch.cli import main as cli
from hivewatch.config.reader import load
from hivewatch.config.sections import GateConfig, MotionConfig
from hivewatch.domain.frames import Frame
from hivewatch.errors import CameraError
from hivewatch.vision.motion import MotionGate
from hivewatch.vision.region import Region
from support.damage import cut, damaged, miswritten
from support.fakes import make_pixels
from support.models import make_untrained_model
from support.paths import PROJECT
from support.trials import Outcome, timed

HANG_S = 60.0
MANUAL = PROJECT / "config" / "hivewatch.yaml"
# Options that are commented out in the manual.
PATHS = """\
camera:
  kind: folder
  folder:
    path: pictures
classifier:
  model: model.pt
store:
  directory: data
mqtt:
  username: bees
  password_file: password
gate:
  watch: [[[0.1, 0.3], [0.9, 0.3], [0.9, 0.95]]]
"""
_BATCH = 100
_CLIP_FRAMES = 8


def fuzz_pictures(directory: Path, count: int, seed: int = 1) -> Outcome:
    """Read ``count`` damaged JPEGs, PNGs and WebPs, and pass those that can be read to region and gate."""
    rng = random.Random(seed)
    directory.mkdir(exist_ok=True)
    whole = [
        cv2.imencode(suffix, make_pixels(*size, seed=n), options)[1].tobytes()
        for n, size in enumerate([(160, 120), (64, 48), (33, 200)])
        for suffix, options in (
            (".jpg", [cv2.IMWRITE_JPEG_QUALITY, 85]),
            (".jpg", [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
            (".png", []),
            (".webp", [cv2.IMWRITE_WEBP_QUALITY, 80]),
        )
    ]
    suffixes = {b"\xff\xd8": "jpg", b"\x89P": "png", b"RI": "webp"}
    outcome, read = Outcome("damaged pictures", count), 0
    with timed(outcome):
        for start in range(0, count, _BATCH):
            folder = directory / f"batch{start}"
            folder.mkdir()
            for n in range(start, min(start + _BATCH, count)):
                data = rng.choice(whole)
                is_cut = rng.random() < 0.2
                name = f"{n}-{'cut' if is_cut else 'damaged'}.{suffixes[data[:2]]}"
                (folder / name).write_bytes(cut(data, rng) if is_cut else damaged(data, rng))
            read += _read_folder(folder, outcome)
            shutil.rmtree(folder)
    outcome.note = f"{read} could still be read"
    return outcome


def _read_folder(folder: Path, outcome: Outcome) -> int:
    camera = FolderCamera([folder], rate_hz=5.0, paced=False)
    started_s = time.monotonic()
    frames = _read_frames(camera, outcome)
    there = len(list(folder.iterdir()))
    if frames is not None and len(frames) + camera.counts.bad != there:
        outcome.problems.append(
            f"{there - len(frames) - camera.counts.bad} of {there} files vanished silently"
        )
    outcome.problems += [f"{f.source}: read although truncated" for f in frames or () if "-cut." in f.source]
    if time.monotonic() - started_s > HANG_S:
        outcome.problems.append(f"{folder.name} took {time.monotonic() - started_s:.0f} s")
    return len(frames or ())


def _read_frames(camera: Camera, outcome: Outcome) -> list[Frame] | None:
    """Return the camera's frames after passing them to region and gate; None after a CameraError."""
    region, gate = Region(GateConfig(ignore=(((0, 0), (0.5, 0), (0, 0.5)),))), MotionGate(MotionConfig())
    frames = []
    try:
        for frame in camera.frames(threading.Event()):
            gate.filter(region.view(frame))
            frames.append(frame)
    except CameraError:
        return None
    except Exception as error:  # noqa: BLE001  any other exception is a bug
        outcome.problems.append(f"{camera.name}: {error!r}")
    return frames


def fuzz_replay(directory: Path, model: Path, count: int, seed: int = 1) -> Outcome:
    """Run ``hivewatch replay`` on a folder of ``count`` pictures: intact, truncated and damaged ones."""
    rng = random.Random(seed)
    folder = directory / "pictures"
    folder.mkdir(parents=True)
    for n in range(count):
        suffix = ("jpg", "png")[n % 2]
        data = cv2.imencode(f".{suffix}", make_pixels(160, 120, seed=n))[1].tobytes()
        kind = ("whole", "cut", "damaged")[n % 3]
        data = {"whole": data, "cut": cut(data, rng), "damaged": damaged(data, rng)}[kind]
        (folder / f"{n}-{kind}.{suffix}").write_bytes(data)
    config = directory / "hivewatch.yaml"
    config.write_text(yaml.safe_dump({"classifier": {"model": str(model), "threads": 1}}))
    command = [sys.executable, "-m", "hivewatch", "replay", "--config", str(config), "--ungated", "--json"]
    outcome = Outcome("damaged pictures through replay", count)
    with timed(outcome):
        done = subprocess.run(
            [*command, "--out", str(directory / "out"), str(folder)],
            capture_output=True,
            text=True,
            timeout=HANG_S + count / 10,
            check=False,
        )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    classified = {line["file"] for line in lines if line.get("score") is not None}
    outcome.note = f"{len(classified)} classified, the others reported"
    outcome.problems += ["a traceback"] if "Traceback" in done.stderr else []
    outcome.problems += [f"exit code {done.returncode}"] if done.returncode else []
    for path in map(str, folder.iterdir()):
        if path not in classified and path not in done.stderr:
            outcome.problems.append(f"{path} vanished silently")
        if ("-whole." in path and path not in classified) or ("-cut." in path and path in classified):
            outcome.problems.append(f"{path} is intact but was not classified, or is truncated but was")
    return outcome


def fuzz_clips(directory: Path, count: int, seed: int = 1) -> Outcome:
    """Decode ``count`` damaged clips of several formats."""
    rng = random.Random(seed)
    directory.mkdir(exist_ok=True)
    whole = [_clip(directory, *kind) for kind in (("avi", "MJPG"), ("mp4", "mp4v"), ("mkv", "FFV1"))]
    outcome, read = Outcome("damaged clips", count), 0
    with timed(outcome):
        for n in range(count):
            original = rng.choice(whole)
            is_cut = rng.random() < 0.2
            data = original.read_bytes()
            path = directory / f"{n}{original.suffix}"
            path.write_bytes(cut(data, rng) if is_cut else damaged(data, rng))
            camera = ClipCamera(path, fallback_rate_hz=5.0, paced=False)
            started_s = time.monotonic()
            frames = _read_frames(camera, outcome)
            read += bool(frames)
            if time.monotonic() - started_s > HANG_S:
                outcome.problems.append(f"{path.name} took {time.monotonic() - started_s:.0f} s")
            if is_cut and frames is not None and len(frames) < _CLIP_FRAMES and not camera.counts.bad:
                outcome.problems.append(f"{path.name}: truncated to {len(frames)} frames without a warning")
            path.unlink()
    outcome.note = f"{read} yielded at least one frame"
    return outcome


def _clip(directory: Path, suffix: str, codec: str) -> Path:
    prepare_opencv()  # before OpenCV's first use of FFmpeg, which would otherwise write to stderr
    path = directory / f"whole-{codec}.{suffix}"
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), 10, (96, 64))
    assert writer.isOpened(), codec
    for n in range(_CLIP_FRAMES):
        writer.write(make_pixels(96, 64, seed=n))
    writer.release()
    return path


def fuzz_configurations(directory: Path, count: int, seed: int = 1) -> Outcome:
    """Run ``hivewatch check`` on ``count`` malformed files; accepted ones must be read as written."""
    rng = random.Random(seed)
    manual = MANUAL.read_text(encoding="utf-8").replace("# kind: video", "kind: simulator")
    bare = "".join(line for line in manual.splitlines(keepends=True) if not line.strip().startswith("#"))
    (directory / "pictures").mkdir(parents=True)
    make_untrained_model(directory / "model.pt")
    (directory / "password").touch()
    path = directory / "hivewatch.yaml"
    outcome = Outcome("malformed configurations", count)
    accepted = 0
    with timed(outcome):
        for n in range(count):
            path.write_bytes(miswritten(rng.choice([manual, bare, PATHS]), rng))
            started_s = time.monotonic()
            output = io.StringIO()
            try:
                with contextlib.redirect_stdout(output):
                    code = cli.main(["check", "--config", str(path)])
            except Exception as error:  # noqa: BLE001  any other exception is a bug
                outcome.problems.append(f"file {n}: {error!r}")
                continue
            accepted += code == 0
            outcome.problems += [
                f"file {n}: {problem}" for problem in _misread(path, code, output.getvalue())
            ]
            if time.monotonic() - started_s > HANG_S / 10:
                outcome.problems.append(f"file {n} took {time.monotonic() - started_s:.0f} s")
    outcome.note = f"{accepted} were still valid"
    return outcome


def _misread(path: Path, code: int, output: str) -> Iterator[str]:
    if code == 3:
        if not output.strip():
            yield "rejected without a message"
        return
    if code != 0:
        yield f"exit code {code}"
        return
    written = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    loaded = load(path).model_dump(mode="json")
    yield from _differences(written, loaded, path.parent)


def _differences(written: object, loaded: object, folder: Path, name: str = "") -> Iterator[str]:
    """Compare the file as PyYAML reads it with the configuration that hivewatch loads."""
    if isinstance(written, dict) and isinstance(loaded, dict):
        for key, value in written.items():
            if key not in loaded:
                yield f"{name}.{key} was accepted although it is unknown"
            else:
                yield from _differences(value, loaded[key], folder, f"{name}.{key}")
    elif written is None and isinstance(loaded, dict):
        return  # a section without options
    elif isinstance(written, list) and isinstance(loaded, list) and len(written) == len(loaded):
        for one, other in zip(written, loaded, strict=True):
            yield from _differences(one, other, folder, name)
    elif written != loaded and str(folder.resolve() / str(written)) != loaded and str(written) != loaded:
        yield f"{name} is {written!r} in the file but was loaded as {loaded!r}"
