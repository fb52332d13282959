"""Copies of pictures within and across splits."""

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from hivewatch.training.data.dataset import Picture
from hivewatch.training.data.duplicates import describe_copies, find_copies, shared_scenes, warn_of_copies


def draw(seed: int, insect_at: tuple[int, int] | None = None) -> np.ndarray:
    """Return a scene of coloured patches, with a dark hornet-sized insect if a position is given."""
    rng = np.random.default_rng(seed)
    pixels = cv2.resize(
        rng.integers(40, 216, (9, 16, 3), np.uint8), (640, 360), interpolation=cv2.INTER_CUBIC
    )
    if insect_at is not None:
        cv2.ellipse(pixels, insect_at, (18, 9), 30, 0, 360, (20, 20, 20), -1)
    return pixels


def write(path: Path, pixels: np.ndarray, split: str = "train", *, hornet: bool = False) -> Picture:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)
    return Picture(path, hornet, "none", "hive", "", split)


def test_the_same_file_under_another_name_is_found(tmp_path: Path) -> None:
    first = write(tmp_path / "a.png", draw(1))
    shutil.copy(first.path, tmp_path / "b.png")
    second = replace(first, path=tmp_path / "b.png")
    (copy,) = find_copies([first, second, write(tmp_path / "c.png", draw(2))])
    assert (copy.first, copy.second, copy.exact) == (first, second, True)


@pytest.mark.parametrize("size", [(320, 180), (500, 281)])
def test_a_rescaled_and_recompressed_picture_is_a_copy(tmp_path: Path, size: tuple[int, int]) -> None:
    first = write(tmp_path / "a.png", draw(1, insect_at=(300, 200)))
    small = write(tmp_path / "b.jpg", cv2.resize(cv2.imread(str(first.path)), size), "val")
    (copy,) = find_copies([first, small])
    assert not copy.exact
    assert copy.leaks


def test_pictures_of_different_scenes_are_not_copies(tmp_path: Path) -> None:
    assert find_copies([write(tmp_path / f"{i}.png", draw(i)) for i in range(30)]) == []


def test_the_same_scene_in_another_light_is_not_a_copy(tmp_path: Path) -> None:
    """A fixed camera on two days: the same edges, another brightness."""
    day = draw(1)
    evening = cv2.convertScaleAbs(day, alpha=0.9)
    assert find_copies([write(tmp_path / "a.png", day), write(tmp_path / "b.png", evening, "val")]) == []


def test_a_leak_is_listed_and_a_burst_only_counted(tmp_path: Path) -> None:
    burst = [write(tmp_path / f"{i}.png", draw(1, insect_at=(100 + 150 * i, 200))) for i in range(3)]
    leaked = write(tmp_path / "v.jpg", draw(7), "val")
    original = write(tmp_path / "t.png", draw(7))
    sentences = "\n".join(describe_copies(find_copies([*burst, leaked, original]), []))
    assert f"leak: {leaked.path} (val) and {original.path} (train): nearly the same picture" in sentences
    assert "3 pictures are nearly the same as another in their split" in sentences
    assert "1.png" not in sentences


def test_copied_photographs_with_contradictory_labels_are_listed(tmp_path: Path) -> None:
    first = replace(write(tmp_path / "a.png", draw(1)), domain="photo")
    second = replace(write(tmp_path / "b.jpg", draw(1), hornet=True), domain="photo")
    (sentence,) = describe_copies(find_copies([first, second]), [])
    assert sentence.startswith("contradictory labels")


def test_the_same_frame_with_contradictory_labels_is_listed(tmp_path: Path) -> None:
    first = write(tmp_path / "a.png", draw(1))
    second = write(tmp_path / "b.png", draw(1), hornet=True)
    (sentence,) = describe_copies(find_copies([first, second]), [])
    assert sentence.startswith("contradictory labels")


def test_near_copies_of_one_camera_with_and_without_a_hornet_are_no_contradiction(tmp_path: Path) -> None:
    """A hornet is too small to show in the thumbnails that are compared."""
    empty = write(tmp_path / "a.png", draw(1))
    visited = write(tmp_path / "b.png", draw(1, insect_at=(300, 200)), hornet=True)
    sentences = describe_copies(find_copies([empty, visited]), [])
    assert not any("contradictory" in sentence for sentence in sentences)


def test_a_scene_in_two_splits_is_a_leak(tmp_path: Path) -> None:
    pictures = [
        replace(write(tmp_path / f"{i}.png", draw(i), split), scene=scene)
        for i, (split, scene) in enumerate(
            [
                ("train", "garden_2026-09-03"),
                ("val_day", "garden_2026-09-03"),
                ("val", "other"),
                ("train", ""),
            ]
        )
    ]
    (sentence,) = shared_scenes(pictures)
    assert "garden_2026-09-03" in sentence


def test_unreadable_files_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"nothing")
    bad = Picture(tmp_path / "a.png", False, "none", "hive", "", "train")
    gone = Picture(tmp_path / "gone.png", False, "none", "hive", "", "train")
    assert find_copies([bad, gone, write(tmp_path / "c.png", draw(2))]) == []


def test_copies_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pictures = [write(tmp_path / "a.png", draw(1)), write(tmp_path / "b.png", draw(1), "val")]
    assert warn_of_copies(pictures) == [record.getMessage() for record in caplog.records]
    assert "leak" in caplog.text
