"""Label corrections from the table in the package."""

from pathlib import Path

import pytest
from support.training_pictures import write_data

from hivewatch.domain.frames import Box
from hivewatch.errors import DataError
from hivewatch.training.data import catalogue
from hivewatch.training.data.catalogue import read_catalogue
from hivewatch.training.data.corrections import CORRECTIONS, Correction, correct, read_corrections
from hivewatch.training.data.dataset import HORNET, Insect

HEAD = "file,presence,x,y,w,h,reason\n"


def table(folder: Path, text: str) -> Path:
    path = folder / "corrections.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_data(tmp_path / "data", per_class=2)


def labels(data: Path, corrections: dict[str, list[Correction]]) -> dict[str, tuple[bool, str, int]]:
    pictures = correct(read_catalogue(data, corrected=False).pictures, data, corrections)
    return {p.path.relative_to(data).as_posix(): (p.hornet, p.species, len(p.hornet_boxes)) for p in pictures}


def test_the_table_of_the_package_is_valid() -> None:
    assert all(c.reason for of_file in read_corrections(CORRECTIONS).values() for c in of_file)


def test_a_picture_corrected_to_show_a_hornet_is_unboxed(data: Path) -> None:
    found = labels(data, {"train/absence/0.png": [Correction(True, "a hornet behind the board")]})
    assert found["train/absence/0.png"] == (True, "velutina", 0)


def test_a_picture_corrected_to_show_none_loses_its_hornet_boxes(data: Path) -> None:
    found = labels(data, {"val/presence/1.png": [Correction(False, "a drone")]})
    assert found["val/presence/1.png"] == (False, "none", 0)
    assert found["val/presence/0.png"] == (True, "velutina", 1)


def test_a_doubtful_picture_is_left_out(data: Path) -> None:
    found = labels(data, {"val/presence/1.png": [Correction(None, "a blur")]})
    assert len(found) == 7
    assert "val/presence/1.png" not in found


def test_corrections_of_other_data_change_nothing(data: Path) -> None:
    corrections = {"hive/elsewhere.webp": [Correction(False, "of other data")]}
    assert labels(data, corrections) == labels(data, {})


def test_a_catalogue_is_corrected_by_default(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        catalogue, "read_corrections", lambda: {"train/absence/0.png": [Correction(True, "it is one")]}
    )
    assert sum(p.hornet for p in read_catalogue(data).pictures) == 5
    assert sum(p.hornet for p in read_catalogue(data, corrected=False).pictures) == 4


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("file,label\n", r"line 1: the columns must be file,presence,x,y,w,h,reason"),
        (HEAD + "a.jpg,2,,,,,why\n", r"line 2: needs a file, a presence of 1, 0 or \?"),
        (HEAD + "a.jpg,1,,,,,why\nb.jpg,0,,,,,\n", r"line 3: needs"),
        (HEAD + "a.jpg,1,,,,,why\na.jpg,0,,,,,no\n", r"line 3: a\.jpg is already corrected as a whole"),
        (HEAD + "a.jpg,1,.5,.5,.1,.1,why\na.jpg,0,,,,,no\n", r"line 3: a\.jpg is already corrected"),
        (HEAD + "a.jpg,0,.5,.5,.1,.1,why\n", r"line 2: a box holds a hornet"),
        (HEAD + "a.jpg,1,.5,.5,,.1,why\n", r"line 2: x, y, w, h are not a box"),
        (HEAD + "a.jpg,1,.5,.5,0,.1,why\n", r"line 2: x, y, w, h are not a box"),
        (HEAD + "a.jpg,1,nan,.5,.1,.1,why\n", r"line 2: x, y, w, h are not a box"),
        (HEAD + "a.jpg,1,320,180,40,30,why\n", r"line 2: x, y, w, h are not a box"),
        (HEAD + "\na.jpg,1,,,,,why, really\n", r"line 3: 8 fields instead of 7"),
    ],
)
def test_a_bad_table_is_rejected_with_its_line(text: str, fault: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=fault):
        read_corrections(table(tmp_path, text))


def test_a_question_mark_means_doubtful(tmp_path: Path) -> None:
    path = table(tmp_path, HEAD + 'hive/a b.webp,?,,,,,"too far, too dark"\n')
    assert read_corrections(path) == {"hive/a b.webp": [Correction(None, "too far, too dark")]}


def test_a_table_saved_by_a_spreadsheet_is_read(tmp_path: Path) -> None:
    text = (HEAD + "a.jpg,1.0,0#5,0#5,0#5,0#5,one\nb.jpg,FALSE,,,,,two\n").replace(",", ";").replace("#", ",")
    path = tmp_path / "corrections.csv"
    path.write_text(text, encoding="utf-8-sig")
    assert read_corrections(path) == {
        "a.jpg": [Correction(True, "one", Box(0.25, 0.25, 0.75, 0.75))],
        "b.jpg": [Correction(False, "two")],
    }


def test_a_corrected_box_replaces_the_box_it_covers(data: Path) -> None:
    pictures = {p.path.name: p for p in read_catalogue(data, corrected=False).split("train") if not p.hornet}
    (bee,) = pictures["0.png"].insects
    box = Box(bee.box.x0 - 0.01, bee.box.y0 - 0.01, bee.box.x1, bee.box.y1)
    (right,) = correct([pictures["0.png"]], data, {"train/absence/0.png": [Correction(True, "it is", box)]})
    assert right.hornet
    assert right.insects == (Insect(HORNET, box),)


def test_a_corrected_box_elsewhere_is_added(data: Path) -> None:
    corner = Box(0.0, 0.0, 0.05, 0.05)
    found = labels(data, {"val/presence/1.png": [Correction(True, "a second one", corner)]})
    assert found["val/presence/1.png"] == (True, "velutina", 2)


def test_a_doubtful_box_does_not_change_the_label(data: Path) -> None:
    corner = Box(0.0, 0.0, 0.05, 0.05)
    (picture,) = (p for p in read_catalogue(data).split("train") if p.name == "absence/1.png")
    (right,) = correct([picture], data, {"train/absence/1.png": [Correction(None, "a blur", corner)]})
    assert not right.hornet
    assert right.doubtful_boxes == (corner,)


def test_boxes_of_one_picture_can_be_corrected_separately(tmp_path: Path) -> None:
    path = table(tmp_path, HEAD + "a.jpg,1,.5,.5,.5,.5,one\na.jpg,?,.1,.1,.1,.1,two\n")
    first, second = read_corrections(path)["a.jpg"]
    assert (first.hornet, first.box) == (True, Box(0.25, 0.25, 0.75, 0.75))
    assert second.hornet is None
