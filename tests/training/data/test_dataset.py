"""Reading a data folder, and the errors of a bad one."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from hivewatch.domain.frames import Box
from hivewatch.errors import DataError
from hivewatch.training.data.catalogue import read_catalogue
from hivewatch.training.data.dataset import decode, decode_all, shrink


def write_picture(path: Path, value: int = 128, size: tuple[int, int] = (48, 64)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((*size, 3), value, np.uint8))
    return path


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    for split in ("train", "val"):
        for label in ("presence", "absence"):
            write_picture(tmp_path / split / label / "a.jpg")
    return tmp_path


@pytest.fixture
def index(tmp_path: Path) -> Path:
    write_picture(tmp_path / "hive/a.png")
    write_picture(tmp_path / "hive/b.png")
    write_picture(tmp_path / "photos/c.png")
    (tmp_path / "index.csv").write_text(
        "file,presence,species,domain,source,scene,split\n"
        "hive/a.png,1,velutina,hive,s,cam_1,train\n"
        "hive/b.png,0,honeybee,hive,s,cam_2,train\n"
        "photos/c.png,0,wasp,photo,s,,val\n"
        "photos/gone.png,0,wasp,photo,s,,val\n"
    )
    (tmp_path / "boxes.csv").write_text(
        "file,class,x,y,w,h\nhive/a.png,velutina,0.5,0.5,0.2,0.1\nhive/a.png,honeybee,0.1,0.1,0.4,0.1\n"
        "hive/b.png,honeybee,0.5,oops,0.2,0.1\n"
    )
    return tmp_path


def test_folders_give_label_and_split(folders: Path) -> None:
    found = {(p.split, p.hornet) for p in read_catalogue(folders).pictures}
    assert found == {("train", True), ("train", False), ("val", True), ("val", False)}


def test_subfolders_of_a_class_name_the_scene(folders: Path) -> None:
    write_picture(folders / "val/absence/garden_2026-09-03/b.jpg")
    scenes = {p.path.name: p.scene for p in read_catalogue(folders).pictures}
    assert scenes == {"a.jpg": "", "b.jpg": "garden_2026-09-03"}


def test_a_yolo_file_beside_a_picture_gives_its_boxes(folders: Path) -> None:
    (folders / "train/presence/a.txt").write_text("0 0.5 0.5 0.2 0.4\n1 0.1 0.1 0.1 0.1\n\n")
    picture = next(p for p in read_catalogue(folders).pictures if p.split == "train" and p.hornet)
    assert picture.hornet_boxes == (pytest.approx(Box(0.4, 0.3, 0.6, 0.7)),)
    assert len(picture.insects) == 2


def test_a_bad_yolo_line_is_listed_and_the_picture_kept(folders: Path) -> None:
    (folders / "train/presence/a.txt").write_text("0 0.5 0.5\n")
    catalogue = read_catalogue(folders)
    assert len(catalogue.pictures) == 4
    assert "a.txt, line 1" in catalogue.problems[0]


def test_the_index_gives_species_domain_scene_and_boxes(index: Path) -> None:
    first = read_catalogue(index).pictures[0]
    assert (first.species, first.domain, first.scene, first.source) == ("velutina", "hive", "cam_1", "s")
    assert first.hornet_boxes == (pytest.approx(Box(0.4, 0.45, 0.6, 0.55)),)


def test_boxes_are_clipped_to_the_picture(index: Path) -> None:
    bee = read_catalogue(index).pictures[0].insects[1]
    assert bee.box.x0 == 0.0


def test_missing_files_and_bad_boxes_of_the_index_are_listed(index: Path) -> None:
    problems = "\n".join(read_catalogue(index).problems)
    assert "gone.png" in problems
    assert "boxes.csv, line 4" in problems


def test_val_includes_every_validation_split(index: Path) -> None:
    table = index / "index.csv"
    table.write_text(table.read_text().replace(",,val\n", ",,val_day\n"))
    assert [p.split for p in read_catalogue(index).split("val")] == ["val_day"]


def test_an_index_that_lacks_a_column_is_rejected(index: Path) -> None:
    table = index / "index.csv"
    table.write_text(table.read_text().replace("domain", "realm"))
    with pytest.raises(DataError, match=r"line 2: the column 'domain'"):
        read_catalogue(index)


def test_a_missing_data_folder_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        read_catalogue(tmp_path / "nowhere")


def test_a_folder_with_neither_layout_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"neither index.csv nor"):
        read_catalogue(tmp_path)


def test_a_missing_class_folder_is_a_clear_error(folders: Path) -> None:
    (folders / "train/absence/a.jpg").unlink()
    (folders / "train/absence").rmdir()
    with pytest.raises(DataError, match=r"train/absence: there is no such folder"):
        read_catalogue(folders)


def test_an_empty_class_is_a_clear_error(folders: Path) -> None:
    (folders / "train/absence/a.jpg").unlink()
    with pytest.raises(DataError, match="class 'absence'"):
        read_catalogue(folders)


def test_an_unreadable_picture_is_reported_and_the_others_are_decoded(folders: Path) -> None:
    (folders / "train/presence/b.jpg").write_bytes(b"not a picture")
    (folders / "train/presence/c.jpg").write_bytes(b"")
    shots, problems = decode_all(read_catalogue(folders).split("train"), long_side_px=32)
    assert len(shots) == 2
    assert [problem.split(":")[0].rsplit("/", 1)[1] for problem in problems] == ["b.jpg", "c.jpg"]
    assert {pixels.shape for _, pixels in shots} == {(24, 32, 3)}


def test_pictures_decode_as_rgb(tmp_path: Path) -> None:
    path = tmp_path / "red.png"
    cv2.imwrite(str(path), np.full((4, 4, 3), (0, 0, 255), np.uint8))
    assert tuple(decode(path)[0, 0]) == (255, 0, 0)


def test_shrinking_never_enlarges() -> None:
    small = np.zeros((10, 20, 3), np.uint8)
    assert shrink(small, 100) is small


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".JPG"])
def test_each_kind_of_picture_is_found_and_decoded(folders: Path, suffix: str) -> None:
    path = write_picture(folders / "train/presence" / f"b{suffix}")
    assert path in {picture.path for picture in read_catalogue(folders).pictures}
    assert decode(path).shape == (48, 64, 3)


def test_kinds_of_picture_that_cannot_be_read_are_named_with_their_number(folders: Path) -> None:
    for number in range(3):
        (folders / f"train/presence/{number}.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    (folders / "val/absence/x.dng").write_bytes(b"raw")
    problems = "\n".join(read_catalogue(folders).problems)
    assert "train/presence: 3 .heic pictures left out" in problems
    assert "convert them to .jpg" in problems
    assert "val/absence: 1 .dng picture left out" in problems
