"""What is wrong with text that is not YAML, and how to read the rest of it.

No sentence repeats a value: it may be a password.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import yaml

NO_BLANK = "a blank is missing after the colon: write `name: value`"
_MOST_FAULTS = 10
# Each fault is a run over the text, so a larger one is read once only. The manual has half of that.
_MOST_CHARACTERS, _MOST_LINES, _MOST_CHUNKS = 20_000, 1000, 50

PARSER_ERRORS = (yaml.YAMLError, ValueError, LookupError)
"""What PyYAML raises for text that is not YAML; ValueError and LookupError come from odd escapes and tags."""


class Fault(NamedTuple):
    """A place at which the text is not YAML; ``line`` counts from 1."""

    line: int
    sentence: str


class Chunk(NamedTuple):
    """A top-level section as text. ``node`` is what could be read of it, None if nothing could."""

    section: str
    node: yaml.Node | None
    faults: list[Fault]
    is_whole: bool


def compose(text: str) -> yaml.Node | None:
    """Return the node of the only document in ``text``, None if it is empty; raises PARSER_ERRORS."""
    loader = yaml.SafeLoader(text)
    node: yaml.Node | None = loader.get_single_node()
    return node


def chunks(text: str, names: set[str]) -> Iterator[Chunk]:
    """Read every top-level section by itself, so that a fault hides the mistakes of its own section only.

    ``names``: all names of options and sections, which a sentence may repeat. Yields nothing for a text that
    is too large for that, and no section after many faults.
    """
    lines = text.split("\n")
    starts = [n for n, line in enumerate(lines) if re.match("[A-Za-z_\"'?]", line)]
    if len(text) > _MOST_CHARACTERS or len(lines) > _MOST_LINES or len(starts) > _MOST_CHUNKS:
        return
    left = _MOST_FAULTS
    for start, end in zip([0, *starts], [*starts, len(lines)], strict=True):
        if left > 0 and any(line.strip() for line in lines[start:end]):
            chunk = _chunk(lines[:end], start, names)
            left -= len(chunk.faults)
            yield chunk


def _chunk(lines: list[str], start: int, names: set[str]) -> Chunk:
    """Read ``lines`` from index ``start`` on; blank every line at fault, together with what belongs to it."""
    lines = [""] * start + lines[start:]
    section = re.match("[\"']?([A-Za-z0-9_-]*)", lines[start])
    name = section[1] if section else ""
    faults: list[Fault] = []
    seen = set()
    for _ in range(_MOST_FAULTS):
        try:
            return Chunk(name, compose("\n".join(lines)), faults, not faults)
        except PARSER_ERRORS as caught:
            error = caught
        # Explained after the except block, like everything that handles an error which quotes the file.
        fault = explain(error, lines, names)
        index = min(max(fault.line - 1, start), len(lines) - 1)
        # Lines with the same wrong indentation are one mistake.
        same = fault.sentence, _indent(lines[index])
        if same not in seen:
            faults.append(fault)
        seen.add(same)
        if index == start or not lines[index].strip():
            break
        _blank(lines, index)
    return Chunk(name, None, faults, False)


def _blank(lines: list[str], index: int) -> None:
    """Blank a line and the lines below it that are indented further."""
    indent = _indent(lines[index])
    lines[index] = ""
    for below in range(index + 1, len(lines)):
        if lines[below].strip() and _indent(lines[below]) <= indent:
            break
        lines[below] = ""


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def explain(error: Exception, lines: Sequence[str], names: set[str]) -> Fault:
    """Return the line to correct, which is often not the one at which PyYAML stopped, and how."""
    problem = str(getattr(error, "problem", None) or "")
    line = _line(error, "problem_mark")
    opened = _line(error, "context_mark")
    context = str(getattr(error, "context", None) or "")
    if isinstance(error, yaml.reader.ReaderError):
        before = "\n".join(lines)[: error.position]
        return Fault(
            before.count("\n") + 1, "contains a control character: remove it, or write the line again"
        )
    if line is None:
        return Fault(1, "cannot be read as YAML: put values with special characters in quotes")
    if "quoted scalar" in context and "end of stream" in problem and opened:
        return Fault(opened, "the quotation mark that opens here is never closed: write the second one")
    if "flow" in context and problem.startswith("expected ',' or") and opened:
        is_last = "stream end" in problem
        return _unclosed(opened, 0 if is_last else line, "]" if "sequence" in context else "}")
    if "flow" in context and "stream end" in problem:
        return _last_unclosed(line, lines)
    if problem == "mapping values are not allowed here":
        return _misplaced_colon(line, lines, names)
    if problem == "could not find expected ':'" and opened:
        return Fault(opened, _no_colon(lines[opened - 1], names))
    return Fault(line, _sentence(problem, lines[min(line, len(lines)) - 1]))


def _line(error: Exception, mark: str) -> int | None:
    found = getattr(error, mark, None)
    return None if found is None else int(found.line) + 1


def _unclosed(opened: int, line: int, bracket: str) -> Fault:
    """Return the fault of a bracket that opens in line ``opened``; PyYAML stopped in ``line``."""
    if line == opened:
        sentence = f"a comma or {bracket} is missing, or quotes around a text that contains a colon"
        return Fault(line, sentence)
    opening = "[" if bracket == "]" else "{"
    return Fault(opened, f"a bracket is missing: the {opening} that opens here needs its {bracket}")


def _last_unclosed(line: int, lines: Sequence[str]) -> Fault:
    """Return the fault of the last line that opens more brackets than it closes, above ``line``."""
    for number in range(min(line, len(lines)), 0, -1):
        text = _text(lines[number - 1])
        for opening, closing in ("[]", "{}"):
            if text.count(opening) > text.count(closing):
                return _unclosed(number, 0, closing)
    return Fault(line, "a closing bracket is missing")


def _misplaced_colon(line: int, lines: Sequence[str], names: set[str]) -> Fault:
    """Return the fault for a colon that YAML does not expect, which is mostly due to the line above."""
    here = lines[line - 1]
    above = next((n for n in range(line - 1, 0, -1) if _text(lines[n - 1])), None)
    if above is not None:
        before = _text(lines[above - 1])
        if re.match(r"[\w-]+:\S", before) and "://" not in before.partition(" ")[0]:
            return Fault(above, NO_BLANK)
        if re.fullmatch(r"[\w-]+", before):
            return Fault(above, _no_colon(before, names))
        if _indent(here) > _indent(lines[above - 1]) and _text(here).count(":") <= 1:
            sentence = "is indented further than the line above: start both in the same column"
            return Fault(line, sentence)
    first, _, rest = _text(here).partition(": ")
    if first in names and rest.partition(":")[0] in names:
        return Fault(line, "has two names: write the second one in a line of its own, indented further")
    return Fault(line, "contains a second colon: put the value in quotes")


def _text(line: str) -> str:
    """Return the line without its indentation and without a comment."""
    return re.sub(r"(^|\s)#.*", "", line).strip()


def _no_colon(line: str, names: set[str]) -> str:
    word = _text(line)
    return (
        f"a colon is missing: write `{word}:`" if word in names else "a colon is missing: write `name: value`"
    )


def _sentence(problem: str, line: str) -> str:
    """Return what is wrong in ``line`` for the faults that PyYAML reports at the right place."""
    if "\t" in line[: _indent(line)] or "'\\t'" in problem:
        return "is indented with a tab: use blanks"
    found = re.search(r"found character '(.)' that cannot start any token", problem)
    if found:
        return f"a value cannot begin with {found[1]}: put it in quotes"
    if "undefined alias" in problem:
        return "a value cannot begin with *: put it in quotes"
    if "node content, but found" in problem or re.search(r"but found '[],}]'", problem):
        return "contains a bracket or comma too many"
    if problem.startswith("expected <block end>"):
        if "'<scalar>'" in problem:
            return "has text after the closing quotation mark: put the whole value in quotes"
        if "'-'" in problem:
            return "begins with -, which starts a list, but options `name: value` are expected here"
        return "is not indented like the lines above: start options of one section in the same column"
    if "escape" in problem:
        return "contains a \\ in double quotes: use single quotes, or write \\\\"
    if "another document" in problem:
        return "begins a second document: remove this line"
    return "is not YAML: options are `name: value`, and text with special characters is in quotes"
