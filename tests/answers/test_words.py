"""What was found, in a person's words."""

from __future__ import annotations

import pytest

from hivewatch.answers.findings import Answer, Hornet, Span
from hivewatch.answers.words import answer_line, clip_time, hornet_line, place_text, total_line
from hivewatch.domain.frames import Box, Location, Point

PLACE = Location(Point(0.1, 0.7), Box(0.05, 0.65, 0.15, 0.754))
WHERE = "at the bottom left (5 to 15 % from the left, 65 to 75 % from the top)"
IN_PICTURE = Hornet("a", "a.jpg", 0.994, PLACE, None)
VISIT = Hornet("b", "c.mp4", 0.97, PLACE, Span(3.2, 12.0, 61.0))


def answer(*hornets: Hornet, name: str = "c.mp4", is_clip: bool = True, **fields: object) -> Answer:
    found = Answer(name, is_clip, length=8, threshold=0.8, hornets=list(hornets), frames=8, duration_s=30.0)
    for field, value in fields.items():
        setattr(found, field, value)
    return found


@pytest.mark.parametrize(
    ("peak", "words"),
    [
        (Point(0.5, 0.5), "in the middle"),
        (Point(0.0, 0.5), "on the left"),
        (Point(1.0, 0.4), "on the right"),
        (Point(0.5, 0.1), "at the top"),
        (Point(0.9, 0.1), "at the top right"),
        (Point(0.2, 1.0), "at the bottom left"),
    ],
)
def test_a_place_is_named_in_nine_parts_of_the_picture(peak: Point, words: str) -> None:
    assert place_text(Location(peak, None)) == words


def test_a_hornet_in_a_picture_has_its_score_and_place() -> None:
    assert hornet_line(IN_PICTURE) == f"a.jpg: hornet 99 %, {WHERE}"


def test_a_visit_has_its_times_in_the_clip() -> None:
    assert hornet_line(VISIT) == f"c.mp4: hornet from 0:03 to 0:12, best picture 97 % at 1:01, {WHERE}"
    short = Hornet("b", "c.mp4", 0.97, PLACE, Span(3.2, 3.4, 3.4))
    assert hornet_line(short).startswith("c.mp4: hornet at 0:03, best picture 97 % at 0:03")


@pytest.mark.parametrize(
    ("position_s", "text"), [(0.4, "0:00"), (59.6, "1:00"), (754.0, "12:34"), (3723.0, "1:02:03")]
)
def test_a_position_in_a_clip_is_shown_as_players_do(position_s: float, text: str) -> None:
    assert clip_time(position_s) == text


def test_a_clip_is_answered_with_the_number_of_visits() -> None:
    assert answer_line(answer(VISIT)) == "c.mp4: 1 visit of a hornet in 0:30"
    assert answer_line(answer(VISIT, VISIT)) == "c.mp4: 2 visits of a hornet in 0:30"


def test_a_clip_without_a_visit_has_no_hornet_and_how_near_it_came() -> None:
    assert answer_line(answer(highest=0.34)) == (
        "c.mp4: no hornet in 0:30; the highest score of a frame is 34 %"
    )
    assert answer_line(answer(highest=0.9)).endswith("is 90 %, but too few frames agree")
    assert answer_line(answer(gated=8)) == "c.mp4: no hornet in 0:30; nothing moved in its 8 frames"


def test_a_folder_is_answered_with_how_many_pictures_show_a_hornet() -> None:
    assert answer_line(answer(*[IN_PICTURE] * 5, name="p", is_clip=False)) == (
        "p: 5 of 8 pictures show a hornet"
    )
    assert answer_line(answer(name="p", is_clip=False, unreadable=2)) == (
        "p: no hornet in 8 pictures; 2 could not be read"
    )
    assert answer_line(answer(IN_PICTURE, name=".", is_clip=False)) == "1 of 8 pictures shows a hornet"


def test_one_picture_is_answered_in_one_line() -> None:
    one = answer(IN_PICTURE, name="a.jpg", is_clip=False, length=1, frames=1)
    assert answer_line(one) == f"a.jpg: hornet 99 %, {WHERE}"
    none = answer(name="a.jpg", is_clip=False, length=1, frames=1, highest=0.03)
    assert answer_line(none) == "a.jpg: no hornet (score 3 %)"


def test_a_source_that_cannot_be_read_never_has_no_hornet() -> None:
    assert answer_line(answer(frames=0, error="c.mp4 is empty")) == "not judged: c.mp4 is empty"
    assert answer_line(answer(highest=0.1, error="lost")).endswith("(it cannot be read to its end)")


def test_the_total_counts_pictures_clips_and_unreadable_files() -> None:
    folder = answer(IN_PICTURE, name="p", is_clip=False, unreadable=2)
    broken = answer(frames=0, error="no clip")
    assert total_line([folder, answer(VISIT, VISIT), answer(), broken]) == (
        "In all: 1 of 8 pictures shows a hornet; 2 visits of a hornet in 1 of 2 clips;"
        " 3 files could not be read"
    )
    assert total_line([answer(), answer()]) == "In all: no hornet in 2 clips"
