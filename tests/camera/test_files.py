"""The walk through folders: what is listed, what is passed over, and what is said about it."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from hivewatch.camera.sources.files import CLIP_SUFFIXES, PICTURE_SUFFIXES, Listing, list_files


def put(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def names(listing: Listing, folder: Path) -> list[str]:
    return [file.relative_to(folder).as_posix() for file in listing.files]


def test_pictures_and_clips_are_listed_together_in_natural_order(tmp_path: Path) -> None:
    put(*(tmp_path / name for name in ("img10.JPG", "img2.mp4", "img1.tif", "b/img3.webm", "B/img1.png")))
    listing = list_files(tmp_path)
    assert names(listing, tmp_path) == ["B/img1.png", "b/img3.webm", "img1.tif", "img2.mp4", "img10.JPG"]
    assert [path.name for path in listing.of(CLIP_SUFFIXES)] == ["img3.webm", "img2.mp4"]


@pytest.mark.parametrize(
    "name", [".a.jpg", "._a.jpg", ".thumbnails/a.jpg", "b/.ipynb_checkpoints/a.jpg", "@eaDir/a.jpg"]
)
def test_hidden_files_and_folders_are_passed_over(tmp_path: Path, name: str) -> None:
    put(tmp_path / name)
    assert list_files(tmp_path) == Listing((), Counter(), ())


def test_a_hidden_folder_is_listed_if_it_is_named(tmp_path: Path) -> None:
    put(tmp_path / ".hive" / "a.jpg")
    assert names(list_files(tmp_path / ".hive"), tmp_path) == [".hive/a.jpg"]


def test_files_of_other_kinds_are_counted_but_labels_and_notes_are_not(tmp_path: Path) -> None:
    put(*(tmp_path / f"{n}.HEIC" for n in range(4)), tmp_path / "a.wmv", tmp_path / "b", tmp_path / "c.jpg")
    put(tmp_path / "c.txt", tmp_path / "index.csv", tmp_path / "d.mp4")
    listing = list_files(tmp_path)
    readable = PICTURE_SUFFIXES | CLIP_SUFFIXES
    assert listing.passed_over(readable) == "passed over 4 .heic, 1 .wmv, 1 without a suffix"
    assert "1 .mp4" in listing.passed_over(PICTURE_SUFFIXES)
    assert "jpg" not in listing.passed_over(PICTURE_SUFFIXES)


def test_links_to_files_and_folders_elsewhere_are_followed(tmp_path: Path) -> None:
    put(tmp_path / "elsewhere" / "a.jpg", tmp_path / "one.jpg")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "scene").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "here" / "b.jpg").symlink_to(tmp_path / "one.jpg")
    assert names(list_files(tmp_path / "here"), tmp_path) == ["here/b.jpg", "here/scene/a.jpg"]


def test_no_file_is_listed_twice_whatever_links_lead_to_it(tmp_path: Path) -> None:
    put(tmp_path / "b" / "1.jpg", tmp_path / "elsewhere" / "2.jpg")
    folder = tmp_path / "b"
    (folder / "0.jpg").symlink_to("1.jpg")
    (folder / "a").symlink_to(tmp_path / "elsewhere")
    (folder / "c").symlink_to(tmp_path / "elsewhere")
    (folder / "again").symlink_to(".")
    (tmp_path / "elsewhere" / "back").symlink_to(folder)
    (tmp_path / "elsewhere" / "self").symlink_to("self")
    assert names(list_files(folder), folder) == ["1.jpg", "a/2.jpg"]


def test_a_link_to_a_folder_around_the_walk_is_told_and_not_followed(tmp_path: Path) -> None:
    """Beside presence/ there is absence/, whose pictures would become pictures of hornets."""
    put(tmp_path / "presence" / "1.jpg", tmp_path / "absence" / "2.jpg")
    (tmp_path / "presence" / "loop").symlink_to("..")
    listing = list_files(tmp_path / "presence")
    assert names(listing, tmp_path) == ["presence/1.jpg"]
    assert [problem for problem in listing.loops if "loop is not followed" in problem]


def test_a_broken_link_is_listed_so_that_its_reader_reports_it(tmp_path: Path) -> None:
    (tmp_path / "gone.jpg").symlink_to("nowhere.jpg")
    assert names(list_files(tmp_path), tmp_path) == ["gone.jpg"]


def test_a_folder_that_cannot_be_listed_is_told_and_the_others_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "a.jpg", tmp_path / "locked" / "b.jpg")
    real_scandir = os.scandir

    def scandir(path: str) -> object:  # the tests may run as root, who may list any folder
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return real_scandir(path)

    monkeypatch.setattr(os, "scandir", scandir)
    listing = list_files(tmp_path)
    assert names(listing, tmp_path) == ["a.jpg"]
    assert listing.problems == (f"folder {tmp_path / 'locked'} cannot be listed: Permission denied",)
