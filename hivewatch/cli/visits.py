"""The command report: lists the visits in the store."""

from __future__ import annotations

import argparse
import re
from datetime import datetime, timedelta

_UNITS = {"d": timedelta(days=1), "h": timedelta(hours=1)}


def add_report(report: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    report.add_argument(
        "--since",
        type=_time,
        default="7d",
        metavar="WHEN",
        help="a date such as 2026-11-24, or a span such as 30d or 24h (default: %(default)s)",
    )
    report.add_argument("--csv", action="store_true", help="print a table for spreadsheets instead")
    report.set_defaults(command=report_visits)


def report_visits(arguments: argparse.Namespace) -> int:
    """Print the visits since the given time, also while the daemon runs."""
    from hivewatch.config.location import find_config
    from hivewatch.config.reader import load
    from hivewatch.visits import read_report, visit_csv, visit_table

    report = read_report(load(find_config(arguments.config)), arguments.since, datetime.now().astimezone())
    if arguments.csv:
        print(visit_csv(report), end="")
    else:
        print(visit_table(report))
    return 0


def _time(text: str) -> datetime:
    """Return the time that a date, a local time or a span before now means."""
    span = re.fullmatch(r"([1-9]\d{0,4})([dh])", text.strip())
    try:
        if span:
            return datetime.now().astimezone() - int(span[1]) * _UNITS[span[2]]
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError, OSError) as error:
        raise argparse.ArgumentTypeError(
            f"expected a date such as 2026-11-24, or a span such as 7d or 24h, not {text!r}"
        ) from error
