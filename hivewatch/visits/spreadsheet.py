"""The report for spreadsheets and programs: CSV as in RFC 4180."""

from __future__ import annotations

import csv
import io
from datetime import UTC

from hivewatch.visits.report import Report, Visit

COLUMNS = (
    "start_utc",
    "start_local",
    "duration_s",
    "best_score",
    "votes_for",
    "votes",
    "picture",
    "notes",
    "hive",
    "id",
)


def visit_csv(report: Report) -> str:
    """Return a header and a line for each visit, ended by CR LF; unknown values are empty.

    ``start_utc`` is unambiguous; ``start_local`` has no offset, because spreadsheets take it for a time only
    without.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    writer.writerows(_row(visit, report.hive.id) for visit in report.visits)
    return text.getvalue()


def _row(visit: Visit, hive_id: str) -> tuple[object, ...]:
    return (
        f"{visit.started_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        f"{visit.started_at:%Y-%m-%d %H:%M:%S}",
        round(visit.duration_s, 3),
        None if visit.best_score is None else round(visit.best_score, 4),
        visit.votes_for,
        visit.votes,
        visit.picture,
        "; ".join(visit.notes),
        hive_id,
        visit.id,
    )
