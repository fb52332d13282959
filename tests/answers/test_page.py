"""The page of what was found."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from support.fakes import make_prediction
from support.visits import make_visit

from hivewatch.answers.findings import Answer, Hornet, Span
from hivewatch.answers.page import Page
from hivewatch.errors import StoreError
from hivewatch.messages.alert import without_pictures

SPAN = Span(3.0, 9.0, 5.0)
PLACE = make_prediction().location


class Balanced(HTMLParser):
    """Checks that every element is closed in order, and collects the attributes."""

    VOID = frozenset({"meta", "img", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def read(page: Page) -> Balanced:
    parsed = Balanced()
    parsed.feed(page.index.read_text("utf-8"))
    assert parsed.open == []
    return parsed


def hornet(id_: str = "1", file: str = "c.mp4", span: Span | None = SPAN) -> Hornet:
    return Hornet(id_, file, 0.97, PLACE, span)


def answer(*hornets: Hornet, name: str = "c.mp4", is_clip: bool = True) -> Answer:
    return Answer(name, is_clip, 9, 0.8, list(hornets), frames=9, duration_s=30.0, highest=0.5)


def test_each_find_is_on_the_contact_sheet_and_clean_beside_annotated(tmp_path: Path) -> None:
    page = Page(tmp_path / "report")
    found = [hornet("1"), hornet("2")]
    alerts = [make_visit(n)[1] for n in (1, 2)]
    for one, alert in zip(found, alerts, strict=True):
        page.add(one, alert)
    page.write([answer(*found)], "how", complete=True)
    pictures = [value for name, value in read(page).attributes if name == "src"]
    assert pictures == [
        "pictures/0001-annotated.jpg",
        "pictures/0002-annotated.jpg",
        *("pictures/0001.jpg", "pictures/0001-annotated.jpg"),
        *("pictures/0002.jpg", "pictures/0002-annotated.jpg"),
    ]
    clean, annotated = ((tmp_path / "report" / name).read_bytes() for name in pictures[-2:])
    assert clean == alerts[1].clean_jpeg
    assert alerts[1].snapshot is not None
    assert annotated == alerts[1].snapshot.payload


def test_every_link_leads_into_the_folder_or_the_page_and_there_is_no_script(tmp_path: Path) -> None:
    page = Page(tmp_path / "report")
    page.add(hornet(), make_visit(1)[1])
    page.write([answer(hornet())], "how", complete=True)
    attributes = read(page).attributes
    anchors = {value for name, value in attributes if name == "id"}
    for name, value in attributes:
        assert not name.startswith("on")
        if name in {"src", "href"}:
            assert value is not None
            assert value[1:] in anchors if value.startswith("#") else (page.index.parent / value).is_file()
    text = page.index.read_text()
    assert "<script" not in text
    assert not re.search("https?:|@import|url\\(", text), "nothing comes from the network"


def test_file_names_are_escaped(tmp_path: Path) -> None:
    name = '<script>"&\udcff.mp4'
    page = Page(tmp_path / "report")
    page.add(hornet(file=name), make_visit(1)[1])
    folder = answer(name="<b>", is_clip=False)
    folder.rejected = {"<img src=x>.jpg": 0.5}
    page.write([answer(hornet(file=name), name=name), folder], "<i>", complete=True)
    text = page.index.read_text("utf-8")
    assert "&lt;script&gt;&quot;&amp;\\xff.mp4: 1 visit of a hornet" in text
    assert "&lt;img src=x&gt;.jpg: 50&nbsp;%" in text
    assert not re.search("<script|<img src=x|<b>|<i>", text)
    read(page)


def test_a_page_of_nothing_says_so(tmp_path: Path) -> None:
    page = Page(tmp_path / "report")
    page.write([answer()], "how", complete=True)
    assert "<h1>c.mp4: no hornet in 0:30" in page.index.read_text()
    assert [value for name, value in read(page).attributes if name == "src"] == []


def test_a_page_of_a_replay_that_was_ended_early_says_so(tmp_path: Path) -> None:
    page = Page(tmp_path / "report")
    page.write([answer()], "how", complete=False)
    assert "ended early" in page.index.read_text()


def test_a_find_without_pictures_is_on_the_page(tmp_path: Path) -> None:
    page = Page(tmp_path / "report")
    page.add(hornet(), without_pictures(make_visit(1)[1]))
    page.write([answer(hornet())], "how", complete=True)
    assert "Without a picture, because the disk was full." in page.index.read_text()


def test_a_folder_with_something_in_it_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(StoreError, match="is not empty: name a new one"):
        Page(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_folder_that_cannot_be_made_or_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot make the folder"):
        Page(tmp_path / "file" / "report")
    page = Page(tmp_path / "report")
    (tmp_path / "report" / "pictures").rmdir()
    with pytest.raises(StoreError, match=r"cannot write .*0001\.jpg"):
        page.add(hornet(), make_visit(1)[1])
