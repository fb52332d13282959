"""The decider: N of the last M votes start a sighting, quiet ends it, time comes from the frames."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fakes import NOON, make_frame, make_prediction

from hivewatch.config.sections import DecisionConfig
from hivewatch.domain.sightings import Phase, Sighting
from hivewatch.vision.decision import Decider

HORNET, MAYBE, NOTHING = 0.8, 0.5, 0.1
CONFIG = DecisionConfig(
    threshold=0.6,
    release=0.4,
    votes=3,
    out_of=5,
    window_s=10,
    quiet_s=15,
    cool_down_s=30,
    update_gain=0.05,
    update_every_s=5,
)


def make_decider(**changes: float) -> Decider:
    ids = count(1)
    return Decider(CONFIG.model_copy(update=changes), new_id=lambda: f"visit{next(ids)}")


def judge(decider: Decider, *votes: tuple[float, float | None]) -> list[Sighting]:
    """Feed (second, score) pairs, with score None for a held-back frame; return all events."""
    events: list[Sighting] = []
    for at_s, score in votes:
        frame = make_frame(at_s=at_s)
        events += decider.no_vote(frame) if score is None else decider.vote(frame, make_prediction(score))
    return events


def phases(events: list[Sighting]) -> list[Phase]:
    return [event.phase for event in events]


def test_a_sighting_starts_with_the_third_vote() -> None:
    decider = make_decider()
    assert judge(decider, (0, HORNET), (1, HORNET)) == []
    (start,) = judge(decider, (2, HORNET))
    assert (start.phase, start.votes_for, start.votes) == (Phase.START, 3, 3)


def test_votes_against_do_not_prevent_a_sighting_if_n_of_the_last_m_are_for() -> None:
    assert phases(
        judge(make_decider(), (0, HORNET), (1, NOTHING), (2, HORNET), (3, NOTHING), (4, HORNET))
    ) == ["start"]


def test_votes_before_the_last_m_do_not_count() -> None:
    votes = [(0, HORNET), (1, HORNET), (2, NOTHING), (3, NOTHING), (4, NOTHING), (5, HORNET)]
    assert judge(make_decider(), *votes) == []


def test_votes_older_than_the_window_do_not_count() -> None:
    assert judge(make_decider(), (0, HORNET), (1, HORNET), (12, HORNET)) == []


def test_a_held_back_frame_is_not_a_vote_against() -> None:
    votes = [(0, HORNET), *[(n / 2, None) for n in range(1, 9)], (5, HORNET), (6, HORNET)]
    assert phases(judge(make_decider(), *votes)) == ["start"]


def test_a_sighting_starts_at_its_first_vote_and_carries_the_best_frame() -> None:
    (start,) = judge(make_decider(), (0, NOTHING), (1, 0.7), (2, 0.9), (3, 0.8))
    assert start.started_at == make_frame(at_s=1).taken_at
    assert start.best_frame.monotonic_s == 2
    assert (start.best.score, start.score) == (0.9, 0.8)


def test_a_score_between_release_and_threshold_keeps_a_sighting_open_but_does_not_open_one() -> None:
    assert judge(make_decider(), *[(n, MAYBE) for n in range(20)]) == []
    decider = make_decider()
    judge(decider, (0, HORNET), (1, HORNET), (2, HORNET))
    assert judge(decider, *[(n, MAYBE) for n in range(3, 60)]) == []


def test_a_sighting_ends_after_the_quiet_time_which_its_duration_excludes() -> None:
    decider = make_decider()
    judge(decider, (0, HORNET), (1, HORNET), (2, HORNET), (3, HORNET))
    assert judge(decider, (17.9, NOTHING)) == []
    (end,) = judge(decider, (18, NOTHING))
    assert (end.phase, end.duration_s) == (Phase.END, 3)
    assert end.last_seen_at == make_frame(at_s=3).taken_at
    assert end.at == make_frame(at_s=18).taken_at


def test_a_single_vote_does_not_keep_a_sighting_open() -> None:
    decider = make_decider()
    judge(decider, (0, HORNET), (1, HORNET), (2, HORNET))
    votes = [(n, HORNET if n == 10 else NOTHING) for n in range(3, 18)]
    (end,) = judge(decider, *votes)
    assert (end.phase, end.duration_s, end.votes_for) == (Phase.END, 2, 4)


def test_held_back_frames_let_time_pass() -> None:
    decider = make_decider()
    judge(decider, (0, HORNET), (1, HORNET), (2, HORNET))
    assert phases(judge(decider, (17, None))) == ["end"]


def test_a_hornet_after_a_gap_longer_than_the_quiet_time_is_a_new_visit() -> None:
    decider = make_decider(cool_down_s=0)
    judge(decider, (0, HORNET), (1, HORNET), (2, HORNET))
    assert phases(judge(decider, (7200, HORNET))) == ["end"]
    (start,) = judge(decider, (7201, HORNET), (7202, HORNET))
    assert start.id == "visit2"
    assert start.started_at == make_frame(at_s=7200).taken_at


def test_a_better_frame_causes_an_update_at_most_every_update_every_s() -> None:
    decider = make_decider()
    judge(decider, (0, 0.7), (1, 0.7), (2, 0.7))
    assert judge(decider, (3, 0.9)) == []
    assert judge(decider, (6.9, 0.72)) == []
    (update,) = judge(decider, (7, 0.72))
    assert (update.phase, update.best.score, update.score) == (Phase.UPDATE, 0.9, 0.72)
    assert judge(decider, (20, 0.72)) == []


def test_a_gain_below_update_gain_causes_no_update() -> None:
    decider = make_decider()
    judge(decider, (0, 0.7), (1, 0.7), (2, 0.7))
    assert judge(decider, (9, 0.74)) == []


def test_a_delayed_update_is_reported_before_the_end() -> None:
    decider = make_decider()
    judge(decider, (0, 0.7), (1, 0.7), (2, 0.7), (3, 0.95))
    events = decider.finish()
    assert phases(events) == ["update", "end"]
    assert all(event.best.score == 0.95 for event in events)


def test_all_events_of_a_visit_share_an_id_and_the_next_visit_has_another() -> None:
    decider = make_decider(cool_down_s=0)
    first = judge(decider, (0, HORNET), (1, HORNET), (2, HORNET), (18, NOTHING))
    second = judge(decider, (19, HORNET), (20, HORNET), (21, HORNET))
    assert {event.id for event in first} == {"visit1"}
    assert {event.id for event in second} == {"visit2"}


def test_no_sighting_starts_during_the_cool_down() -> None:
    decider = make_decider()
    judge(decider, (0, HORNET), (1, HORNET), (2, HORNET), (17, NOTHING))
    assert judge(decider, *[(n, HORNET) for n in range(18, 47)]) == []
    assert phases(judge(decider, (47, HORNET), (48, HORNET), (49, HORNET))) == ["start"]


def test_finish_without_an_open_sighting_returns_no_event() -> None:
    assert make_decider().finish() == []


def test_new_thresholds_apply_at_once_and_keep_the_open_sighting() -> None:
    decider = make_decider()
    judge(decider, (0, HORNET), (1, HORNET), (2, HORNET))
    decider.configure(CONFIG.model_copy(update={"quiet_s": 2.0, "release": 0.0, "threshold": 0.9}))
    (end,) = judge(decider, (4, None))
    assert end.id == "visit1"


@given(st.lists(st.tuples(st.floats(0.01, 20), st.none() | st.floats(0, 1)), max_size=80))
def test_every_sighting_is_a_start_then_updates_then_one_end(
    gaps: list[tuple[float, float | None]],
) -> None:
    decider, now_s, events = make_decider(), 0.0, []
    for gap_s, score in gaps:
        now_s += gap_s
        events += judge(decider, (now_s, score))
    events += decider.finish()
    for visit in {event.id for event in events}:
        phases_of_visit = [event.phase for event in events if event.id == visit]
        assert phases_of_visit[0] == Phase.START
        assert phases_of_visit[-1] == Phase.END
        assert set(phases_of_visit[1:-1]) <= {Phase.UPDATE}
    assert all(event.votes_for <= event.votes and event.duration_s >= 0 for event in events)


@pytest.mark.parametrize("at_s", [2, 3600])
def test_events_depend_on_scores_not_on_when_they_happen(at_s: float) -> None:
    votes = [(at_s + n, score) for n, score in enumerate([0.7, 0.2, 0.9, 0.65, 0.97, 0.1, 0.5])]
    (start,) = judge(make_decider(), *votes)
    assert start.at == make_frame(at_s=at_s + 3).taken_at


def judge_while_the_clock_is_set(jump: timedelta, *, live: bool) -> tuple[Sighting, Sighting]:
    """Return start and end of a visit from second 0 to 20; the wall clock is set by ``jump`` at second 5."""
    decider = Decider(CONFIG, live=live)
    events: list[Sighting] = []
    for at_s in range(40):
        frame = make_frame(at_s=at_s)
        if at_s >= 5:
            frame = replace(frame, taken_at=frame.taken_at + jump)
        events += decider.vote(frame, make_prediction(HORNET if at_s <= 20 else NOTHING))
    assert phases(events) == ["start", "end"]
    return events[0], events[1]


@pytest.mark.parametrize("jump", [timedelta(days=365), timedelta(hours=-2)])
def test_a_clock_set_during_a_visit_changes_neither_duration_nor_votes(jump: timedelta) -> None:
    _, plain_end = judge_while_the_clock_is_set(timedelta(), live=True)
    start, end = judge_while_the_clock_is_set(jump, live=True)
    assert (end.duration_s, end.votes, end.votes_for) == (20, plain_end.votes, plain_end.votes_for)
    assert start.started_at == NOON
    assert end.started_at == NOON + jump, "the whole visit has times of the clock as it is now"
    assert end.last_seen_at == NOON + jump + timedelta(seconds=20)
    assert end.best_frame.taken_at == NOON + jump + timedelta(seconds=end.best_frame.monotonic_s)


def test_times_of_files_are_not_corrected() -> None:
    _, end = judge_while_the_clock_is_set(timedelta(hours=1), live=False)
    assert end.started_at == NOON


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("back_s", [0.5, 1.9, 2.5, 7200])
def test_a_visit_never_ends_before_it_started_although_the_clock_is_set_back(
    back_s: float, live: bool
) -> None:
    decider = Decider(CONFIG.model_copy(update={"votes": 1, "out_of": 1}), live=live)
    first, second = make_frame(at_s=0), make_frame(at_s=0.2)
    second = replace(second, taken_at=second.taken_at - timedelta(seconds=back_s))
    events = decider.vote(first, make_prediction(HORNET)) + decider.vote(second, make_prediction(HORNET))
    events += decider.finish()
    assert phases(events) == ["start", "end"]
    assert all(event.started_at <= event.last_seen_at <= event.at for event in events)


def test_pictures_dated_in_the_wrong_order_do_not_turn_a_visit_around() -> None:
    """A folder's pictures are in the order of their names, whatever their modification times are."""
    decider = make_decider()
    events = []
    for at_s in range(25):
        frame = replace(make_frame(at_s=at_s), taken_at=NOON - timedelta(hours=at_s))
        events += decider.vote(frame, make_prediction(HORNET if at_s < 5 else NOTHING))
    assert phases(events) == ["start", "end"]
    assert all(event.started_at <= event.last_seen_at <= event.at for event in events)
