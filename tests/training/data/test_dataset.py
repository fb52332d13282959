"""Reading a data folder, and the errors of a bad one."""

import os
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.users import without_rights

from hivewatch.domain.frames import Box
from hivewatch.errors import DataError
from hivewatch.training.data.catalogue import read_catalogue
from hivewatch.training.data.dataset import HORNET, decode, decode_all, shrink
from hivewatch.training.data.duplicates import find_copies


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


@pytest.mark.parametrize(
    ("line", "box"),
    [
        ("0 0.4 0.3 0.6 0.3 0.6 0.7 0.4 0.7", Box(0.4, 0.3, 0.6, 0.7)),
        ("0 0.5 0.3 0.6 0.5 0.4 0.7", Box(0.4, 0.3, 0.6, 0.7)),
        ("0 0.5 0.5 0.2 0.4 0.93", Box(0.4, 0.3, 0.6, 0.7)),
        ("\ufeff0 0.5 0.5 0.2 0.4", Box(0.4, 0.3, 0.6, 0.7)),
        ("0 0,5 0,5 0,2 0,4", Box(0.4, 0.3, 0.6, 0.7)),
        ("0 0.5 0.5 1.004 1.0", Box(0.0, 0.0, 1.0, 1.0)),
    ],
)
def test_polygons_and_what_tools_add_become_boxes(folders: Path, line: str, box: Box) -> None:
    (folders / "train/presence/a.txt").write_text(line, encoding="utf-8")
    catalogue = read_catalogue(folders)
    picture = next(p for p in catalogue.pictures if p.split == "train" and p.hornet)
    assert picture.hornet_boxes == (pytest.approx(box),)
    assert catalogue.problems == ()


@pytest.mark.parametrize(
    "line",
    [
        "0 nan nan nan nan",
        "0 inf 0.5 0.1 0.1",
        "0 320 180 40 30",
        "0 0.5 0.5 -0.2 0.1",
        "0 0.1 0.1 0.2 0.2 0.3 0.3 0.4",
        "hornet 0.5 0.5 0.2 0.4",
        "0;0.5;0.5;0.2;0.4",
        "-1 0.5 0.5 0.2 0.4",
        "0.5 0.5 0.2 0.4",
    ],
)
def test_any_other_label_is_named_with_its_line_and_gives_no_box(folders: Path, line: str) -> None:
    (folders / "train/presence/a.txt").write_text(f"1 0.5 0.5 0.1 0.1\n{line}\n")
    catalogue = read_catalogue(folders)
    assert not any(picture.insects for picture in catalogue.pictures)
    assert len(catalogue.pictures) == 4
    assert "a.txt, line 2" in catalogue.problems[0]


def test_a_picture_in_absence_with_a_hornet_box_is_left_out_and_named(folders: Path) -> None:
    write_picture(folders / "train/absence/b.jpg")
    (folders / "train/absence/b.txt").write_text("1 0.5 0.5 0.1 0.1\n0 0.5 0.5 0.1 0.1\n")
    catalogue = read_catalogue(folders)
    assert [p.name for p in catalogue.split("train")] == ["presence/a.jpg", "absence/a.jpg"]
    assert "absence/b.txt, line 2: boxes a hornet" in catalogue.problems[0]


@pytest.mark.parametrize("lines", ["0 nan 0.5 0.1 0.1", "0 0.5 0.5 0.1 0.1\n1 nan 0.5 0.1 0.1"])
def test_a_picture_in_absence_whose_labels_cannot_be_read_is_left_out_and_named(
    folders: Path, lines: str
) -> None:
    write_picture(folders / "train/absence/b.jpg")
    (folders / "train/absence/b.txt").write_text(lines)
    catalogue = read_catalogue(folders)
    assert [p.name for p in catalogue.split("train")] == ["presence/a.jpg", "absence/a.jpg"]
    assert "absence/b.txt, line" in catalogue.problems[0]


@pytest.mark.parametrize("names", [("IMG_1.JPG", "img_1.txt"), ("b\u00fc.jpg", "bu\u0308.txt")])
def test_a_label_file_whose_name_almost_fits_a_picture_is_named(
    folders: Path, names: tuple[str, str]
) -> None:
    picture, label = (folders / "train/absence" / name for name in names)
    write_picture(picture)
    label.write_text("0 0.5 0.5 0.1 0.1\n")
    (problem,) = read_catalogue(folders).problems
    assert problem.startswith(f"{label}: not read")


