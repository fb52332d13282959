"""What a replay has found, in words."""

from __future__ import annotations

from collections.abc import Sequence

from hivewatch.answers.findings import Answer, Hornet
from hivewatch.domain.frames import Box, Location
from hivewatch.domain.names import printable

_ROWS = ("top", "", "bottom")
_COLUMNS = ("left", "", "right")


def hornet_line(hornet: Hornet) -> str:
    """Return where, when and how certainly a hornet was found."""
    return f"{printable(hornet.file)}: {hornet_text(hornet)}"


def hornet_text(hornet: Hornet) -> str:
    """Return the same as ``hornet_line`` without the name of the file."""
    place = place_text(hornet.location)
    if hornet.span is None:
        return f"hornet {percent(hornet.score)}, {place}"
    start, end, best = map(clip_time, hornet.span)
    when = f"at {start}" if start == end else f"from {start} to {end}"
    return f"hornet {when}, best picture {percent(hornet.score)} at {best}, {place}"


def answer_line(answer: Answer) -> str:
    """Return what was found in a source, in a line."""
    if answer.error is not None and not answer.frames:
        return f"not judged: {printable(answer.error)}"
    name = "" if answer.name == "." else f"{printable(answer.name)}: "
    cut_off = "" if answer.error is None else " (it cannot be read to its end)"
    return f"{name}{_clip_text(answer) if answer.is_clip else _pictures_text(answer)}{cut_off}"


def total_line(answers: Sequence[Answer]) -> str:
    """Return what was found in all sources, in a line."""
    clips = [answer for answer in answers if answer.is_clip and answer.frames]
    folders = [answer for answer in answers if not answer.is_clip and answer.frames]
    parts = []
    if folders:
        parts.append(_share(sum(len(f.hornets) for f in folders), sum(f.frames for f in folders)))
    if clips:
        visits, visited = sum(len(c.hornets) for c in clips), sum(bool(c.hornets) for c in clips)
        of_clips = f"{visited} of {_count(len(clips), 'clip')}"
        parts.append(
            f"{_visits(visits)} in {of_clips}" if visits else f"no hornet in {_count(len(clips), 'clip')}"
        )
    unread = sum(answer.unreadable for answer in answers)
    unread += sum(answer.is_clip and answer.error is not None for answer in answers)
    if unread:
        parts.append(f"{_count(unread, 'file')} could not be read")
    return f"In all: {'; '.join(parts)}"


def place_text(location: Location) -> str:
    """Return where in the picture something is: in words, and in percent of the picture if it has a box."""
    column, row = (min(2, int(3 * value)) for value in location.peak)
    words = f"{_ROWS[row]} {_COLUMNS[column]}".strip()
    side = {"": "in the middle", "left": "on the left", "right": "on the right"}.get(words, f"at the {words}")
    return side if location.box is None else f"{side} ({_box_text(location.box)})"


def percent(score: float) -> str:
    """Return a score, 0..1, in percent."""
    return f"{100 * score:.0f} %"


def clip_time(position_s: float) -> str:
    """Return a position in a clip as players show it: 0:07, 12:30, 1:02:03."""
    minutes, seconds = divmod(round(position_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _clip_text(answer: Answer) -> str:
    length = clip_time(answer.duration_s)
    if answer.hornets:
        return f"{_visits(len(answer.hornets))} in {length}"
    if answer.highest is None:
        return f"no hornet in {length}; nothing moved in its {_count(answer.frames, 'frame')}"
    score = f"the highest score of a frame is {percent(answer.highest)}"
    if answer.highest >= answer.threshold:
        return f"no hornet in {length}; {score}, but too few frames agree"
    return f"no hornet in {length}; {score}"


def _pictures_text(answer: Answer) -> str:
    if answer.is_one_picture:
        return (
            hornet_text(answer.hornets[0])
            if answer.hornets
            else f"no hornet (score {percent(answer.highest or 0)})"
        )
    unread = f"; {answer.unreadable} could not be read" if answer.unreadable else ""
    return f"{_share(len(answer.hornets), answer.frames)}{unread}"


def _share(hornets: int, pictures: int) -> str:
    if not hornets:
        return f"no hornet in {_count(pictures, 'picture')}"
    return f"{hornets} of {_count(pictures, 'picture')} {'shows' if hornets == 1 else 'show'} a hornet"


def _visits(number: int) -> str:
    return f"{_count(number, 'visit')} of a hornet"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing if number == 1 else f'{thing}s'}"


def _box_text(box: Box) -> str:
    x0, y0, x1, y1 = (round(100 * value) for value in box)
    return f"{x0} to {x1} % from the left, {y0} to {y1} % from the top"
