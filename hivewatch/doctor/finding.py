"""What the doctor says of one thing, and what the findings amount to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from textwrap import wrap
from typing import Any

# Added to the number of failures, so that it cannot be taken for another command's exit code.
_EXIT_CODE_BASE = 100
_HEAD_WIDTH, _WIDTH = 18, 90


class Verdict(StrEnum):
    """How things stand: as they should, worth a look, or so that hivewatch cannot do its work."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was ``found`` of one thing, in a sentence, and what to do about it where it is not ok."""

    check: str
    verdict: Verdict
    found: str
    advice: str = ""

    def __str__(self) -> str:
        """Return the lines for people, the advice on lines of its own."""
        lines = wrap(self.found, _WIDTH) + wrap(
            self.advice, _WIDTH, initial_indent="-> ", subsequent_indent="   "
        )
        heads = [f"{self.verdict:5}{self.check:13}"] + [" " * _HEAD_WIDTH] * (len(lines) - 1)
        return "\n".join(head + line for head, line in zip(heads, lines, strict=True))


def ok(check: str, found: str) -> Finding:
    """Return a finding that asks for nothing."""
    return Finding(check, Verdict.OK, found)


def warn(check: str, found: str, advice: str) -> Finding:
    """Return a finding that is worth a look."""
    return Finding(check, Verdict.WARN, found, advice)


def fail(check: str, found: str, advice: str) -> Finding:
    """Return a finding with which hivewatch cannot do its work."""
    return Finding(check, Verdict.FAIL, found, advice)


def failures(findings: Sequence[Finding]) -> int:
    """Return how many of the findings are failures."""
    return sum(finding.verdict is Verdict.FAIL for finding in findings)


def exit_code(findings: Sequence[Finding]) -> int:
    """Return 0 without a failure, else 100 and the number of failures."""
    count = failures(findings)
    return _EXIT_CODE_BASE + count if count else 0


def document(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return the findings as plain values for JSON."""
    return {
        "schema": "hivewatch.doctor",
        "schema_version": 1,
        "failures": failures(findings),
        "findings": [asdict(finding) for finding in findings],
    }