def test_other_texts_beside_pictures_are_not_named(folders: Path) -> None:
    write_picture(folders / "train/absence/A.jpg")
    for name in ("classes.txt", "A.txt", "a.txt"):
        (folders / "train/absence" / name).write_text("1 0.5 0.5 0.1 0.1\n")
    assert read_catalogue(folders).problems == ()


def test_hidden_pictures_and_copies_behind_links_do_not_count(folders: Path) -> None:
    """Notebooks keep copies in hidden folders, and a link may lead to the other class."""
    presence = folders / "val/presence"
    write_picture(presence / ".ipynb_checkpoints/a-checkpoint.jpg")
    (presence / "._a.jpg").write_bytes(b"\0\5\x16\7")
    (presence / "b.jpg").symlink_to("a.jpg")
    (presence / "loop").symlink_to("..")
    catalogue = read_catalogue(folders)
    assert [p.name for p in catalogue.split("val")] == ["presence/a.jpg", "absence/a.jpg"]
    assert any("loop is not followed" in problem for problem in catalogue.problems)


def test_pictures_in_a_linked_folder_count(folders: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    scene = tmp_path_factory.mktemp("elsewhere")
    write_picture(scene / "b.jpg")
    (folders / "val/presence/scene2").symlink_to(scene)
    assert ("b.jpg", "scene2") in {(p.path.name, p.scene) for p in read_catalogue(folders).pictures}


def test_a_truncated_picture_is_refused_as_by_the_camera(folders: Path) -> None:
    """OpenCV would fill the rest with grey, and the network would learn that."""
    path = folders / "train/presence/a.jpg"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 255, (200, 300, 3), np.uint8))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 4])
    with pytest.raises(DataError, match=r"a\.jpg is truncated.*; remove it or replace it"):
        decode(path)


def test_a_picture_whose_name_is_not_utf_8_is_used(folders: Path) -> None:
    path = write_picture(folders / "train/presence/b.jpg").rename(
        folders / "train/presence" / os.fsdecode(b"h\xe4.jpg")
    )
    shots, problems = decode_all(read_catalogue(folders).split("train"), long_side_px=32)
    assert problems == []
    assert path in {picture.path for picture, _ in shots}
    assert r"presence/h\xe4.jpg" in {picture.name for picture, _ in shots}
    assert find_copies([picture for picture, _ in shots]), "its copy is found, too"


def test_the_index_gives_species_domain_scene_and_boxes(index: Path) -> None:
    first = read_catalogue(index).pictures[0]
    assert (first.species, first.domain, first.scene, first.source) == ("velutina", "hive", "cam_1", "s")
    assert first.hornet_boxes == (pytest.approx(Box(0.4, 0.45, 0.6, 0.55)),)


def test_boxes_are_clipped_to_the_picture(index: Path) -> None:
    bee = read_catalogue(index).pictures[0].insects[1]
    assert bee.box.x0 == 0.0


def rewrite(table: Path, old: str, new: str, encoding: str = "utf-8") -> None:
    text = table.read_text(encoding="utf-8")
    assert old in text
    table.write_text(text.replace(old, new), encoding=encoding)


def labels(data: Path) -> dict[str, bool]:
    return {picture.path.name: picture.hornet for picture in read_catalogue(data).pictures}


ALL = {"a.png": True, "b.png": False, "c.png": False}


@pytest.mark.parametrize("one", ["1", "1.0", "1,0", "True", "TRUE", " 1", "yes"])
def test_presence_is_understood_however_a_spreadsheet_writes_it(index: Path, one: str) -> None:
    rewrite(index / "index.csv", "hive/a.png,1,", f'hive/a.png,"{one}",')
    assert labels(index) == ALL


@pytest.mark.parametrize("presence", ["2", "", "x", "0.5", "nan", "hornet"])
def test_a_label_that_is_neither_1_nor_0_is_named_and_its_picture_left_out(
    index: Path, presence: str
) -> None:
    write_picture(index / "hive/d.png")
    table = index / "index.csv"
    table.write_text(table.read_text() + f"hive/d.png,{presence},none,hive,s,cam_2,train\n")
    catalogue = read_catalogue(index)
    assert {p.path.name for p in catalogue.pictures} == set(ALL)
    assert any("index.csv, line 6: left out, presence must be 1 or 0" in p for p in catalogue.problems)


