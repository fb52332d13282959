"""Drawn training pictures for tests: dark blobs with an orange band (hornets) and brown blobs (bees)."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torchvision.models import resnet18

from hivewatch.domain.frames import Box, Pixels
from hivewatch.training.data.dataset import HORNET, Insect, Picture, Shot
from hivewatch.training.recipe import Recipe, Shares

HEIGHT, WIDTH = 96, 160
RECIPE = Recipe(
    layer4_stride=2,
    crop_px=64,
    frame_long_side_px=160,
    hornet_px=28,
    shares=Shares(simulated=0, photo=0),
    simulated_frames=0,
    epochs=2,
    crops_per_epoch=16,
    batch=8,
    average_decay=0.5,
    least_auroc=0.0,
    mine_every=1,
    mined_frames=4,
    mixed_precision=False,
)


def draw_frame(rng: np.random.Generator, *, hornet: bool) -> tuple[Pixels, tuple[Insect, ...]]:
    """Return a plain frame with one insect in it, and its box."""
    pixels = np.full((HEIGHT, WIDTH, 3), rng.integers(150, 220, 3), np.uint8)
    pixels = cv2.add(pixels, rng.integers(0, 20, pixels.shape, np.uint8))
    x, y = int(rng.integers(20, WIDTH - 20)), int(rng.integers(20, HEIGHT - 20))
    half = (14, 7) if hornet else (8, 5)
    cv2.ellipse(pixels, (x, y), half, 0, 0, 360, (25, 15, 10) if hornet else (150, 100, 40), -1)
    if hornet:
        cv2.rectangle(pixels, (x + 4, y - 5), (x + 8, y + 5), (230, 120, 20), -1)
    wide, high = half[0] + 2, half[1] + 2
    box = Box((x - wide) / WIDTH, (y - high) / HEIGHT, (x + wide) / WIDTH, (y + high) / HEIGHT)
    return np.asarray(pixels, np.uint8), (Insect(HORNET if hornet else "honeybee", box),)


def draw_shots(count: int, seed: int = 0, domain: str = "hive") -> list[Shot]:
    """Return decoded pictures, every other one with a hornet."""
    rng = np.random.default_rng(seed)
    shots = []
    for number in range(count):
        pixels, insects = draw_frame(rng, hornet=number % 2 == 0)
        species = insects[0].species
        path = Path(f"cam/{number}.png")
        shots.append((Picture(path, number % 2 == 0, species, domain, "cam_1", "train", insects), pixels))
    return shots


def write_data(
    folder: Path, per_class: int = 6, *, splits: Sequence[str] = ("train", "val"), boxed: bool = True
) -> Path:
    """Write a data folder with YOLO boxes, or without."""
    rng = np.random.default_rng(0)
    for split in splits:
        for label in ("presence", "absence"):
            target = folder / split / label
            target.mkdir(parents=True)
            for number in range(per_class):
                pixels, insects = draw_frame(rng, hornet=label == "presence")
                cv2.imwrite(str(target / f"{number}.png"), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
                box = insects[0].box
                kind = 0 if insects[0].species == HORNET else 1
                centre_and_size = (
                    f"{(box.x0 + box.x1) / 2} {(box.y0 + box.y1) / 2} {box.x1 - box.x0} {box.y1 - box.y0}"
                )
                if boxed:
                    (target / f"{number}.txt").write_text(f"{kind} {centre_and_size}\n")
    return folder


def write_weights(path: Path) -> Path:
    """Write a ResNet18 state dict of random values in torchvision's layout."""
    torch.manual_seed(0)
    torch.save(resnet18(weights=None).state_dict(), path)
    return path


def write_clip(path: Path, seconds: float, rate_hz: float = 10.0) -> Path:
    """Write a clip of a dark square on light ground: still for a third of the time, then moving."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), rate_hz, (160, 96))
    for number in range(round(seconds * rate_hz)):
        pixels = np.full((96, 160, 3), 200, np.uint8)
        left = 7 * max(0, number - round(seconds * rate_hz / 3)) % 130
        pixels[30:55, left : left + 25] = 20
        writer.write(pixels)
    writer.release()
    return path


def unboxed(shots: Sequence[Shot]) -> list[Shot]:
    """Return the pictures without their boxes: only their labels are known."""
    return [(replace(picture, insects=()), pixels) for picture, pixels in shots]


def remove_boxes(data: Path) -> Path:
    """Delete the YOLO files of a data folder."""
    for labels in data.rglob("*.txt"):
        labels.unlink()
    return data
