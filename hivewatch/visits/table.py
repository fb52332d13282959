"""The report for people: a table with a total for each day."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby

from hivewatch.visits.report import Report, Visit

_HEAD = f"  {'start':8}  {'duration':>12}  {'score':>5}  {'votes':>9}  picture"


def visit_table(report: Report) -> str:
    """Return the table, each day with its number of visits and their time; a sentence if there are none."""
    title = f"Visits at {report.hive.name} ({report.hive.id}) since {_minute(report.since)}"
    if not report.visits:
        return f"{title}: none.\n{_earlier(report)}"
    lines = [f"{title}; local times, {_zones(report.visits)}", "", _HEAD]
    for day, group in groupby(report.visits, key=lambda visit: visit.started_at.date()):
        visits = list(group)
        lines += [f"{day:%a %Y-%m-%d}: {_total(visits)}", *map(_row, visits)]
    lines += ["", f"In total: {_total(report.visits)}."]
    return "\n".join(lines)


def _row(visit: Visit) -> str:
    score = "-" if visit.best_score is None else f"{visit.best_score:.2f}"
    votes = "-" if visit.votes is None else f"{visit.votes_for} of {visit.votes}"
    notes = f"  ({', '.join(visit.notes)})" if visit.notes else ""
    return (
        f"  {visit.started_at:%H:%M:%S}  {duration(visit.duration_s):>12}  {score:>5}  {votes:>9}"
        f"  {visit.picture or 'no picture'}{notes}"
    )


def _total(visits: Sequence[Visit]) -> str:
    noun = "visit" if len(visits) == 1 else "visits"
    return f"{len(visits)} {noun}, {duration(sum(visit.duration_s for visit in visits))}"


def duration(seconds: float) -> str:
    """Return a duration for people, such as ``8 s``, ``2 min 05 s`` or ``1 h 02 min``."""
    whole_s = round(seconds)
    if whole_s < 60:
        return f"{whole_s} s"
    minutes, rest_s = divmod(whole_s, 60)
    return f"{minutes} min {rest_s:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def _earlier(report: Report) -> str:
    if report.latest_earlier_at is None:
        return "The store holds no visit at all."
    before = "1 earlier visit" if report.earlier == 1 else f"{report.earlier} earlier visits"
    day = f"{report.latest_earlier_at:%Y-%m-%d}"
    return f"The store holds {before}, the latest on {day}: see `--since {day}`."


def _minute(moment: datetime) -> str:
    return f"{moment:%a %Y-%m-%d %H:%M}"


def _zones(visits: Sequence[Visit]) -> str:
    """Return the offsets of local time, two if summer time has started or ended in between."""
    offsets = dict.fromkeys(visit.started_at.isoformat()[-6:] for visit in visits)
    return " and ".join(f"UTC{offset}" for offset in offsets)