@pytest.mark.parametrize("separator", [";", "\t", ","])
def test_tables_of_a_spreadsheet_are_read(index: Path, separator: str) -> None:
    """With a byte order mark, another separator, and decimal commas."""
    rewrite(index / "index.csv", ",", separator, "utf-8-sig")
    comma = '"{}"' if separator == "," else "{}"
    half, fifth, tenth = (comma.format(number) for number in ("0,5", "0,2", "0,1"))
    rows = ["file,class,x,y,w,h", f"hive/a.png,velutina,{half},{half},{fifth},{tenth}"]
    text = "\n".join(rows)
    if separator != ",":
        text = "\n".join(
            [rows[0].replace(",", separator), f"hive/a.png;velutina;{half};{half};{fifth};{tenth}"]
        )
        text = text.replace(";", separator)
    (index / "boxes.csv").write_text(text, encoding="utf-8-sig")
    assert labels(index) == ALL
    boxed = next(p for p in read_catalogue(index).pictures if p.hornet)
    assert boxed.hornet_boxes == (pytest.approx(Box(0.4, 0.45, 0.6, 0.55)),)


def test_a_decimal_comma_that_splits_a_field_is_an_error_with_its_line(index: Path) -> None:
    rewrite(index / "boxes.csv", "velutina,0.5,", "velutina,0,5,")
    with pytest.raises(DataError, match=r"boxes\.csv, line 2: 7 fields instead of 6"):
        read_catalogue(index)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999", "320", "-0.5", "1_0", "0x1"])
def test_a_box_that_is_not_in_the_picture_is_named_and_left_out(index: Path, value: str) -> None:
    rewrite(index / "boxes.csv", "velutina,0.5,", f"velutina,{value},")
    catalogue = read_catalogue(index)
    assert catalogue.pictures[0].hornet_boxes == ()
    assert any("boxes.csv, line 2: not a box" in problem for problem in catalogue.problems)


@pytest.mark.parametrize("value", [pytest.param("0.5", id="a box"), pytest.param("nan", id="a bad box")])
def test_a_picture_without_a_hornet_that_has_one_boxed_is_left_out(index: Path, value: str) -> None:
    rewrite(index / "boxes.csv", "hive/b.png,honeybee,0.5,oops", f"hive/b.png,velutina,0.5,{value}")
    write_picture(index / "hive/d.png")
    table = index / "index.csv"
    table.write_text(table.read_text() + "hive/d.png,0,none,hive,s,cam_2,train\n")
    catalogue = read_catalogue(index)
    assert "b.png" not in {p.path.name for p in catalogue.pictures}
    assert any("boxes.csv, line 4 boxes one" in problem for problem in catalogue.problems)


def test_a_picture_with_a_bad_box_has_none_so_that_no_hornet_counts_as_background(index: Path) -> None:
    table = index / "boxes.csv"
    table.write_text(table.read_text() + "hive/a.png,velutina,0.2,nan,0.2,0.1\n")
    catalogue = read_catalogue(index)
    assert catalogue.pictures[0].hornet
    assert catalogue.pictures[0].insects == ()
    assert any("boxes.csv, line 5: not a box" in problem for problem in catalogue.problems)


def test_missing_files_and_bad_boxes_of_the_index_are_listed(index: Path) -> None:
    problems = "\n".join(read_catalogue(index).problems)
    assert "gone.png" in problems
    assert "boxes.csv, line 4" in problems


def test_species_are_known_in_capitals_too(index: Path) -> None:
    rewrite(index / "index.csv", "velutina", "Velutina")
    rewrite(index / "boxes.csv", "velutina", "VELUTINA")
    picture = next(p for p in read_catalogue(index).pictures if p.hornet)
    assert picture.species == HORNET
    assert picture.hornet_boxes


def test_a_row_that_is_there_twice_counts_once_and_is_named(index: Path) -> None:
    table = index / "index.csv"
    table.write_text(table.read_text() + "./hive/a.png,1.0,velutina,hive,s,cam_1,train\n")
    catalogue = read_catalogue(index)
    assert len(catalogue.pictures) == 3
    assert any("line 6: left out" in p and "index.csv, line 2" in p for p in catalogue.problems)


