"""The result of one check, and what all of them amount to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from textwrap import wrap
from typing import Any

from hivewatch.domain.redaction import redact

# Added to the number of failures, so that it cannot be taken for another command's exit code.
_EXIT_CODE_BASE = 100
_HEAD_WIDTH, _WIDTH = 18, 90


class Verdict(StrEnum):
    """OK: works. WARN: works, but needs attention. FAIL: hivewatch cannot work like this."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check ``found``, in a sentence, and the ``advice`` if it is not ok."""

    check: str
    verdict: Verdict
    found: str
    advice: str = ""

    def __str__(self) -> str:
        """Return the lines to print, the advice on lines of its own."""
        lines = wrap(self.found, _WIDTH) + wrap(
            self.advice, _WIDTH, initial_indent="-> ", subsequent_indent="   "
        )
        heads = [f"{self.verdict:5}{self.check:13}"] + [" " * _HEAD_WIDTH] * (len(lines) - 1)
        return "\n".join(head + line for head, line in zip(heads, lines, strict=True))


def ok(check: str, found: str) -> Finding:
    """Return a finding that needs no action."""
    return Finding(check, Verdict.OK, redact(found))


def warn(check: str, found: str, advice: str) -> Finding:
    """Return a finding that needs attention."""
    return Finding(check, Verdict.WARN, redact(found), redact(advice))


def fail(check: str, found: str, advice: str) -> Finding:
    """Return a finding that keeps hivewatch from working."""
    return Finding(check, Verdict.FAIL, redact(found), redact(advice))


def failures(findings: Sequence[Finding]) -> int:
    """Return the number of failures among the findings."""
    return sum(finding.verdict is Verdict.FAIL for finding in findings)


def exit_code(findings: Sequence[Finding]) -> int:
    """Return 0 if there is no failure, else 100 plus the number of failures."""
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
