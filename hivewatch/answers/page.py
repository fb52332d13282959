"""The page of a replay: a contact sheet of what was found, and each picture clean beside annotated.

Plain HTML and JPEG files in one folder, without scripts and without anything from the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from hivewatch.answers.findings import Answer, Hornet
from hivewatch.answers.words import answer_line, hornet_text, percent, total_line
from hivewatch.domain.names import printable
from hivewatch.domain.wire import Alert
from hivewatch.errors import StoreError

PICTURES = "pictures"
INDEX = "index.html"


class Page:
    """Writes the pictures while sources are replayed, and the page that shows them at the end."""

    def __init__(self, folder: Path) -> None:
        """Make the folder; raises StoreError if it cannot be made or is not empty: nothing is overwritten."""
        self.index = folder / INDEX
        self._folder = folder
        self._stems: dict[str, str] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            is_empty = next(folder.iterdir(), None) is None
            if is_empty:
                (folder / PICTURES).mkdir()
        except OSError as error:
            raise StoreError(
                f"cannot make the folder {printable(folder)} for the report: {error.strerror}"
            ) from error
        if not is_empty:
            raise StoreError(f"the folder {printable(folder)} for the report is not empty: name a new one")

    def add(self, hornet: Hornet, alert: Alert) -> None:
        """Write the pictures of ``hornet``; raises StoreError if they cannot be written."""
        if alert.clean_jpeg is None or alert.snapshot is None:
            return  # the disk is full, and the recorder has said so
        stem = f"{PICTURES}/{len(self._stems) + 1:04}"
        self._write(f"{stem}.jpg", alert.clean_jpeg)
        self._write(f"{stem}-annotated.jpg", alert.snapshot.payload)
        self._stems[hornet.id] = stem

    def write(self, answers: Sequence[Answer], facts: str, *, complete: bool) -> None:
        """Write the page. ``facts``: how it was judged. Raises StoreError if it cannot be written."""
        warning = "" if complete else "The replay was ended early. This is what was found until then."
        hornets = [hornet for answer in answers for hornet in answer.hornets if hornet.id in self._stems]
        text = Template(files("hivewatch.answers").joinpath("page.html").read_text("utf-8")).substitute(
            total=_html(_headline(answers)),
            facts=_html(facts),
            warning=warning and f'<p class="warning">{warning}</p>',
            sheet=self._sheet(hornets),
            found="\n".join(self._section(answer) for answer in answers if answer.hornets),
            others=_others([answer for answer in answers if not answer.hornets]),
        )
        self._write(INDEX, text.encode())

    def _write(self, name: str, content: bytes) -> None:
        try:
            (self._folder / name).write_bytes(content)
        except OSError as error:
            raise StoreError(f"cannot write {printable(self._folder / name)}: {error.strerror}") from error

    def _sheet(self, hornets: Sequence[Hornet]) -> str:
        thumbnails = []
        for hornet in hornets:
            stem, text = self._stems[hornet.id], f"{Path(printable(hornet.file)).name}: {hornet_text(hornet)}"
            image = f'<img src="{stem}-annotated.jpg" alt="" loading="lazy">'
            thumbnails.append(f'<a href="#{_anchor(stem)}">{image}<br>{_html(text)}</a>')
        return f'<div class="sheet">{"".join(thumbnails)}</div>' if thumbnails else ""

    def _section(self, answer: Answer) -> str:
        shots = "\n".join(self._pair(hornet, answer) for hornet in answer.hornets)
        return f"<section>\n<h2>{_html(answer_line(answer))}</h2>\n{shots}\n{_rejected(answer)}\n</section>"

    def _pair(self, hornet: Hornet, answer: Answer) -> str:
        name = "" if answer.is_clip or answer.is_one_picture else f"{printable(hornet.file)}: "
        heading = _html(f"{name}{hornet_text(hornet)}")
        stem = self._stems.get(hornet.id)
        if stem is None:
            return f"<h3>{heading}</h3>\n<p>Without a picture, because the disk was full.</p>"
        figures = "".join(
            f'<figure><a href="{file}"><img src="{file}" alt="{text}" loading="lazy"></a>'
            f"<figcaption>{text}</figcaption></figure>"
            for file, text in ((f"{stem}.jpg", "clean"), (f"{stem}-annotated.jpg", "annotated"))
        )
        return f'<h3 id="{_anchor(stem)}">{heading}</h3>\n<div class="pair">{figures}</div>'


def _headline(answers: Sequence[Answer]) -> str:
    return answer_line(answers[0]) if len(answers) == 1 else total_line(answers)


def _html(text: str) -> str:
    """Return ``text`` escaped for a page, with numbers kept beside their percent sign."""
    return escape(text).replace(" %", "&nbsp;%")


def _others(answers: Sequence[Answer]) -> str:
    """Return the list of the sources in which nothing was found, or that could not be read."""
    items = "".join(f"<li>{_html(answer_line(answer))}{_rejected(answer)}</li>" for answer in answers)
    return f"<section>\n<h2>Nothing found</h2>\n<ul>{items}</ul>\n</section>" if items else ""


def _anchor(stem: str) -> str:
    return f"found-{Path(stem).name}"


def _rejected(answer: Answer) -> str:
    """Return the list of a folder's pictures without a hornet, the most suspicious first."""
    if not answer.rejected or answer.is_one_picture:
        return ""
    ordered = sorted(answer.rejected.items(), key=lambda item: -item[1])
    items = "".join(f"<li>{_html(f'{printable(file)}: {percent(score)}')}</li>" for file, score in ordered)
    return f"<details><summary>Without a hornet: {len(ordered)}</summary><ul>{items}</ul></details>"