def test_a_picture_with_two_labels_is_an_error_with_both_lines(index: Path) -> None:
    table = index / "index.csv"
    table.write_text(table.read_text() + "hive/a.png,0,none,hive,s,cam_1,val\n")
    (index / "boxes.csv").unlink()
    with pytest.raises(DataError, match=r"line 6: .* another label than in .*line 2"):
        read_catalogue(index)


def test_boxes_of_files_that_are_not_listed_are_named(index: Path) -> None:
    rewrite(index / "boxes.csv", "hive/a.png,velutina", "hive/A.png,velutina")
    assert any("boxes.csv, line 2: index.csv does not list" in p for p in read_catalogue(index).problems)


def test_a_split_that_nothing_uses_is_named(index: Path) -> None:
    rewrite(index / "index.csv", ",,val\n", ",,validation\n")
    assert any("1 pictures are in the split 'validation'" in p for p in read_catalogue(index).problems)


def test_a_table_that_is_not_utf_8_is_a_clear_error(index: Path) -> None:
    (index / "index.csv").write_bytes((index / "index.csv").read_bytes().replace(b"cam_1", b"ruche_\xe9"))
    with pytest.raises(DataError, match=r"index\.csv: cannot be read .*save it as CSV in UTF-8"):
        read_catalogue(index)


def test_val_includes_every_validation_split(index: Path) -> None:
    table = index / "index.csv"
    table.write_text(table.read_text().replace(",,val\n", ",,val_day\n"))
    assert [p.split for p in read_catalogue(index).split("val")] == ["val_day"]


def test_an_index_that_lacks_a_column_is_rejected(index: Path) -> None:
    table = index / "index.csv"
    table.write_text(table.read_text().replace("domain", "realm"))
    with pytest.raises(DataError, match=r"index\.csv, line 1: the columns must be .*domain"):
        read_catalogue(index)


def test_a_missing_data_folder_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        read_catalogue(tmp_path / "nowhere")


def test_a_folder_with_neither_layout_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"neither index.csv nor"):
        read_catalogue(tmp_path)


@pytest.mark.parametrize("mode", [0o000, 0o744])
@pytest.mark.parametrize("name", ["", "train"])
def test_a_folder_that_is_not_open_to_the_user_is_named(folders: Path, name: str, mode: int) -> None:
    closed = folders / name
    with without_rights(folders / "train"):
        pass  # opens the way
    closed.chmod(mode)
    try:
        with without_rights(Path("/")), pytest.raises(DataError, match=re.escape(str(closed))):
            read_catalogue(folders)
    finally:
        closed.chmod(0o755)


def test_a_missing_class_folder_is_a_clear_error(folders: Path) -> None:
    (folders / "train/absence/a.jpg").unlink()
    (folders / "train/absence").rmdir()
    with pytest.raises(DataError, match=r"train/absence: there is no such folder"):
        read_catalogue(folders)


@pytest.mark.parametrize("name", ["train/presense", "val/unsure", "validation/presence"])
def test_a_folder_whose_name_is_not_known_is_named(folders: Path, name: str) -> None:
    write_picture(folders / name / "a.jpg")
    (folders / "figures").mkdir()
    (problem,) = read_catalogue(folders).problems
    assert "not read, because its name is none of" in problem
    assert name.removesuffix("/presence") in problem


def test_an_empty_class_is_a_clear_error(folders: Path) -> None:
    (folders / "train/absence/a.jpg").unlink()
    with pytest.raises(DataError, match="class 'absence'"):
        read_catalogue(folders)


def test_a_class_whose_pictures_are_all_of_another_kind_says_so(
    folders: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folders / "train/presence/a.jpg").rename(folders / "train/presence/a.heic")
    with pytest.raises(DataError, match="class 'presence'"):
        read_catalogue(folders)
    assert "train/presence: passed over 1 .heic" in caplog.text


def test_an_unreadable_picture_is_reported_and_the_others_are_decoded(folders: Path) -> None:
    (folders / "train/presence/b.jpg").write_bytes(b"not a picture")
    (folders / "train/presence/c.jpg").write_bytes(b"")
    shots, problems = decode_all(read_catalogue(folders).split("train"), long_side_px=32)
    assert len(shots) == 2
    assert [problem.rsplit("/", 1)[1].split(" ")[0] for problem in problems] == ["b.jpg", "c.jpg"]
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
    assert "train/presence: passed over 3 .heic" in problems
    assert "convert pictures to .jpg" in problems
    assert "val/absence: passed over 1 .dng" in problems
