"""Outcomes of fault trials, shared by the tests and ``scripts/faults``."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(slots=True)
class Outcome:
    """The outcome of ``runs`` runs of one fault; ``in_order`` is None if there were no messages."""

    fault: str
    runs: int = 0
    lost: int = 0
    duplicates: int = 0
    in_order: bool | None = None
    took_s: float = 0.0
    note: str = ""
    problems: list[str] = field(default_factory=list)

    @property
    def survived(self) -> bool:
        """Return whether nothing was lost, out of order or otherwise wrong."""
        return not self.lost and self.in_order is not False and not self.problems


@contextmanager
def timed(outcome: Outcome) -> Iterator[Outcome]:
    """Add the duration of the block to the outcome."""
    start_s = time.monotonic()
    try:
        yield outcome
    finally:
        outcome.took_s += time.monotonic() - start_s


def compare(outcome: Outcome, expected: Sequence[str], received: Sequence[str]) -> None:
    """Count expected keys that were not received and keys received twice, and check the order."""
    firsts = list(dict.fromkeys(received))
    outcome.lost += len(set(expected) - set(firsts))
    outcome.duplicates += len(received) - len(firsts)
    known = set(expected)
    in_order = [key for key in firsts if key in known] == [key for key in expected if key in set(firsts)]
    outcome.in_order = in_order and outcome.in_order is not False


def event_key(payload: bytes | str) -> str:
    """Return a key that identifies an event."""
    document = json.loads(payload)
    # Pictures with the same time stamp make events with the same time; the number of votes differs.
    return f"{document['sighting_id']} {document['event_type']} {document['at']} {document['votes']}"


def rss_bytes() -> int:
    """Return the resident set size of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def table(outcomes: Iterable[Outcome]) -> str:
    """Return the outcomes as a text table."""
    head = f"{'fault':<50} {'runs':>5} {'lost':>5} {'dupl.':>5} {'order kept':>10} {'time':>8}  note"
    rows = [
        f"{o.fault:<50} {o.runs:>5} {o.lost:>5} {o.duplicates:>5} {_in_words(o.in_order):>10}"
        f" {o.took_s:>6.1f} s  {'; '.join(filter(None, [o.note, *o.problems]))}"
        for o in outcomes
    ]
    return "\n".join([head, "-" * len(head), *rows])


def _in_words(yes: bool | None) -> str:
    return "" if yes is None else "yes" if yes else "NO"
